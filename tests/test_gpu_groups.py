"""Files hold nothing of what LiteRT's GPU accelerator computes wrongly without a word, and compute grouped layers exactly.

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
from lucid_keras.export.convert import convert
from lucid_keras.export.flatbuffer import builtin_name, schema
from lucid_keras.export.recipes import RECIPES
from lucid_keras.export.signatures import signatures
from lucid_keras.runtimes.litert import LiteRT

LANES = 4
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
    content = convert(model, signatures(model, None, batch=1), RECIPES["float32"])
    return content, cases, numbers


def test_grouped_layers_are_exact_in_a_file(layers):
    content, cases, numbers = layers
    given = LiteRT(content).run("serving_default", {name: numbers[name].x for name in cases})
    for name, case in cases.items():
        data = numbers[name]
        want = reference.conv_transpose1d(data.x, data.weight, data.bias, **case.parameters)
        np.testing.assert_array_equal(given[f"y_{name}"], want, err_msg=name)


def test_a_file_holds_nothing_that_the_gpu_computes_wrongly(layers):
    assert silently_wrong(layers[0]) == []


def test_a_grouped_convolution_by_hand_is_found():
    """What the test above looks for exists."""
    model = keras.Sequential([keras.Input((9, 12)), keras.layers.Conv1D(6, 3, groups=2)])
    content = convert(model, signatures(model, None, batch=1), RECIPES["float32"])
    assert silently_wrong(content) == ["CONV_2D"]


def silently_wrong(content):
    """The operators that LiteRT's GPU accelerator (2.3) computes wrongly or leaves to the CPU for their dimensions."""
    model = schema().ModelT.InitFromPackedBuf(content, 0)
    found = []
    for graph in model.subgraphs:
        for operator in graph.operators:
            name = builtin_name(model, operator)
            x, kernel, *_ = (graph.tensors[index].shape for index in (*operator.inputs, *operator.inputs))
            out = graph.tensors[operator.outputs[0]].shape
            groups = x[-1] // kernel[-1] if name == "CONV_2D" else 1
            in_lanes = kernel[-1] % LANES == out[-1] // max(groups, 1) % LANES == 0
            one_tap = name == "DEPTHWISE_CONV_2D" and kernel[1] == kernel[2] == 1
            if (groups > 1 and not in_lanes) or (one_tap and out[-1] > x[-1] > 1) or max(len(x), len(out)) > LANES:
                found.append(name)
    return found
