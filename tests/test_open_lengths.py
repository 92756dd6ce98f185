"""A file of an open length keeps on the delegate what a file of a fixed one keeps."""

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

import lucid_keras as lk
from lucid_keras.export.constant_shapes import with_constant_shapes
from lucid_keras.export.flatbuffer import contents

RECIPES = ("float32", "float16", "dynamic_int8", "weight_only_int8", "int8")


def vocoder(**convolution):
    return keras.Sequential(
        [
            keras.Input((None, 32), name="mel"),
            keras.layers.Conv1D(48, 7, padding="same", name="pre"),
            keras.layers.LeakyReLU(0.1),
            keras.layers.Conv1D(48, 3, name="dilated", **convolution),
            lk.ConvTranspose1d(48, 24, 16, 8, 4, data_format="channels_last", name="up"),
            keras.layers.Conv1D(1, 7, padding="same", activation="tanh", name="post"),
        ]
    )


def exported(model, path, quantization="float32", length="dynamic"):
    data = np.random.default_rng(0).standard_normal((10, 40, 32)).astype("float32")
    options = {"calibration_data": data} if quantization == "int8" else {}
    return lk.export.to_tflite(model, path, quantization=quantization, length=length, timing_seconds=0, **options)


@pytest.mark.parametrize("quantization", RECIPES)
def test_all_of_a_vocoder_is_delegated(quantization, tmp_path):
    model = vocoder(padding="causal", dilation_rate=3, activation="relu")
    report = exported(model, tmp_path / "a.tflite", quantization)
    assert (report.delegated, report.partitions) == (report.total, 1)
    (told,) = report.warnings
    assert told.endswith("ms more"), "nothing that a fixed length would mend"


@pytest.mark.parametrize("padding", ["valid", "same", "causal"])
@pytest.mark.parametrize("use_bias", [True, False])
def test_a_dilated_convolution_is_one(padding, use_bias, tmp_path):
    """In integers to the last digit, at lengths that its dilation does and does not divide."""
    layer = keras.layers.Conv1D(5, 4, padding=padding, dilation_rate=3, use_bias=use_bias, activation="relu")
    model = keras.Sequential([keras.Input((None, 2), name="x"), layer])
    rng = np.random.default_rng(0)
    for weight in layer.weights:
        weight.assign(rng.integers(-8, 9, weight.shape))
    report = lk.export.to_tflite(model, tmp_path / "a.tflite", length="dynamic", timing_seconds=0)
    assert report.counts().get("CONV_2D") == 1
    assert not {"SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND", "EXPAND_DIMS"} & {*report.ops}
    loaded = Interpreter(str(report.path)).get_signature_runner()
    for length in (12, 13, 17):
        x = rng.integers(-8, 9, (1, length, 2)).astype("float32")
        (y,) = loaded(x=x).values()
        np.testing.assert_array_equal(y, model(x))


def test_a_file_begins_at_a_length_that_it_can_compute(tmp_path):
    """Not at one position, of which a convolution of seven without padding makes nothing."""
    layer = keras.layers.Conv1D(3, 7, dilation_rate=2)
    model = keras.Sequential([keras.Input((None, 2), name="x"), layer])
    for quantization in ("float32", "dynamic_int8"):
        report = lk.export.to_tflite(
            model, tmp_path / "a.tflite", length="dynamic", quantization=quantization, timing_seconds=0
        )
        loaded = Interpreter(str(report.path))
        (described,) = loaded.get_input_details()
        assert (described["shape"].tolist(), described["shape_signature"].tolist()) == ([1, 16, 2], [1, -1, 2])


def test_a_shape_of_two_open_extents_is_computed(tmp_path):
    """Of which no constant could say the one and the other."""
    x = keras.Input((None, None, 4), name="x")
    model = keras.Model(x, keras.layers.Dense(3)(keras.ops.expand_dims(x, 1)))
    report = lk.export.to_tflite(model, tmp_path / "a.tflite", length="dynamic", timing_seconds=0)
    loaded = Interpreter(str(report.path)).get_signature_runner()
    x = np.random.default_rng(0).standard_normal((1, 3, 5, 4)).astype("float32")
    (y,) = loaded(x=x).values()
    np.testing.assert_allclose(y, model(x), atol=1e-5)


def test_a_fixed_length_has_nothing_to_mend(tmp_path):
    content = exported(vocoder(dilation_rate=3), tmp_path / "a.tflite", length=40).path.read_bytes()
    assert with_constant_shapes(content) is content
    assert "EXPAND_DIMS" not in contents(content).counts()
