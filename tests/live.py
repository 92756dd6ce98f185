"""A streaming `.tflite` file or SavedModel run as a phone runs it: its signatures, and the states passed around."""

import numpy as np
import tensorflow as tf

from lucid_keras.runtimes.litert import interpreter


def litert_signatures(content):
    """The signature runners of a file by name."""
    loaded = interpreter(content, threads=1)
    return {name: loaded.get_signature_runner(name) for name in loaded.get_signature_list()}


def saved_signatures(path):
    """The signatures of a SavedModel by name, on arrays."""
    loaded = tf.saved_model.load(str(path))

    def on_arrays(signature):
        def call(**inputs):
            outputs = signature(**{name: tf.constant(value) for name, value in inputs.items()})
            return {name: value.numpy() for name, value in outputs.items()}

        call.keep = loaded
        return call

    return {name: on_arrays(signature) for name, signature in loaded.signatures.items()}


def streamed(signatures, chunks, latency, time_axis, output_axis=None):
    """The output of a whole stream of chunks, each through the signature for its length."""
    output_axis = output_axis or time_axis
    states = signatures["initial_state"]() if "initial_state" in signatures else {}
    pieces = []
    for chunk in chunks:
        step = signatures.get(f"step_{chunk.shape[time_axis]}", signatures["step"])
        states = dict(step(x=chunk, **states))
        pieces.append(states.pop("y"))
    if "flush" in signatures:
        pieces.append(signatures["flush"](**states)["y"])
    y = np.concatenate(pieces, output_axis)
    return np.take(y, range(latency, y.shape[output_axis]), output_axis)
