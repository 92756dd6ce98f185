"""Streaming models as artefacts, shown to decode live what the model decodes whole."""

import functools
import os
from collections.abc import Sequence
from typing import Literal, get_args

import tensorflow as tf

from lucid_keras._arguments import check_choice, check_flag, checked_count, number
from lucid_keras._lowering.target import lowering_for
from lucid_keras.export.attempt import Attempt, FloatLayers, check_float_layers, uncovered
from lucid_keras.export.convert import in_recipe, unquantized_traced
from lucid_keras.export.elsewhere import RuntimeName, chosen
from lucid_keras.export.files import checked_destination
from lucid_keras.export.layer_accuracy import live_layer_accuracies
from lucid_keras.export.live import live_claims, stream_inputs
from lucid_keras.export.proof import Floor
from lucid_keras.export.recipes import RECIPES, recipe_named
from lucid_keras.export.report import ExportReport
from lucid_keras.export.samples import Data, read_given
from lucid_keras.export.saved_model import proven_saved_model
from lucid_keras.export.signatures import check_model
from lucid_keras.export.streaming_signatures import (
    checked_chunks,
    stream_signatures,
    typical_inputs,
    with_states_in_variables,
)
from lucid_keras.export.tflite import check_recipe
from lucid_keras.runtimes import LiteRT
from lucid_keras.streaming.contract import Streaming

States = Literal["explicit", "variables"]
StreamingQuantization = Literal["float32", "float16", "dynamic_int8", "weight_only_int8", "int8"]


def streaming_to_saved_model(
    model: Streaming,
    path: str | os.PathLike[str],
    *,
    chunk: int | Sequence[int] = 1,
    batch: int = 1,
    verification_data: Data | None = None,
    floor_db: float | None = None,
    timing_seconds: float = 0.3,
) -> ExportReport:
    """Export a streaming layer or model as a SavedModel with the signatures `step`, `initial_state` and `flush`.

    Whole signals of several lengths, cut into chunks, go through the very signatures, and streams begun anew amid
    others; the folder takes its name if all of it is the whole decode.

    Args:
        model: a `StreamingConvTranspose1d` or a `StreamingModel`.
        path, floor_db, timing_seconds: as for `to_saved_model`, of the whole decode in Keras and of a step.
        chunk: int, positions of a chunk, or several ints: the signature `step` takes the first, and each further
            one of `n` positions has a signature `step_n`.
        batch: int, the streams that advance together. Default 1.
        verification_data: signals `[signals, positions, channels]`, laid out as the input is, or what else `to_tflite`
            takes. Default: standard normal ones.

    Returns:
        An `ExportReport`. Of the SavedModel, `step` takes `x` and every state by its name, and gives `y` and every
        state by the same name; `initial_state` gives the states; `flush` takes them and gives the last `y`. A signature
        that would give nothing is left out: `flush` where `flush_length` is 0, `initial_state` where there is no state.
        The first `model.latency` samples of a stream are to be left out.

    Raises:
        ValueError: `chunk` or `batch` has an int below 1, `path` exists, data do not fit or say nothing, or the stream
            stays below the floor.
        TypeError: an argument of the wrong type.
        OSError: the path cannot be written.

    Example:

    >>> import lucid_keras as lk, tempfile
    >>> streaming = lk.StreamingConvTranspose1d(lk.ConvTranspose1d(4, 2, kernel_size=4, stride=2))
    >>> report = streaming_to_saved_model(streaming, tempfile.mkdtemp() + "/live")
    >>> sorted(report.signatures), report.snr_db > 110
    (['flush', 'initial_state', 'step'], True)
    """
    _check_streams(model)
    number("timing_seconds", timing_seconds, least=0)
    chunks, batch, recipe = (
        checked_chunks(chunk, model.granularity),
        checked_count("batch", batch, "stream", least=1),
        RECIPES["float32"],
    )
    destination, floor = checked_destination(path, folder=True), Floor.of(floor_db, recipe)
    check_model(model)
    claims, verified_on = live_claims(model, chunks, batch, read_given(stream_inputs(model), verification_data))
    module = tf.Module()
    module.model = model  # tracks the variables
    traced = stream_signatures(model, chunks, batch)
    return proven_saved_model(
        model, destination, module, traced, claims, floor, seconds=timing_seconds, verified_on=verified_on
    )


