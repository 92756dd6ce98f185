"""`to_tflite`: a Keras model to a `.tflite` file of builtin operators."""

import os
import pathlib
import tempfile

import tensorflow as tf

from lucid_keras._lowering.target import lowering_for


def to_tflite(model, path, *, length=None):
    """Export a built Keras model to a float32 `.tflite` file of builtin operators only.

    Args:
        model: a built `keras.Model` or layer stack with one input `[batch, ...]`.
        path: where the file goes; it appears whole or not at all.
        length: the number of positions where the model's input leaves it open.

    Returns:
        The path, a `pathlib.Path`.

    Raises:
        ValueError: the input's length is open and `length` is not given.
    """
    content = convert(model, _signature(model, length))
    return write_atomically(path, content)


def convert(model, signature):
    """The bytes of the file for a model and its input's `tf.TensorSpec`, traced with LiteRT's forms."""
    function = tf.function(lambda x: model(x, training=False), input_signature=[signature], autograph=False)
    with lowering_for("litert"):
        concrete = function.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], function)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    return converter.convert()


def _signature(model, length):
    shape = [1, *model.inputs[0].shape[1:]]
    if None in shape and length is None:
        raise ValueError(f"length must be given where the model leaves it open. Received: an input of shape {shape}")
    return tf.TensorSpec([length if extent is None else extent for extent in shape], model.inputs[0].dtype)


def write_atomically(path, content):
    """Write `content` to `path`: the old file or the new one is there at any moment, whole."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return path
