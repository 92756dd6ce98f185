"""Keras's own layers in every recipe: each is part of a proven file, or refused by a sentence that names it."""

import pathlib
import re

import keras
import numpy as np
import pytest
from keras_layers import ACTIVATIONS, LAYERS, REFUSED, data_of, model_of

from lucid_keras.export import BelowFloorError, to_tflite
from lucid_keras.export.devices import refusals
from lucid_keras.export.flatbuffer import read
from lucid_keras.export.recipes import RECIPES

PAGE = pathlib.Path(__file__).resolve().parent.parent / "docs" / "keras_layers.md"
# The converter, or LiteRT, has no form of these in int16, or a wrong one.
WITHOUT_INT16 = ("LayerNormalization", "BatchNormalization", "ReLU", "PReLU", "silu", "hard_silu", "log_softmax", "elu")
QUICK = ("silu", "gelu", "Dense_silu", "LayerNormalization", "SeparableConv1D", "Attention", "LSTM_unrolled", "Add")


def export(cases, quantization, folder):
    model = model_of(cases)
    kind = "calibration_data" if RECIPES[quantization].calibrated else "verification_data"
    data = {kind: data_of(model, 40)}
    return to_tflite(model, folder / "layers.tflite", quantization=quantization, timing_seconds=0, **data)


def test_the_registry_has_every_activation():
    there = {name for name in dir(keras.activations) if not name.startswith("_")}
    assert there - {"deserialize", "get", "serialize", "swish", "hard_swish"} <= {*ACTIVATIONS}  # the last are aliases


def test_the_page_lists_every_refusal():
    rows = [f"| `{case}` | {recipe} |" for recipe, cases in REFUSED.items() for case in cases]
    assert re.findall(r"^\| `.*", PAGE.read_text(), re.M) == rows


@pytest.mark.parametrize("quantization", ["float32", "dynamic_int8"])
def test_some_layers(quantization, tmp_path):
    report = export(QUICK, quantization, tmp_path)
    assert {one.name for one in report.outputs} == set(QUICK)
    assert "DEPTHWISE_CONV_2D" in report.ops
    assert not [warning for warning in report.warnings if "DEPTHWISE_CONV_2D" in warning]


def test_what_has_no_int16_form_stays_in_float32(tmp_path):
    report = export(WITHOUT_INT16, "int16x8", tmp_path)
    assert report.snr_db > 110


def test_a_transposed_convolution_of_keras_in_int16(tmp_path):
    assert "TRANSPOSE_CONV" in export(["Conv1DTranspose", "Dense_silu"], "int16x8", tmp_path).ops


def test_what_follows_a_sigmoid_in_int16(tmp_path):
    layers = [keras.layers.Dense(8, activation="sigmoid"), keras.layers.Dense(4, bias_initializer="ones")]
    data = np.random.default_rng(0).uniform(-2, 2, (40, 12, 6))
    model = keras.Sequential([keras.Input((12, 6)), *layers])
    report = to_tflite(model, tmp_path / "x.tflite", quantization="int16x8", calibration_data=data, timing_seconds=0)
    assert report.snr_db > 45


@pytest.mark.parametrize("case", ["ReLU", "elu"])
def test_integers_at_the_ends_where_an_input_is_read_in_float32(case, tmp_path):
    model = model_of([case])
    options = {"calibration_data": data_of(model, 40), "integer_io": True, "timing_seconds": 0}
    report = to_tflite(model, tmp_path / "x.tflite", quantization="int8", **options)
    assert {"QUANTIZE", "DEQUANTIZE"} <= {*report.ops}
    report = to_tflite(model, tmp_path / "y.tflite", quantization="int16x8", **options)
    assert "int16" in report.signatures["serving_default"]["inputs"][0]
    assert report.ops[0] == "DEQUANTIZE"


def test_an_input_that_is_read_in_float32_and_in_int16(tmp_path):
    model = model_of(["elu", "Dense_silu"])
    options = {"calibration_data": data_of(model, 40), "integer_io": True, "timing_seconds": 0}
    report = to_tflite(model, tmp_path / "x.tflite", quantization="int16x8", **options)
    assert report.signatures["serving_default"]["inputs"] == ("x_0_12_6: int16[1, 12, 6]",)
    assert report.ops.count("DEQUANTIZE") == 2  # one for each activation
    assert report.ops.count("QUANTIZE") == 1


def test_what_is_in_float32_between_integers_at_the_ends_is_no_end(tmp_path):
    model = keras.Sequential([keras.Input((12, 6)), keras.layers.Dense(8, activation="sigmoid"), keras.layers.Dense(4)])
    options = {"calibration_data": data_of(model, 40), "integer_io": True, "timing_seconds": 0}
    report = to_tflite(model, tmp_path / "x.tflite", quantization="int16x8", **options)
    told = refusals(read(report.path), report.path.read_bytes())["Arm Ethos-U85"]
    assert told == ("floating point, left to the CPU: LOGISTIC",)


def test_what_has_no_int16_kernel_stays_in_float32_between_integers(tmp_path):
    """A norm's squared differences, for which LiteRT ended when the file ran."""
    model = keras.Sequential([keras.Input((12, 6)), keras.layers.Dense(8), keras.layers.LayerNormalization()])
    options = {"calibration_data": data_of(model, 40), "integer_io": True, "timing_seconds": 0}
    with pytest.raises(BelowFloorError, match=r"must reach 60 dB .* Received: [1-5]\d\.\d dB"):
        to_tflite(model, tmp_path / "x.tflite", quantization="int16x8", floor_db=60, **options)
    report = to_tflite(model, tmp_path / "x.tflite", quantization="int16x8", floor_db=20, **options)
    kinds = {one.name: one.dtypes for one in read(report.path).operators}
    assert set(kinds["SQUARED_DIFFERENCE"]) == {"float32"}


def test_integers_at_the_ends_of_loops_that_give_to_each_other(tmp_path):
    """What a loop is given beside the first output of another is no input of the model."""
    recurrent = [keras.layers.LSTM(4, return_sequences=True) for _ in range(2)]
    model = keras.Sequential([keras.Input((5, 6)), keras.layers.Dense(4), *recurrent, keras.layers.Dense(3)])
    options = {"calibration_data": data_of(model, 40), "integer_io": True, "timing_seconds": 0}
    report = to_tflite(model, tmp_path / "x.tflite", quantization="int16x8", **options)
    assert report.ops.count("WHILE") == 2


@pytest.mark.sweep
@pytest.mark.parametrize("case", LAYERS)
def test_every_layer_in_every_recipe(case, tmp_path):
    for quantization in RECIPES:
        if case not in REFUSED.get(quantization, ()):
            export([case], quantization, tmp_path)
        else:
            with pytest.raises(BelowFloorError):
                export([case], quantization, tmp_path)