def streaming_to_tflite(
    model: Streaming,
    path: str | os.PathLike[str],
    *,
    chunk: int | Sequence[int] = 1,
    batch: int = 1,
    quantization: StreamingQuantization = "float32",
    calibration_data: Data | None = None,
    states: States = "explicit",
    verification_data: Data | None = None,
    floor_db: float | None = None,
    float_layers: FloatLayers = (),
    compare_layers: bool = False,
    exact_products: bool = False,
    timing_seconds: float = 0.3,
    prove_on: Sequence[RuntimeName] = (),
) -> ExportReport:
    """Export a streaming layer or model as one `.tflite` file of builtin operators, verified before it takes its name.

    Args:
        model, chunk, batch: as for `streaming_to_saved_model`; the file has the same signatures. LiteRT's default
            delegate takes the first alone, which is `step`: give the chunk that has to be fast first, or alone.
        path, floor_db, float_layers, compare_layers, exact_products, prove_on: as for `to_tflite`, of the whole decode
            in Keras.
        quantization: `"float32"` (default), `"float16"`, `"dynamic_int8"`, `"weight_only_int8"` or, calibrated,
            `"int8"`, as for `to_tflite`. In all of them chunks, samples and states are float32: a state that leaves in
            int8 would have to enter with the same scale.
        calibration_data: for `"int8"`, typical signals `[signals, positions, channels]`, laid out as the input is, or
            what else `to_tflite` takes. Each fifth is held out for verification.
        states: `"explicit"` (default), in and out of every signature, or `"variables"`, which the file keeps: `step`
            takes `x` and gives `y`, `flush` takes nothing, and `reset` takes `rows`, int32 `[batch]`, begins the
            streams where it is 1 and not 0 anew and gives their number; an interpreter is one batch of streams then,
            begun when it loads.
        verification_data, timing_seconds: as for `streaming_to_saved_model`.

    Returns:
        An `ExportReport`.

    Raises:
        ValueError: `quantization` or `states` is none of these, `"int8"` without `calibration_data` or with variables;
            `chunk` or `batch` has an int below 1; an operator is not builtin, then the message names it and the layer;
            weights are not finite, data do not fit or say nothing; or the stream stays below the floor.
        TypeError: an argument of the wrong type.
        ImportError: LiteRT, or for some recipes the LiteRT Quantizer, is not installed.
        OSError: the path cannot be written.

    Example:

    >>> import lucid_keras as lk, numpy as np, tempfile
    >>> from ai_edge_litert.interpreter import Interpreter
    >>> streaming = lk.StreamingConvTranspose1d(lk.ConvTranspose1d(4, 2, kernel_size=4, stride=2))
    >>> report = streaming_to_tflite(streaming, tempfile.mkdtemp() + "/live.tflite")
    >>> live = Interpreter(str(report.path))
    >>> states = live.get_signature_runner("initial_state")()
    >>> following = live.get_signature_runner("step")(x=np.zeros((1, 4, 1), "float32"), **states)
    >>> following.pop("y").shape, sorted(following), report.snr_db > 110
    ((1, 2, 2), ['overlap'], True)
    """
    _check_streams(model)
    recipe = recipe_named(quantization, streams=True)
    check_choice("states", states, get_args(States))
    check_float_layers(float_layers, recipe)
    check_flag("compare_layers", compare_layers)
    check_flag("exact_products", exact_products)
    number("timing_seconds", timing_seconds, least=0)
    check_recipe(recipe, calibration_data)
    further = chosen(prove_on, "tflite")
    if recipe.calibrated and states == "variables":
        raise ValueError(
            "A calibrated file takes its states as inputs: the TFLite converter cannot calibrate variables. "
            f"Received: quantization={quantization!r}, states='variables'"
        )
    chunks, batch = checked_chunks(chunk, model.granularity), checked_count("batch", batch, "stream", least=1)
    destination, floor = checked_destination(path), Floor.of(floor_db, recipe)
    check_model(model, "float32")
    given = read_given(stream_inputs(model), verification_data, calibration_data)
    claims, verified_on = live_claims(model, chunks, batch, given)
    calibration = typical_inputs(model, chunks, given.calibration, batch) if recipe.calibrated else None
    explicit = functools.partial(_with_explicit_states, model, chunks, batch, recipe, calibration)
    observed = lambda kept: LiteRT(explicit(observed=True).written(kept))  # noqa: E731
    mixed = _with_variables(model, chunks, batch, recipe) if states == "variables" else explicit()
    attempt = Attempt(
        model,
        destination,
        mixed,
        claims,
        further,
        layers=lambda kept: live_layer_accuracies(model, observed(kept), chunks, claims[0]),
        compare_layers=compare_layers,
        exact_products=exact_products,
        facts={
            "seconds": timing_seconds,
            "warnings": (*given.warnings, *_uncovered(model, mixed, chunks, batch, claims[0])),
            "verified_on": verified_on,
        },
    )
    return attempt.export(float_layers, floor)


def _check_streams(model):
    if not isinstance(model, Streaming):
        raise TypeError(f"model must be a StreamingConvTranspose1d or a StreamingModel. Received: model={model!r}")


def _with_explicit_states(model, chunks, batch, recipe, calibration, observed=False):
    """A `Mixed` of the signatures of `stream_signatures`, the first for LiteRT's default delegate."""
    with lowering_for("litert"):
        signatures = stream_signatures(model, chunks, batch, observed)
    return in_recipe(model, unquantized_traced(model, signatures, recipe, first="step"), recipe, calibration)


def _with_variables(model, chunks, batch, recipe):
    with lowering_for("litert"):
        signatures = stream_signatures(model, chunks, batch)
    module, functions = with_states_in_variables(signatures)
    return in_recipe(model, unquantized_traced(model, functions, recipe, states=module, first="step"), recipe)


def _uncovered(model, mixed, chunks, batch, claim):
    """Warnings of what the verified streams bring that calibration did not."""
    if not mixed.recipe.calibrated:
        return ()
    first_rows = [{name: array[:1] for name, array in sample.items()} for sample in claim.samples]
    return uncovered(mixed, typical_inputs(model, chunks, first_rows, batch))
