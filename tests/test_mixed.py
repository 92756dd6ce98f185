"""Files with some layers in float32: which stay so by themselves, which a user names, and the fewest for a floor."""

import re

import keras
import numpy as np
import pytest
from test_culprits import LENGTH, outlier, residual, shared, snakes

import lucid_keras as lk
from lucid_keras.export import BelowFloorError, convert, streaming_to_tflite, to_tflite
from lucid_keras.export.flatbuffer import graphs, read
from lucid_keras.export.origins import Origins
from lucid_keras.export.selection import culprits

layers, ops = keras.layers, keras.ops
DATA = np.random.default_rng(0).standard_normal((20, LENGTH, 8)).astype("f")
INT8 = {"quantization": "int8", "calibration_data": DATA, "length": LENGTH, "timing_seconds": 0}


@pytest.fixture(autouse=True)
def _names_count_from_here():
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)


def in_float(path, model):
    """The paths of the layers with operators whose weights or results are floating-point."""
    (graph,) = graphs(path.read_bytes())
    named = zip(graph, Origins(model).of(graph), strict=True)
    return {layer for one, layer in named if one.name not in ("QUANTIZE", "DEQUANTIZE") and "float32" in one.dtypes}


# ---- origins ---------------------------------------------------------------------------------------------------------


def test_each_operator_knows_its_layer_whatever_the_names(tmp_path):
    """`conv1d` comes twice, beside a `conv1d_1` and a `conv1d_2`."""
    model = shared()
    to_tflite(model, tmp_path / "x.tflite", length=LENGTH, timing_seconds=0)
    (graph,) = graphs((tmp_path / "x.tflite").read_bytes())
    pairs = zip(graph, Origins(model).of(graph), strict=True)
    convolutions = [layer for one, layer in pairs if one.name == "CONV_2D"]
    assert convolutions == ["conv1d_1", "conv1d", "conv1d", "conv1d_2", "up", "conv1d_3"]


def test_a_trace_leaves_the_layers_their_own_calls(tmp_path):
    model = residual()
    to_tflite(model, tmp_path / "x.tflite", length=LENGTH, timing_seconds=0)
    assert not [one.name for one in model.operations if "call" in vars(one)]


# ---- what stays in float32 by itself ---------------------------------------------------------------------------------


def test_what_integers_hold_badly_stays_in_float32_with_what_lies_beside_it(tmp_path):
    model = snakes()
    report = to_tflite(model, tmp_path / "x.tflite", **INT8)
    assert {"snake_0", "snake_1", "snake_2"} <= in_float(report.path, model)
    assert {one.dtypes[1] for one in read(report.path).operators if one.name == "CONV_2D"} == {"int8"}
    assert report.snr_db > 25
    assert report.delegated == report.total


def test_integers_throughout_where_inputs_and_outputs_are(tmp_path):
    model = residual()
    report = to_tflite(model, tmp_path / "x.tflite", integer_io=True, **INT8)
    assert not in_float(report.path, model)


def spectral():
    """The head of Vocos: logarithms of magnitudes, phases, and the inverse transform."""
    frames = keras.Input((LENGTH, 8))
    x = layers.Conv1D(16, 3, padding="same", name="body")(frames)
    x = layers.Dense(2 * 9, name="head")(layers.LeakyReLU()(x))
    magnitude, phase = ops.exp(x[..., :9]), x[..., 9:]
    spectrum = ops.concatenate([magnitude * ops.cos(phase), magnitude * ops.sin(phase)], -1)
    return keras.Model(frames, lk.ISTFT(16, 4, data_format="channels_last", name="istft")(spectrum))


@pytest.mark.parametrize("quantization", ["int8", "dynamic_int8", "weight_only_int8"])
def test_an_inverse_transform_and_the_logarithms_that_it_is_given_stay_in_float32(quantization, tmp_path):
    data = {"calibration_data": DATA} if quantization == "int8" else {}
    to_tflite(spectral(), tmp_path / "x.tflite", quantization=quantization, floor_db=-9, timing_seconds=0, **data)
    weights = [one for one in read(tmp_path / "x.tflite").tensors if one.dtype == "int8" and one.scales > 1]
    assert {one.name.split("/")[0] for one in weights} == {"body"}


# ---- what a user names -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [["up"], ("first", "residual_0")])
def test_named_layers_stay_in_float32(names, tmp_path):
    model = residual()
    plain = to_tflite(model, tmp_path / "plain.tflite", **INT8)
    report = to_tflite(model, tmp_path / "x.tflite", float_layers=names, **INT8)
    assert report.float_layers == tuple(names)
    assert set(names) <= in_float(report.path, model)
    assert report.snr_db > plain.snr_db
    assert ("in float32", ", ".join(names)) in report.facts()


@pytest.mark.parametrize("quantization", ["dynamic_int8", "weight_only_int8", "weight_only_int4"])
def test_of_recipes_for_weights_too(quantization, tmp_path):
    options = {"quantization": quantization, "length": LENGTH, "floor_db": 1, "timing_seconds": 0}
    names = ["first", "residual_0", "residual_1", "up", "last"]
    ratios = [
        to_tflite(residual(), tmp_path / "x.tflite", float_layers=names[:count], **options).snr_db
        for count in (0, 4, 5)
    ]
    assert ratios[0] < ratios[1] < 110 < ratios[2]


