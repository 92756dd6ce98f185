"""Comparing an artefact that already lies on the disk with a Keras model, whatever the two call their inputs."""

import math
import os
import pathlib

import keras
import tensorflow as tf

from lucid_keras.export.claims import vjp_claim, whole_claim
from lucid_keras.export.elsewhere import tried
from lucid_keras.export.flatbuffer import read
from lucid_keras.export.live import chunks_of, live_claims, stream_inputs, streaming_of
from lucid_keras.export.proof import Floor, Proof, prove
from lucid_keras.export.report import RuntimeProof
from lucid_keras.export.samples import Data, read_given, verification_samples
from lucid_keras.export.signatures import Signature, check_model, model_inputs, output_shapes
from lucid_keras.runtimes import open_artefact
from lucid_keras.streaming.contract import Streaming

NO_FLOOR = Floor(-math.inf, yields=False)
VJP = "vjp"


def verified(path: str | os.PathLike[str], model: keras.Model | Streaming, data: Data | None = None) -> Proof:
    """The proof of a `.tflite` file, a SavedModel or a StableHLO folder, whole or live, against `model`; no floor.

    Args:
        path: the artefact.
        model: the model it was made of; of a live artefact the decoder, or what streams it.
        data: what to compare on, as `to_tflite`'s `calibration_data`. Default: samples drawn at random.

    Raises:
        ValueError: the artefact is not whole, or its inputs or outputs are not the model's.
        OSError: there is no such artefact.
    """
    return verified_everywhere(path, model, data)[0]


def verified_everywhere(path, model, data=None, names=(), floor=NO_FLOOR) -> tuple[Proof, list[RuntimeProof]]:
    """What `verified` gives, and what each further runtime of `names` finds, refused below `floor`."""
    runtime, model, claims = opened(path, model, data)
    proof = prove(model, claims, runtime, NO_FLOOR)
    return proof, [tried(model, claims, path, name, floor) for name in names]


def opened(path, model, data):
    """An artefact under the runtime that reads its kind, the model or what streams it, and what has to hold."""
    path = pathlib.Path(path)
    if path.is_file():
        read(path)  # a clear error for a file that is foreign or cut short, before LiteRT sees it
    runtime = open_artefact(path)
    if not runtime.signatures:
        raise ValueError(f"The artefact must have a signature. Received: {path}")
    if "step" in runtime.signatures:
        model = streaming_of(model)
        claims = _live_claims(runtime, model, data)
    else:
        claims = _whole_claims(runtime, model, data)
    check_model(model)
    return runtime, model, claims


def _live_claims(runtime, streaming, data):
    inputs, specs = runtime.signatures["step"].inputs, streaming.chunk_specs(None, None)
    shapes = {name: list(inputs[name].shape) if name in inputs else [] for name in specs}
    if not all(tf.TensorShape(shapes[name]).is_compatible_with(spec.shape) for name, spec in specs.items()):
        raise ValueError(
            f"The live artefact must take the decoder's chunks, {streaming.chunk_shape(None, None)}, None any number. "
            f"Received: {shapes['x'] if [*shapes] == ['x'] else shapes}"
        )
    chunks, batch = chunks_of(runtime, streaming), next(iter(shapes.values()))[0]
    return live_claims(streaming, chunks, batch, read_given(stream_inputs(streaming), data))[0]


def _whole_claims(runtime, model, data):
    """A claim for each signature, by the names that the model has for what the artefact calls its own way."""
    inputs, found = model_inputs(model), []
    given = read_given(inputs, data)
    for name, signature in runtime.signatures.items():
        if name == VJP:
            continue
        theirs = _matched("input", name, signature.inputs, inputs)
        results = _matched("output", name, signature.outputs, output_shapes(model))
        specs = {our: tf.TensorSpec(signature.inputs[key].shape, inputs[our].dtype) for key, our in theirs.items()}
        made = Signature(name, specs)
        samples, _ = verification_samples([made], inputs, given)
        found.append(whole_claim(model, name, samples[name], _renamed(name, theirs, results)))
        if VJP in runtime.signatures:
            run = _renamed(VJP, theirs | results, theirs)
            found.append(vjp_claim(model, samples[name], found[-1].references, run))
    return found


def _renamed(signature, theirs, results):
    """Runs a signature on arrays by the model's names; both arguments lead from the artefact's names to those."""

    def run(runtime, sample):
        given = runtime.run(signature, {key: sample[ours] for key, ours in theirs.items()})
        return {ours: given[key] for key, ours in results.items()}

    return run


def _matched(kind, signature, theirs, ours):
    """The model's name for each of the artefact's: the only one, the same one, or the only one of that shape.

    An unnamed `keras.Input` has one name in memory and another after it was saved and loaded.
    """
    if len(theirs) == len(ours) == 1:
        return dict(zip(theirs, ours, strict=True))
    names = {key: key for key in theirs if key in ours}
    for key in theirs.keys() - names.keys():
        fitting = [name for name in ours if name not in names.values() and _fits(theirs[key], ours[name])]
        if len(fitting) == 1:
            names[key] = fitting[0]
    if len(set(names.values())) < max(len(theirs), len(ours)):
        raise ValueError(
            f"The artefact must have the model's {kind}s, {sorted(ours)}, by name or each of a shape of its own. "
            f"Received: {signature!r} with {sorted(theirs)}"
        )
    return names


def _fits(spec, ours):
    return tf.TensorShape(spec.shape[1:]).is_compatible_with(getattr(ours, "shape", ours)[1:])
