"""Keras's own layers in every recipe: each is part of a proven file, or refused by a sentence that names it."""

import pathlib
import re

import keras
import pytest
from keras_layers import ACTIVATIONS, LAYERS, REFUSED, data_of, model_of

from lucid_keras.export import to_tflite
from lucid_keras.export.recipes import RECIPES

PAGE = pathlib.Path(__file__).resolve().parent.parent / "docs" / "keras_layers.md"
QUICK = ("silu", "gelu", "Dense_silu", "LayerNormalization", "SeparableConv1D", "Attention", "LSTM_unrolled", "Add")


def export(cases, quantization, folder):
    model = model_of(cases)
    kind = "calibration_data" if RECIPES[quantization].calibrated else "verification_data"
    data = {kind: data_of(model, 40)}
    return to_tflite(model, folder / "layers.tflite", quantization=quantization, timing_seconds=0, **data)


def refusal(case, operators):
    """The pattern of the sentence that refuses a case: by its operators in their layer, or by its decibels."""
    named = [f"{operator} in the layer '{case}'" for operator in operators.split()]
    return "Received: " + (", ".join(named) or ".* dB in ")


def test_the_registry_has_every_activation():
    there = {name for name in dir(keras.activations) if not name.startswith("_")}
    assert there - {"deserialize", "get", "serialize", "swish", "hard_swish"} <= {*ACTIVATIONS}  # the last are aliases


def test_the_page_lists_every_refusal():
    rows = [
        f"| `{case}` | {recipe} | {', '.join(operators.split()) or 'below its floor'} |"
        for recipe, cases in REFUSED.items()
        for case, operators in cases.items()
    ]
    assert re.findall(r"^\| `.*", PAGE.read_text(), re.M) == rows


@pytest.mark.parametrize("quantization", ["float32", "dynamic_int8"])
def test_some_layers(quantization, tmp_path):
    report = export(QUICK, quantization, tmp_path)
    assert {one.name for one in report.outputs} == set(QUICK)
    assert "DEPTHWISE_CONV_2D" in report.ops
    assert not [warning for warning in report.warnings if "DEPTHWISE_CONV_2D" in warning]


def test_a_layer_without_an_int16_form_is_named(tmp_path):
    with pytest.raises(ValueError, match=refusal("LayerNormalization", "NEG")):
        export(["LayerNormalization"], "int16x8", tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.sweep
@pytest.mark.parametrize("case", LAYERS)
def test_every_layer_in_every_recipe(case, tmp_path):
    for quantization in RECIPES:
        operators = REFUSED.get(quantization, {}).get(case)
        if operators is None:
            export([case], quantization, tmp_path)
        else:
            with pytest.raises(ValueError, match=refusal(case, operators)):
                export([case], quantization, tmp_path)
