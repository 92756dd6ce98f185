"""`to_stablehlo`: a Keras model's XLA program as portable StableHLO with a manifest, for any PJRT device."""

import hashlib
import json
import os
import sys
from typing import Literal, get_args

import keras
import tensorflow as tf

from lucid_keras._arguments import check_choice, check_flag, checked_count, number
from lucid_keras.export.claims import vjp_claim, whole_claims
from lucid_keras.export.files import checked_destination, folder_atomically
from lucid_keras.export.progress import doing
from lucid_keras.export.proof import Floor, proven
from lucid_keras.export.recipes import RECIPES
from lucid_keras.export.report import ExportReport
from lucid_keras.export.samples import Data, read_given
from lucid_keras.export.signatures import Length, check_model, frozen, model_inputs, signatures
from lucid_keras.export.versions import versions
from lucid_keras.runtimes import StableHlo
from lucid_keras.runtimes.protocol import Signature, Spec
from lucid_keras.runtimes.stablehlo import MANIFEST

Platform = Literal["cpu", "cuda", "tpu"]
STAGE = "stablehlo_serialized"


def to_stablehlo(
    model: keras.Model,
    path: str | os.PathLike[str],
    *,
    length: Length | None = None,
    batch: int = 1,
    vjp: bool = False,
    platform: Platform | None = None,
    verification_data: Data | None = None,
    floor_db: float | None = None,
    timing_seconds: float = 0.3,
) -> ExportReport:
    """Export a Keras model to a folder with its StableHLO program and a manifest of names, shapes and dtypes.

    The program holds the weights; `forward.stablehlo` takes the inputs and gives the outputs in the manifest's order.
    The serialized programs themselves are run, by TensorFlow's XLA, and compared before the folder takes its name.

    Args:
        model, path, verification_data, floor_db, timing_seconds: as for `to_saved_model`.
        length: positions of the inputs where the model leaves them open, an int or a dict by input name; StableHLO
            programs of this exporter have static shapes.
        batch: samples of a call. Default 1.
        vjp: whether `vjp.stablehlo` is written too: inputs and the outputs' cotangents to the inputs' cotangents
            (inputs and outputs need different names).
        platform: what the program is for: `"cpu"`, `"cuda"`, `"tpu"`, or None (default), unknown. It runs on any; for a
            TPU the layers take the lowerings of which XLA estimates the fewest cycles, else those that were measured
            on processors.

    Returns:
        An `ExportReport`.

    Raises:
        ValueError: the model is not built, a length is open, the path exists, or the program stays below the floor.
        TypeError: an argument of the wrong type.
        OSError: the path cannot be written.

    Example:

    >>> import keras, lucid_keras as lk, tempfile
    >>> layer = lk.ConvTranspose1d(4, 2, kernel_size=4, stride=2, padding=1)
    >>> model = keras.Sequential([keras.Input((4, 8)), layer])
    >>> report = to_stablehlo(model, tempfile.mkdtemp() + "/up.stablehlo")
    >>> sorted(file.name for file in report.path.iterdir())
    ['forward.stablehlo', 'manifest.json']

    Source: https://openxla.org/stablehlo, "Compatibility": portable artifacts.
    """
    inputs = model_inputs(model)
    check_flag("vjp", vjp)
    if platform is not None:
        check_choice("platform", platform, get_args(Platform))
    number("timing_seconds", timing_seconds, least=0)
    batch = checked_count("batch", batch, "sample", least=1)
    made, recipe = signatures(model, length, batch, default="forward"), RECIPES["float32"]
    if isinstance(length, (list, tuple)) or not all(one.shape.is_fully_defined() for one in made[0].inputs.values()):
        raise ValueError(f"length must be an int or a dict of ints for StableHLO. Received: length={length!r}")
    destination, floor = checked_destination(path, folder=True), Floor.of(floor_db, recipe)
    check_model(model)
    claims, verified_on = whole_claims(model, made, read_given(inputs, verification_data))
    if vjp:
        claims.append(vjp_claim(model, claims[0].samples, claims[0].references))
    traced = frozen(model, made[0], "xla", platform=platform or "")
    described = _described(traced, vjp)
    programs = _programs(traced, described)
    with folder_atomically(destination) as folder:
        for name, program in programs.items():
            (folder / f"{name}.stablehlo").write_bytes(program)
        (folder / MANIFEST).write_text(json.dumps(_manifest(programs, described), indent=2) + "\n")
        return proven(
            model,
            claims,
            StableHlo(folder),
            floor,
            seconds=timing_seconds,
            path=destination,
            bytes=sum(map(len, programs.values())),
            verified_on=verified_on,
            sha256=hashlib.sha256(programs["forward"]).hexdigest(),
        )


def _described(traced, vjp):
    """What each program takes and gives, in order."""
    inputs, outputs = (
        {name: Spec(specs[name].dtype.name, tuple(specs[name].shape.as_list())) for name in sorted(specs)}
        for specs in (traced.structured_input_signature[1], traced.structured_outputs)
    )
    forward = {"forward": Signature(inputs, outputs)}
    return forward | {"vjp": Signature(inputs | outputs, inputs)} if vjp else forward


@doing("compiling")
def _programs(traced, described):
    """The serialized programs by name."""
    names = list(described["forward"].inputs)
    forward = tf.function(lambda *x: traced(**dict(zip(names, x, strict=True))), jit_compile=True)
    functions = {"forward": forward, "vjp": _vjp(forward, len(names))}
    specs = {
        name: [tf.TensorSpec(spec.shape, spec.dtype) for spec in signature.inputs.values()]
        for name, signature in described.items()
    }
    return {name: _program(functions[name], specs[name]) for name in described}


def _vjp(forward, input_count):
    def pull_back(*tensors):
        inputs, cotangents = list(tensors[:input_count]), list(tensors[input_count:])
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = tf.nest.flatten(forward(*inputs))
        return tape.gradient(outputs, inputs, output_gradients=cotangents)

    return tf.function(pull_back, jit_compile=True)


def _program(function, specs):
    """The serialized StableHLO of a jitted function, without this machine's folders in its debug locations.

    The program's strings have fixed places, so a folder gives way to as many dots.
    """
    try:
        program = function.experimental_get_compiler_ir(*specs)(stage=STAGE)
    except (ValueError, tf.errors.OpError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"XLA must be able to compile the model and, if asked for, its vjp. Received: {reason}"
        ) from None
    folders = {os.getcwd(), *filter(os.path.isabs, sys.path)}
    for folder in sorted(folders, key=len, reverse=True):
        if len(folder) > 1:
            program = program.replace(folder.encode(), b"." * len(folder.encode()))
    return program


def _manifest(programs, described):
    """What a loader needs: each program's parameters and results in order, and how the files were made."""
    return {
        "format": "StableHLO portable artifact",
        "programs": {
            name: {
                "file": f"{name}.stablehlo",
                "sha256": hashlib.sha256(program).hexdigest(),
                "parameters": _rows(described[name].inputs),
                "results": _rows(described[name].outputs),
            }
            for name, program in programs.items()
        },
        "versions": versions(),
    }


def _rows(specs):
    return [{"name": name, "shape": list(spec.shape), "dtype": spec.dtype} for name, spec in specs.items()]
