"""Streaming models as artefacts: the signatures `step`, `initial_state` and `flush`, states in and out."""

import os
import pathlib
import tempfile

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from lucid_keras._lowering.target import lowering_for
from lucid_keras.export.files import write_atomically
from lucid_keras.export.signature_graphs import with_constants, with_first
from lucid_keras.layers.streaming import StreamingConvTranspose1d


def streaming_to_saved_model(
    model, path: str | os.PathLike, *, chunk: int | tuple[int, ...] = 1, batch: int = 1
) -> pathlib.Path:
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

    Raises:
        ValueError: `chunk` has an int below 1.

    Example:

    >>> import lucid_keras as lk
    >>> streaming = StreamingConvTranspose1d(lk.ConvTranspose1d(4, 2, kernel_size=4, stride=2))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = streaming_to_saved_model(streaming, pathlib.Path(folder) / "live")
    ...     sorted(tf.saved_model.load(str(path)).signatures)
    ['flush', 'initial_state', 'step']
    """
    module = tf.Module()
    module.model = model  # tracks the variables
    tf.saved_model.save(module, str(path), signatures=stream_signatures(model, _chunks(chunk), batch))
    return pathlib.Path(path)


def streaming_to_tflite(
    model,
    path: str | os.PathLike,
    *,
    chunk: int | tuple[int, ...] = 1,
    batch: int = 1,
    quantization: str = "float32",
    calibration_data: np.ndarray | None = None,
) -> pathlib.Path:
    """Export a streaming layer or model as one `.tflite` file of builtin operators.

    Args:
        model, chunk, batch: as for `streaming_to_saved_model`; the file has the same signatures. LiteRT's default
            delegate takes the first alone, which is `step`: give the chunk that has to be fast first, or alone.
        path: where the file goes; it appears whole or not at all.
        quantization: `"float32"` (default), `"dynamic_int8"`, int8 weights whose sums stay float32, or `"int8"`,
            calibrated. In all of them chunks, samples and states are float32: a state that leaves in int8 would have
            to enter with the same scale.
        calibration_data: for `"int8"`, typical streams `[streams, positions, channels]`, laid out as the input is.

    Returns:
        The path, a `pathlib.Path`.

    Raises:
        ValueError: `quantization` is none of these, or `"int8"` without `calibration_data`; `chunk` has an int below 1.

    Example:

    >>> import lucid_keras as lk
    >>> from ai_edge_litert.interpreter import Interpreter
    >>> streaming = StreamingConvTranspose1d(lk.ConvTranspose1d(4, 2, kernel_size=4, stride=2))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = streaming_to_tflite(streaming, pathlib.Path(folder) / "live.tflite")
    ...     live = Interpreter(str(path))
    >>> states = live.get_signature_runner("initial_state")()
    >>> following = live.get_signature_runner("step")(x=np.zeros((1, 4, 1), "float32"), **states)
    >>> following.pop("y").shape, sorted(following)
    ((1, 2, 2), ['overlap'])
    """
    if quantization not in QUANTIZATIONS:
        raise ValueError(
            f"quantization must be one of {', '.join(map(repr, QUANTIZATIONS))}. "
            f"Received: quantization={quantization!r}"
        )
    if quantization == "int8" and calibration_data is None:
        raise ValueError('quantization="int8" needs calibration_data. Received: calibration_data=None')
    with lowering_for("litert"):
        signatures = stream_signatures(model, _chunks(chunk), batch)
    samples = _samples(model, _chunks(chunk), calibration_data, batch) if quantization == "int8" else None
    return write_atomically(path, QUANTIZATIONS[quantization](signatures, samples))


def convert(signatures, samples=None):
    """The bytes of one file with all the signatures: concrete functions by name, their variables made constants.

    With `samples`, pairs of a signature's name and its inputs, it is quantized to int8.
    """
    frozen = {name: _frozen(concrete) for name, concrete in signatures.items()}
    with tempfile.TemporaryDirectory() as directory:
        tf.saved_model.save(tf.Module(), directory, signatures=frozen)
        converter = tf.lite.TFLiteConverter.from_saved_model(directory, signature_keys=list(frozen))
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        if samples is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: samples
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


def _float32(signatures, _):
    return with_first(convert(signatures), "step")


def _dynamic_int8(signatures, _):
    try:
        from ai_edge_quantizer import quantizer, recipe
    except ImportError:
        raise ImportError("quantizing needs the AI Edge Quantizer: pip install 'lucid_keras[export]'") from None
    quantizing = quantizer.Quantizer(bytearray(_float32(signatures, None)), recipe.dynamic_wi8_afp32())
    return bytes(quantizing.quantize().quantized_model)


def _int8(signatures, samples):
    calibrated = {name: concrete for name, concrete in signatures.items() if name != "initial_state"}
    content = with_first(convert(calibrated, samples), "step")
    if "initial_state" not in signatures:
        return content
    return with_constants(content, convert({"initial_state": signatures["initial_state"]}))


QUANTIZATIONS = {"float32": _float32, "dynamic_int8": _dynamic_int8, "int8": _int8}


def _samples(model, chunks, data, batch):
    """What the signatures see of typical streams: every chunk with the states that come to it."""
    step, _, initial, _ = _fixed_shape_form(model, batch)
    axis = 2 if model.data_format == "channels_first" else 1
    samples = []
    for name, chunk in zip(_step_names(chunks), chunks, strict=True):
        for first in range(0, len(data) - batch + 1, batch):
            states = dict(initial)
            for start in range(0, data.shape[axis] - chunk + 1, chunk):
                x = data[first : first + batch].take(range(start, start + chunk), axis)
                samples.append((name, {"x": x} | {key: value for key, value in states.items() if 0 not in value.shape}))
                states = step(x, states)[1]
        samples.append(("flush", {key: value for key, value in states.items() if 0 not in value.shape}))
    return [(name, given) for name, given in samples if name != "flush" or model.flush_length]


def _step_names(chunks):
    return ["step", *(f"step_{further}" for further in chunks[1:])]


def _chunks(chunk):
    chunks = (chunk,) if isinstance(chunk, int) else tuple(chunk)
    if not chunks or min(chunks) < 1:
        raise ValueError(f"chunk must be at least 1 position, or several such ints. Received: chunk={chunk!r}")
    return chunks


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
    for name, chunk in zip(_step_names(chunks), chunks, strict=True):
        x = tf.TensorSpec(input_shape(chunk), model.compute_dtype, name="x")
        concrete[name] = tf.function(stepped, autograph=False).get_concrete_function(x, **specs)
    return concrete


def _fixed_shape_form(model, batch):
    """The step, the flush, the initial states and the input's shape by chunk, with the states in a dict."""
    if not isinstance(model, StreamingConvTranspose1d):
        return model.step, model.flush, model.initial_state(batch), lambda chunk: model.chunk_shape(batch, chunk)

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
