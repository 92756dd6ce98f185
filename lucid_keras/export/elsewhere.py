"""An artefact on the runtimes that it is meant for beyond this process's own: phones, browsers, microcontrollers."""

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

from lucid_keras._arguments import check_choice
from lucid_keras.export.accuracy import snr_db
from lucid_keras.export.live import first_call
from lucid_keras.export.progress import doing
from lucid_keras.export.proof import Floor, conditions, prove
from lucid_keras.export.report import RuntimeProof
from lucid_keras.runtimes import FAMILIES, RUNTIMES, LiteRT

RuntimeName = Literal[
    "litert",
    "compiled",
    "gpu",
    "arm64",
    "arm64-a53",
    "arm64-a76",
    "arm64-a710",
    "arm64-max",
    "browser",
    "browser-wasm",
    "browser-webgpu",
    "micro",
    "old",
    "stablehlo",
    "pjrt",
    "saved_model",
]

SHORT = 32  # positions of an open length that a drawn input has


def chosen(names: Sequence[str], kind: str) -> tuple[str, ...]:
    """The runtimes that are meant, families spelt out; raises unless each is ready and reads artefacts of that kind."""
    if isinstance(names, (str, bytes)) or not isinstance(names, Sequence):
        raise TypeError(f"The runtimes must be a sequence of names. Received: {names!r}")
    for name in names:
        check_choice("runtime", name, get_args(RuntimeName))
    found = tuple(dict.fromkeys(one for name in names for one in FAMILIES.get(name, (name,))))
    for name in found:
        runtime = RUNTIMES[name]
        if runtime.kind != kind:
            raise ValueError(f"The runtime must read a {kind} artefact. Received: {name!r}, which reads {runtime.kind}")
        if lacking := runtime.lacking():
            raise FileNotFoundError(f"The runtime {name!r} must be installed first: {lacking}. Received: none here")
    return found


def proven_elsewhere(model, claims, artefact, names, floor: Floor, seconds=0.3) -> tuple[RuntimeProof, ...]:
    """What each runtime found of the artefact, a path or bytes; raises for the first that refuses it or falls short.

    Args:
        model, claims, floor: as `prove`'s.
        names: as `chosen` gives them.
        seconds: how long a call is timed where its time says something.
    """
    proofs = []
    for name in names:
        proofs.append(tried(model, claims, artefact, name, floor, seconds))
        if refusal := proofs[-1].refusal:
            raise ValueError(f"On the runtime {name!r}: {refusal}")
    return tuple(proofs)


def tried(model, claims, artefact, name, floor: Floor, seconds=0.3) -> RuntimeProof:
    """What one runtime found of the artefact; its refusal where it refuses, ends or is below the floor."""
    try:
        with doing(f"starting {RUNTIMES[name].name}"):
            runtime = RUNTIMES[name](artefact)
        proof = prove(model, claims, runtime, floor)
        signature, inputs = first_call(runtime, claims[0])
        milliseconds = runtime.milliseconds(signature, inputs, seconds)
    except ValueError as error:
        return RuntimeProof(name, RUNTIMES[name].name, refusal=str(error))
    return RuntimeProof(
        name=name,
        runtime=f"{runtime.name} {runtime.version}",
        snr_db=min(one.snr_db for one in proof.outputs),
        coverage=str(runtime.coverage()),
        milliseconds=milliseconds,
        conditions=conditions(model, runtime, signature, inputs),
    )


def compared(content: bytes, name: str) -> RuntimeProof:
    """What a runtime gives of a `.tflite` file beside LiteRT's interpreter here, on drawn inputs of every signature."""
    try:
        here = LiteRT(content)
        with doing(f"running in {RUNTIMES[name].name}"):
            there = RUNTIMES[name](content)
            ratios = [_ratio(here, there, signature) for signature in here.signatures]
    except ValueError as error:
        return RuntimeProof(name, RUNTIMES[name].name, refusal=str(error))
    return RuntimeProof(name, f"{there.name} {there.version}", min(ratios), str(there.coverage()))


def _ratio(here, there, signature):
    """The least signal-to-noise ratio of a signature's outputs, in dB."""
    rng = np.random.default_rng(0)
    inputs = {name: _drawn(spec, rng) for name, spec in here.signatures[signature].inputs.items()}
    expected, given = here.run(signature, inputs), there.run(signature, inputs)
    return min((snr_db([array], [given[name]]) for name, array in expected.items()), default=np.inf)


def _drawn(spec, rng):
    shape = [SHORT if extent is None else extent for extent in spec.shape]
    floating = np.dtype(spec.dtype).kind == "f"
    return rng.standard_normal(shape).astype(spec.dtype) if floating else np.zeros(shape, spec.dtype)
