"""The versions of a file's operators: a runtime that cannot compute one must be able to refuse it."""

import keras
import numpy as np
import pytest

import lucid_keras as lk
from lucid_keras.export import streaming_to_tflite, to_tflite
from lucid_keras.export.flatbuffer import builtin_name, schema
from lucid_keras.export.flatbuffer_edits import ALIGNMENT, with_honest_versions
from lucid_keras.runtimes import LiteRT

# The highest that TensorFlow Lite 2.14 knows, of 2023; in float32 its dense layers take several scales for one.
KNOWN_IN_2023 = {"FULLY_CONNECTED": 10, "DEQUANTIZE": 5}
RECIPES = {
    "float32": {"FULLY_CONNECTED": 5, "CONV_2D": 1},
    "dynamic_int8": {"FULLY_CONNECTED": 12, "CONV_2D": 5},
    "weight_only_int8": {"DEQUANTIZE": 5, "FULLY_CONNECTED": 5, "CONV_2D": 1},
    "weight_only_int4": {"DEQUANTIZE": 6, "FULLY_CONNECTED": 5, "CONV_2D": 1},
    "int8": {"FULLY_CONNECTED": 5, "CONV_2D": 3, "DEQUANTIZE": 2},
}


def model_of(width):
    """A dense layer, and convolutions of several channels and of one."""
    return keras.Sequential(
        [
            keras.Input((10, width), name="x"),
            keras.layers.Dense(width),
            lk.ConvTranspose1d(width, 8, 8, stride=4, data_format="channels_last"),
            keras.layers.Conv1D(1, 3),
        ]
    )


def written(content):
    """The schema's object of a file."""
    return schema().ModelT.InitFromPackedBuf(content, 0)


def versions(content):
    """By operator, the highest version in the file."""
    model, found = written(content), {}
    for operator in (operator for graph in model.subgraphs for operator in graph.operators):
        name = builtin_name(model, operator)
        found[name] = max(found.get(name, 1), model.operatorCodes[operator.opcodeIndex].version)
    return found


@pytest.mark.parametrize("recipe", RECIPES)
def test_weights_of_several_scales_ask_for_a_runtime_that_knows_them(recipe, tmp_path, rng):
    data = rng.standard_normal((20, 10, 24)).astype("float32") if recipe == "int8" else None
    path = tmp_path / "versions.tflite"
    to_tflite(model_of(24), path, quantization=recipe, calibration_data=data, floor_db=5, timing_seconds=0)
    found = versions(path.read_bytes())
    assert {name: found[name] for name in RECIPES[recipe]} == RECIPES[recipe]


def test_a_runtime_of_2023_can_refuse_a_stream_of_dynamic_int8(tmp_path):
    streaming = lk.StreamingModel(
        keras.Sequential([keras.Input((None, 8)), keras.layers.LSTM(8, return_sequences=True)])
    )
    streaming_to_tflite(streaming, tmp_path / "live.tflite", quantization="dynamic_int8", timing_seconds=0)
    assert versions((tmp_path / "live.tflite").read_bytes())["FULLY_CONNECTED"] > KNOWN_IN_2023["FULLY_CONNECTED"]


@pytest.mark.parametrize(
    ("recipe", "raised"), [("dynamic_int8", "FULLY_CONNECTED"), ("weight_only_int4", "DEQUANTIZE")]
)
def test_weights_behind_the_flatbuffer_are_found_again(recipe, raised, tmp_path, rng):
    """A version that was the default needs room in the flatbuffer, and what lies behind it moves."""
    model, path = model_of(768), tmp_path / "large.tflite"
    to_tflite(model, path, quantization=recipe, floor_db=5, timing_seconds=0)
    content = path.read_bytes()
    offsets = [buffer.offset for buffer in written(content).buffers if buffer.offset > 1]
    assert len(offsets) > 1
    assert [offset % ALIGNMENT for offset in offsets] == [0] * len(offsets)
    assert any(versions(content).get(name, 1) > known for name, known in KNOWN_IN_2023.items())
    x = rng.standard_normal((1, 10, 768)).astype("float32")
    ((_, y),) = LiteRT(content).run("serving_default", {"x": x}).items()
    error = np.square(y - model(x)).sum() / np.square(model(x)).sum()
    assert error < 10 ** -(2.5 if recipe == "dynamic_int8" else 1.2)


def test_an_honest_file_stays_as_it_is(tmp_path):
    to_tflite(model_of(24), tmp_path / "f.tflite", quantization="dynamic_int8", timing_seconds=0)
    content = (tmp_path / "f.tflite").read_bytes()
    assert with_honest_versions(content) is content
