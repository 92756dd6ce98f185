"""Weights are laid out once, in the file, and never in a call."""

import copy

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

import lucid_keras as lk
from lucid_keras._lowering.target import lowering_for
from lucid_keras.export.constant_layouts import LAYOUTS, with_constants_laid_out
from lucid_keras.export.convert import unquantized_traced
from lucid_keras.export.flatbuffer import builtin_name, contents, schema
from lucid_keras.export.flatbuffer_edits import packed, unpacked
from lucid_keras.export.recipes import RECIPES
from lucid_keras.export.signatures import signatures, traced

WIDE = [(6, 5, 16, 8, 4, 1), (6, 4, 7, 3, 2, 2), (800, 400, 4, 2, 1, 1)]  # the last as one matrix product


def left_undone(weight, options, dtype):
    """A file that lays its weight out in each call, as the converter leaves one of 128 MiB, and what it gives."""

    def apply(x, weight):
        y = lk.conv_transpose1d(x, tf.cast(weight, tf.float32), data_format="channels_last", **options)
        return {"y": y}

    specs = tf.TensorSpec([1, 9, weight.shape[0]], name="x"), tf.TensorSpec(weight.shape, dtype, "weight")
    with lowering_for("litert"):
        traced = tf.function(apply, autograph=False).get_concrete_function(*specs)
    model = unpacked(unquantized_traced(None, {"serving_default": traced}, RECIPES["float32"]))
    (graph,), (signature,) = model.subgraphs, model.signatureDefs
    (held,) = (one for one in signature.inputs if one.name == b"weight")
    signature.inputs.remove(held)
    graph.inputs = [index for index in graph.inputs if index != held.tensorIndex]
    model.buffers.append(schema().BufferT())
    model.buffers[-1].data = np.frombuffer(weight.astype(dtype).tobytes(), np.uint8)
    graph.tensors[held.tensorIndex].buffer = len(model.buffers) - 1
    for operator in graph.operators:
        if builtin_name(model, operator) == "CAST":  # of float16, as that recipe widens weights
            code = model.operatorCodes[operator.opcodeIndex]
            code.builtinCode = code.deprecatedBuiltinCode = schema().BuiltinOperator.DEQUANTIZE
            operator.builtinOptionsType, operator.builtinOptions = 0, None
    return packed(model)


def output(content, x):
    (y,) = Interpreter(model_content=content).get_signature_runner()(x=x).values()
    return y


def layouts_of_constants(content):
    """The operators that lay out what depends on no input."""
    model = unpacked(content)
    (graph,) = model.subgraphs
    fed, found = {*graph.inputs}, []
    for operator in graph.operators:
        if fed.intersection(operator.inputs):
            fed.update(operator.outputs)
        elif builtin_name(model, operator) in LAYOUTS:
            found.append(builtin_name(model, operator))
    return found


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("case", WIDE, ids=str)
def test_weights_are_laid_out_once(case, dtype, rng):
    in_channels, out_channels, kernel_size, stride, padding, groups = case
    weight = rng.integers(-8, 8, (in_channels, out_channels // groups, kernel_size)).astype("float32")
    before = left_undone(weight, {"stride": stride, "padding": padding, "groups": groups}, dtype)
    after = with_constants_laid_out(before)
    assert layouts_of_constants(before)
    assert not layouts_of_constants(after)
    x = rng.integers(-8, 8, (1, 9, in_channels)).astype("float32")
    np.testing.assert_array_equal(output(after, x), output(before, x))
    whole = -(-kernel_size // stride) * stride * groups / kernel_size  # blocks, and for each group the others' zeros
    assert len(after) < whole * len(before), "the weights are there once"
    largest = max((one for one in contents(after).tensors if one.constant), key=lambda one: np.prod(one.shape))
    assert largest.dtype == dtype


def test_an_operator_without_outputs_is_no_hindrance(rng):
    """As ASSIGN_VARIABLE, with which live files keep their states."""
    model = unpacked(left_undone(rng.standard_normal((6, 5, 16)).astype("float32"), {"stride": 8}, "float16"))
    (graph,) = model.subgraphs
    silent = copy.copy(graph.operators[-1])
    silent.outputs = []
    graph.operators.append(silent)
    (after,) = unpacked(with_constants_laid_out(packed(model))).subgraphs
    assert len(after.operators) < len(graph.operators)
    assert after.operators[-1].outputs is None or not len(after.operators[-1].outputs)


@pytest.mark.parametrize("kernel_size", [16, 7, 2])
def test_the_converter_has_no_weights_to_concatenate(kernel_size):
    """It makes an attribute of each number: of 300 MB of weights it took 40 of a minute's seconds."""
    layer = lk.ConvTranspose1d(64, 48, kernel_size, stride=8, padding=kernel_size // 4, data_format="channels_last")
    model = keras.Sequential([keras.Input((40, 64)), layer])
    (signature,) = signatures(model, None, batch=1)
    graph = traced(model, signature, "litert").graph
    concatenated = [one.outputs[0].shape for one in graph.get_operations() if one.type == "ConcatV2"]
    assert max(map(np.prod, concatenated), default=0) <= 8 * 48, "a bias for each phase, no weights"


def test_a_file_without_them_stays_as_it_is(tmp_path):
    model = keras.Sequential([keras.Input((8, 4)), keras.layers.Conv1D(3, 3), keras.layers.ReLU()])
    content = lk.export.to_tflite(model, tmp_path / "a.tflite", timing_seconds=0).path.read_bytes()
    assert with_constants_laid_out(content) is content


@pytest.mark.sweep
@pytest.mark.parametrize("quantization", ["float32", "float16", "dynamic_int8", "int8"])
def test_128_mib_of_weights(quantization, tmp_path):
    """Oobleck's first upsampler: one product and what lies about it, its weights in the recipe's dtype."""
    layer = lk.ConvTranspose1d(2048, 1024, 16, stride=8, padding=4, data_format="channels_last")
    model = keras.Sequential([keras.Input((16, 2048)), layer])
    data = np.random.default_rng(0).standard_normal((16, 16, 2048)).astype("float32")
    options = {"calibration_data": data} if quantization == "int8" else {}
    report = lk.export.to_tflite(model, tmp_path / "a.tflite", quantization=quantization, timing_seconds=0, **options)
    assert not layouts_of_constants(report.path.read_bytes())
    size = {"float32": 4, "float16": 2}.get(quantization, 1) * 2048 * 1024 * 16
    assert size <= report.bytes < 1.01 * size
    assert report.partitions == 1
