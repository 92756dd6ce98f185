"""Streaming models as artefacts, their states in and out of the signatures or kept inside."""

import os
import pathlib

import numpy as np
import tensorflow as tf

from lucid_keras._lowering.target import lowering_for
from lucid_keras.export.convert import convert_traced
from lucid_keras.export.files import checked_destination, folder_atomically, write_atomically
from lucid_keras.export.recipes import RECIPES
from lucid_keras.export.flatbuffer_edits import with_constants
from lucid_keras.export.signatures import without_variables
from lucid_keras.export.streaming_signatures import (
    checked_chunks,
    stream_signatures,
    typical_inputs,
    with_states_in_variables,
)
from lucid_keras.ops import check_choice

QUANTIZATIONS = ("float32", "float16", "dynamic_int8", "weight_only_int8", "int8")
STATES = ("explicit", "variables")


def streaming_to_saved_model(
    model, path: str | os.PathLike[str], *, chunk: int | tuple[int, ...] = 1, batch: int = 1
) -> pathlib.Path:
    """Export a streaming layer or model as a SavedModel with the signatures `step`, `initial_state` and `flush`.

    Args:
        model: a `StreamingConvTranspose1d` or a `StreamingModel`.
        path: the directory, which must not exist yet; it appears whole or not at all.
        chunk: int, positions of a chunk, or several ints: the signature `step` takes the first, and each further
            one of `n` positions has a signature `step_n`.
        batch: int, the streams that advance together. Default 1.

    Returns:
        The path, a `pathlib.Path`. `step` takes `x` and every state by its name, and gives `y` and every state by the
        same name; `initial_state` gives the states; `flush` takes them and gives the last `y`. A signature that would
        give nothing is left out: `flush` where `flush_length` is 0, `initial_state` where there is no state. The
        first `model.latency` samples of a stream are to be left out.

    Raises:
        ValueError: `chunk` has an int below 1, or `path` exists.

    Example:

    >>> import lucid_keras as lk, tempfile
    >>> streaming = lk.StreamingConvTranspose1d(lk.ConvTranspose1d(4, 2, kernel_size=4, stride=2))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = streaming_to_saved_model(streaming, pathlib.Path(folder) / "live")
    ...     sorted(tf.saved_model.load(str(path)).signatures)
    ['flush', 'initial_state', 'step']
    """
    chunks, path = checked_chunks(chunk), checked_destination(path, folder=True)
    module = tf.Module()
    module.model = model  # tracks the variables
    with folder_atomically(path) as folder:
        tf.saved_model.save(module, str(folder), signatures=stream_signatures(model, chunks, batch))
    return path


def streaming_to_tflite(
    model,
    path: str | os.PathLike[str],
    *,
    chunk: int | tuple[int, ...] = 1,
    batch: int = 1,
    quantization: str = "float32",
    calibration_data: np.ndarray | None = None,
    states: str = "explicit",
) -> pathlib.Path:
    """Export a streaming layer or model as one `.tflite` file of builtin operators.

    Args:
        model, chunk, batch: as for `streaming_to_saved_model`; the file has the same signatures. LiteRT's default
            delegate takes the first alone, which is `step`: give the chunk that has to be fast first, or alone.
        path: where the file goes; it appears whole or not at all.
        quantization: `"float32"` (default), `"float16"`, `"dynamic_int8"`, `"weight_only_int8"` or, calibrated,
            `"int8"`, as for `to_tflite`. In all of them chunks, samples and states are float32: a state that leaves in
            int8 would have to enter with the same scale.
        calibration_data: for `"int8"`, typical streams `[streams, positions, channels]`, laid out as the input is.
        states: `"explicit"` (default), in and out of every signature, or `"variables"`, which the file keeps: `step`
            takes `x` and gives `y`, `flush` takes nothing, and `reset` takes `rows [batch]`, begins the streams where
            it is True anew and gives their number; an interpreter is one batch of streams then, begun when it loads.

    Returns:
        The path, a `pathlib.Path`.

    Raises:
        ValueError: `quantization` or `states` is none of these, `"int8"` without `calibration_data` or with variables;
            `chunk` has an int below 1; an operator is not builtin, then the message names it and the layer.

    Example:

    >>> import lucid_keras as lk, tempfile
    >>> from ai_edge_litert.interpreter import Interpreter
    >>> streaming = lk.StreamingConvTranspose1d(lk.ConvTranspose1d(4, 2, kernel_size=4, stride=2))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = streaming_to_tflite(streaming, pathlib.Path(folder) / "live.tflite")
    ...     live = Interpreter(str(path))
    >>> states = live.get_signature_runner("initial_state")()
    >>> following = live.get_signature_runner("step")(x=np.zeros((1, 4, 1), "float32"), **states)
    >>> following.pop("y").shape, sorted(following)
    ((1, 2, 2), ['overlap'])
    """
    _check_quantization(quantization, calibration_data, states)
    path = checked_destination(path)
    chunks, recipe = checked_chunks(chunk), RECIPES[quantization]
    with lowering_for("litert"):
        signatures = stream_signatures(model, chunks, batch)
    if states == "variables":
        return write_atomically(path, _convert_with_variables(model, signatures, recipe))
    samples = typical_inputs(model, chunks, calibration_data, batch) if recipe.calibrated else None
    return write_atomically(path, _convert_with_explicit_states(model, signatures, recipe, samples))


def _convert_with_explicit_states(model, signatures, recipe, samples):
    """The bytes of one file with the signatures of `stream_signatures`, the first for LiteRT's default delegate.

    The converter's calibrator refuses a signature without inputs, so `initial_state` joins a calibrated file late.
    """
    traced = {name: without_variables(concrete) for name, concrete in signatures.items()}
    initial_state = {"initial_state": traced.pop("initial_state")} if "initial_state" in traced and samples else {}
    content = convert_traced(model, traced, recipe, samples, first="step")
    if not initial_state:
        return content
    return with_constants(content, convert_traced(model, initial_state, RECIPES["float32"]))


def _convert_with_variables(model, signatures, recipe):
    module, traced = with_states_in_variables(signatures)
    return convert_traced(model, traced, recipe, states=module, first="step")


def _check_quantization(quantization, calibration_data, states):
    check_choice("quantization", quantization, QUANTIZATIONS)
    check_choice("states", states, STATES)
    if not RECIPES[quantization].calibrated:
        return
    if calibration_data is None:
        raise ValueError(f"quantization={quantization!r} needs calibration_data. Received: calibration_data=None")
    if states == "variables":
        raise ValueError(
            "A calibrated file takes its states as inputs: the TFLite converter cannot calibrate variables. "
            f"Received: quantization={quantization!r}, states='variables'"
        )
