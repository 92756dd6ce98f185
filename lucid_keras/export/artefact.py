"""Comparing an artefact that already lies on the disk with a Keras model."""

import pathlib

import tensorflow as tf

from lucid_keras.export.flatbuffer import read, read_content
from lucid_keras.export.litert import Runner
from lucid_keras.export.samples import at_more_lengths, read_samples, synthetic_samples, windows
from lucid_keras.export.saved_model import SavedModelRunner
from lucid_keras.export.signatures import Signature, model_inputs
from lucid_keras.export.verify import accuracies, reference_outputs


def verified(path, model, data=None):
    """`OutputAccuracy` of each output of each signature of a `.tflite` file or a SavedModel against `model`.

    Args:
        path: the artefact.
        model: the `keras.Model` it was made of.
        data: what to compare on, as `to_tflite`'s `calibration_data`. Default: standard normal samples.
    """
    path = pathlib.Path(path)
    inputs = model_inputs(model)
    run = SavedModelRunner(path) if path.is_dir() else _tflite_runner(path)
    samples = None if data is None else read_samples(data, inputs)
    found = []
    for name, shapes in run.input_shapes().items():
        signature = _signature(name, shapes, inputs)
        if samples is None:
            chosen = synthetic_samples(signature)
        else:
            chosen = at_more_lengths(windows(samples, signature), signature)
        results = [run(name, sample) for sample in chosen]
        found += accuracies(name, inputs, chosen, reference_outputs(model, chosen), results)
    if not found:
        raise ValueError(f"The artefact must have a signature. Received: {path}")
    return found


def _tflite_runner(path):
    read(path)  # a clear error for a file that is foreign or cut short, before LiteRT sees it
    return Runner(read_content(path))


def _signature(name, shapes, inputs):
    if set(shapes) != set(inputs):
        raise ValueError(
            f"The artefact must have the model's inputs {sorted(inputs)}. Received: {name!r} with {sorted(shapes)}"
        )
    specs = {
        key: tf.TensorSpec([extent if extent is None or extent > 0 else None for extent in shape], inputs[key].dtype)
        for key, shape in shapes.items()
    }
    return Signature(name, specs)
