"""Streaming models as artefacts: the signatures `step`, `initial_state` and `flush`, states in and out."""

import pathlib
import tempfile

import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from lucid_keras._lowering.target import lowering_for
from lucid_keras.export.primary_signature import with_first
from lucid_keras.export.tflite import write_atomically
from lucid_keras.layers.streaming import StreamingConvTranspose1d


def streaming_to_saved_model(model, path, *, chunk=1, batch=1):
    """Export a streaming layer or model as a SavedModel with the signatures `step`, `initial_state` and `flush`.

    Args:
        model: a `StreamingConvTranspose1d` or a `StreamingModel`.
        path: the directory.
        chunk: int, positions of a chunk, or several ints: the signature `step` takes the first, and each further
            one of `n` positions has a signature `step_n`.
        batch: int, the streams that advance together. Default 1.

    Returns:
        The path, a `pathlib.Path`. `step` takes `x` and every state by its name, and gives `y` and every state by the
        same name; `initial_state` gives the states; `flush` takes them and gives the last `y`. A signature that would
        give nothing is left out: `flush` where `flush_length` is 0, `initial_state` where there is no state. The
        first `model.latency` samples of a stream are to be left out.
    """
    module = tf.Module()
    module.model = model  # tracks the variables
    tf.saved_model.save(module, str(path), signatures=stream_signatures(model, _chunks(chunk), batch))
    return pathlib.Path(path)


def streaming_to_tflite(model, path, *, chunk=1, batch=1, quantization="float32"):
    """Export a streaming layer or model as one `.tflite` file of builtin operators.

    Args:
        model, chunk, batch: as for `streaming_to_saved_model`; the file has the same signatures. LiteRT's default
            delegate takes the first alone, which is `step`: give the chunk that has to be fast first, or alone.
        path: where the file goes; it appears whole or not at all.
        quantization: `"float32"` (default) or `"dynamic_int8"`: int8 weights, the states and sums stay float32.

    Returns:
        The path, a `pathlib.Path`.

    Raises:
        ValueError: `quantization` is neither.
    """
    if quantization not in QUANTIZATIONS:
        raise ValueError(
            f"quantization must be one of {', '.join(map(repr, QUANTIZATIONS))}. "
            f"Received: quantization={quantization!r}"
        )
    with lowering_for("litert"):
        signatures = stream_signatures(model, _chunks(chunk), batch)
    return write_atomically(path, QUANTIZATIONS[quantization](with_first(convert(signatures), "step")))


def convert(signatures):
    """The bytes of one file with all the signatures: concrete functions by name, their variables made constants."""
    frozen = {name: _frozen(concrete) for name, concrete in signatures.items()}
    with tempfile.TemporaryDirectory() as directory:
        tf.saved_model.save(tf.Module(), directory, signatures=frozen)
        converter = tf.lite.TFLiteConverter.from_saved_model(directory, signature_keys=list(frozen))
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        return converter.convert()


def _frozen(concrete):
    """A concrete function without variables: the converter leaves them unread in a file of several signatures."""
    constant = convert_variables_to_constants_v2(concrete)
    names = [tensor.name.removesuffix(":0") for tensor in constant.inputs]
    outputs = sorted(concrete.structured_outputs)

    def signature(**inputs):
        return dict(zip(outputs, constant(*(inputs[name] for name in names)), strict=True))

    specs = {
        name: tf.TensorSpec(tensor.shape, tensor.dtype, name)
        for name, tensor in zip(names, constant.inputs, strict=True)
    }
    return tf.function(signature, autograph=False).get_concrete_function(**specs)


def _dynamic_int8(content):
    try:
        from ai_edge_quantizer import quantizer, recipe
    except ImportError:
        raise ImportError("quantizing needs the AI Edge Quantizer: pip install 'lucid_keras[export]'") from None
    quantizing = quantizer.Quantizer(bytearray(content), recipe.dynamic_wi8_afp32())
    return bytes(quantizing.quantize().quantized_model)


QUANTIZATIONS = {"float32": bytes, "dynamic_int8": _dynamic_int8}


def _chunks(chunk):
    return (chunk,) if isinstance(chunk, int) else tuple(chunk)


def stream_signatures(model, chunks, batch):
    """The concrete functions of the signatures by name, without those that would give nothing."""
    step, flush, initial, input_shape = _fixed_shape_form(model, batch)
    empty = {name: state for name, state in initial.items() if 0 in state.shape}  # a file can hold no empty tensor
    states = {name: state for name, state in initial.items() if name not in empty}
    specs = {name: tf.TensorSpec(state.shape, state.dtype, name=name) for name, state in states.items()}

    def initial_state():
        return {name: tf.zeros(state.shape, state.dtype) for name, state in states.items()}

    def stepped(x, **given):
        y, following = step(x, given | empty)
        return {"y": y} | {name: tf.identity(following[name]) for name in states}

    def flushed(**given):
        return {"y": tf.identity(flush(given | empty))}

    concrete = {}
    if states:
        concrete["initial_state"] = tf.function(initial_state, autograph=False).get_concrete_function()
    if model.flush_length:
        concrete["flush"] = tf.function(flushed, autograph=False).get_concrete_function(**specs)
    for name, chunk in zip(["step", *(f"step_{further}" for further in chunks[1:])], chunks, strict=True):
        x = tf.TensorSpec(input_shape(chunk), model.compute_dtype, name="x")
        concrete[name] = tf.function(stepped, autograph=False).get_concrete_function(x, **specs)
    return concrete


def _fixed_shape_form(model, batch):
    """The step, the flush, the initial states and the input's shape by chunk, with the states in a dict."""
    if not isinstance(model, StreamingConvTranspose1d):
        channels = model.decoder.inputs[0].shape[2:]
        return model.step, model.flush, model.initial_state(batch), lambda chunk: [batch, chunk, *channels]

    def step(x, states):
        y, overlap = model(x, states["overlap"])
        return y, {"overlap": overlap}

    channels, last = model.layer.in_channels, model.data_format == "channels_last"
    return (
        step,
        lambda states: model.release(states["overlap"]),
        {"overlap": model.initial_state(batch).overlap},
        lambda chunk: [batch, chunk, channels] if last else [batch, channels, chunk],
    )
