"""Grouped layers in files: exact, and without what LiteRT's GPU accelerator computes wrongly without a word.

What it does to grouped convolutions was measured on it; what a file holds of them is read here.
"""

import dataclasses

import arrays
import keras
import numpy as np
import pytest
import reference
from cases import CASES, Case, random_case

import lucid_keras as lk
from lucid_keras.export import flatbuffer
from lucid_keras.export.convert import convert
from lucid_keras.export.devices import refusals
from lucid_keras.export.recipes import RECIPES
from lucid_keras.export.signatures import signatures
from lucid_keras.runtimes.litert import LiteRT

NARROW = {name: case for name, case in CASES.items() if case.groups > 1}
WIDE = {
    "two_wide": Case(36, 36, 8, stride=4, padding=2, groups=2),
    "no_whole_lanes_out": Case(24, 10, 6, stride=3, groups=2, output_padding=2),
    "three_wide": Case(54, 27, 6, stride=3, padding=1, groups=3),
    "prime": Case(74, 37, 4, stride=2, groups=37),
    "many": Case(50, 50, 5, stride=3, dilation=2, groups=25, bias=False),
    "wide_dilated": Case(45, 90, 3, stride=2, dilation=3, groups=5, output_padding=1),
    "one_tap_multiplied": Case(9, 18, 7, stride=8, padding=7, groups=9),
}


def drawn(seed, count):
    """Grouped cases of every kind by their numbers."""
    rng, found = np.random.default_rng(seed), {}
    while len(found) < count:
        case = random_case(rng)
        if case.groups > 1 and case.output_length > 0:
            found[f"drawn_{len(found)}"] = case
    return found


@pytest.fixture(scope="module", params=[NARROW, WIDE, drawn(8, 20)], ids=["narrow", "wide", "drawn"])
def layers(request):
    """One file of many layers: its bytes, and by the layer's name its case and its numbers."""
    rng = np.random.default_rng(5)
    cases = {name: dataclasses.replace(case, batch=1) for name, case in request.param.items()}
    numbers = {name: arrays.integers(case, rng) for name, case in cases.items()}
    inputs = {name: keras.Input(numbers[name].x.shape[1:], name=name) for name in cases}
    outputs = {}
    for name, case in cases.items():
        layer = lk.ConvTranspose1d(**case.layer_arguments)
        outputs[f"y_{name}"] = layer(inputs[name])
        layer.set_weights([array for array in (numbers[name].weight, numbers[name].bias) if array is not None])
    model = keras.Model(list(inputs.values()), outputs)
    content = convert(model, signatures(model, None, batch=1), RECIPES["float32"]).written()
    return content, cases, numbers


def test_grouped_layers_are_exact_in_a_file(layers):
    content, cases, numbers = layers
    given = LiteRT(content).run("serving_default", {name: numbers[name].x for name in cases})
    for name, case in cases.items():
        data = numbers[name]
        want = reference.conv_transpose1d(data.x, data.weight, data.bias, **case.parameters)
        np.testing.assert_array_equal(given[f"y_{name}"], want, err_msg=name)


def test_a_file_holds_nothing_that_the_gpu_computes_wrongly_or_leaves(layers):
    found = flatbuffer.contents(layers[0])
    assert wrong_on_gpu(found) == []
    assert max(len(tensor.shape) for tensor in found.tensors) <= 4


def test_a_live_file_of_two_streams_holds_nothing_that_the_gpu_computes_wrongly(tmp_path):
    layer = lk.ConvTranspose1d(6, 6, 9, stride=3, dilation=2, groups=3, data_format="channels_last")
    path = tmp_path / "live.tflite"
    lk.export.streaming_to_tflite(lk.StreamingConvTranspose1d(layer), path, chunk=2, batch=2, timing_seconds=0)
    assert wrong_on_gpu(flatbuffer.read(path)) == []


@pytest.mark.parametrize("recipe", [name for name, recipe in RECIPES.items() if not recipe.calibrated])
def test_no_recipe_writes_weights_of_groups_that_the_gpu_widens_wrongly(recipe):
    up = lk.ConvTranspose1d(32, 32, 6, stride=3, groups=2, data_format="channels_last", name="up")
    model = keras.Sequential([keras.Input((24, 32), name="x"), up, keras.layers.Conv1D(32, 3, groups=4, name="own")])
    content = convert(model, signatures(model, None, batch=1), RECIPES[recipe]).written()
    assert wrong_on_gpu(flatbuffer.contents(content)) == []


@pytest.mark.parametrize(
    ("shape", "apply", "refusal"),
    [
        ((9, 12), keras.layers.Conv1D(6, 3, groups=2), "zeros: CONV_2D with 6 channels a group in and 3 out"),
        ((9, 12), keras.layers.DepthwiseConv1D(1, depth_multiplier=2), "wrong numbers: DEPTHWISE_CONV_2D of one tap"),
        ((9, 12), lambda x: keras.ops.pad(x, [(0, 0), (1, 0), (0, 0)]), "wrong numbers: PAD of 2 signals"),
    ],
    ids=["groups", "one_tap", "pad"],
)
def test_what_the_gpu_computes_wrongly_is_refused_by_name(shape, apply, refusal):
    x = keras.Input(shape, name="x", batch_size=2)
    model = keras.Model(x, apply(x))
    content = convert(model, signatures(model, None, batch=2), RECIPES["float32"]).written()
    found = refusals(flatbuffer.contents(content), content)["LiteRT GPU"]
    assert any(sentence.startswith(refusal) for sentence in found), found


def wrong_on_gpu(contents):
    """What `inspect` says that LiteRT's GPU accelerator computes wrongly."""
    found = refusals(contents, b"")["LiteRT GPU"]
    return [sentence for sentence in found if sentence.startswith(("zeros", "wrong"))]