def test_a_path_or_a_model_names_layers_of_a_model_in_the_model(tmp_path):
    frames = keras.Input((LENGTH, 8))
    block = keras.Sequential(
        [keras.Input((LENGTH, 8)), layers.Dense(8, name="a"), layers.Dense(8, name="b")], name="block"
    )
    model = keras.Model(frames, layers.Dense(2, name="c")(block(frames)))
    options = INT8 | {"length": None}
    for names, kept in (("block/a",), ("block/a",)), (("block",), ("block/a", "block/b")), (("b",), ("block/b",)):
        assert to_tflite(model, tmp_path / "x.tflite", float_layers=names, **options).float_layers == kept


def test_layers_of_a_stream_stay_in_float32(tmp_path):
    model = keras.Sequential(
        [
            keras.Input((None, 8)),
            layers.Conv1D(6, 3, padding="causal", name="causal"),
            lk.ConvTranspose1d(6, 2, 4, stride=2, data_format="channels_last", name="up"),
        ]
    )
    streaming, options = lk.StreamingModel(model), {"quantization": "dynamic_int8", "chunk": (1, 4)}
    plain = streaming_to_tflite(streaming, tmp_path / "a.tflite", **options)
    report = streaming_to_tflite(streaming, tmp_path / "b.tflite", float_layers=["causal", "up"], **options)
    assert plain.snr_db < 60 < 110 < report.snr_db


REFUSED = {
    "unknown": ({"float_layers": ["residual_9"]}, ValueError, r"such as 'residual_[01]'.*Received: 'residual_9'"),
    "text": ({"float_layers": "up"}, TypeError, "a sequence of layers' names, or 'auto'"),
    "number": ({"float_layers": [3]}, TypeError, "a sequence of layers' names, or 'auto'"),
    "recipe": (
        {"float_layers": ["up"], "quantization": "float16", "calibration_data": None},
        ValueError,
        "with integers",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_wrong_names_are_refused(kind, tmp_path):
    options, error, message = REFUSED[kind]
    with pytest.raises(error, match=message):
        to_tflite(residual(), tmp_path / "x.tflite", **INT8 | options)
    assert not list(tmp_path.iterdir())


# ---- the fewest ------------------------------------------------------------------------------------------------------


def bad():
    model = residual()
    outlier(model.get_layer("residual_1"), model.get_layer("residual_0"))
    return model


def test_auto_keeps_the_fewest_that_the_floor_needs(tmp_path):
    model = bad()
    report = to_tflite(model, tmp_path / "x.tflite", float_layers="auto", floor_db=22, **INT8)
    assert report.snr_db >= 22
    assert report.curve[0].kept == ()
    assert report.curve[0].snr_db < 22
    assert report.curve[-1].kept == report.float_layers
    fewer = [one for one in report.curve if len(one.kept) < len(report.float_layers)]
    assert all(one.snr_db < 22 for one in fewer)
    assert len(report.float_layers) - 1 in {len(one.kept) for one in fewer}
    assert "tried" in str(report)
    assert "layers in float32" in report.as_html()
    assert len(report.as_dict()["curve"]) == len(report.curve)


def test_auto_keeps_none_where_the_recipe_holds(tmp_path):
    report = to_tflite(residual(), tmp_path / "x.tflite", float_layers="auto", **INT8)
    assert report.float_layers == ()
    assert [one.kept for one in report.curve] == [()]


def test_layers_come_in_the_order_of_their_noise_and_no_more_are_measured_than_it_takes():
    loud = {"c": 5.0, "f": 9.0, "g": 1.0}
    asked = []

    def noise(group):
        asked.append(group)
        return sum(loud.get(name, 0.01) for name in group)

    found = culprits("abcdefghijklmnop", noise)
    assert [next(found) for _ in range(3)] == [("f", 9.0), ("c", 5.0), ("g", 1.0)]
    assert len(asked) <= 16
    assert next(culprits("", noise), None) is None
    assert list(culprits("f", noise)) == [("f", 9.0)]


# ---- what a refused export found -------------------------------------------------------------------------------------


def test_a_refused_export_is_tried_again_without_converting(tmp_path, monkeypatch):
    with pytest.raises(BelowFloorError, match=r"float_layers=\['\w+'\] reaches \d") as refusal:
        to_tflite(bad(), tmp_path / "x.tflite", floor_db=30, **INT8)
    monkeypatch.setattr(convert, "_converted", None)
    monkeypatch.setattr(convert, "statistics", None)
    with pytest.raises(BelowFloorError, match="must reach 60 dB"):
        refusal.value.retry(float_layers=["up"], floor_db=60)
    report = refusal.value.retry(float_layers="auto", floor_db=22)
    assert report.path.is_file()
    assert report.snr_db >= 22 > report.curve[0].snr_db


def test_only_an_export_can_be_tried_again():
    with pytest.raises(ValueError, match="can be tried again"):
        BelowFloorError("of a SavedModel").retry()


# ---- calibration -----------------------------------------------------------------------------------------------------


def test_values_that_calibration_did_not_bring_are_told_of_by_layer(tmp_path):
    report = to_tflite(residual(), tmp_path / "x.tflite", verification_data=3 * DATA, **INT8 | {"floor_db": 0})
    (told,) = [warning for warning in report.warnings if warning.startswith("calibration: ")]
    assert re.search(r"of \d+ layers more values than one in a hundred lie outside .*, \d\d % of '\w+'", told)
    assert not to_tflite(residual(), tmp_path / "x.tflite", **INT8).warnings
