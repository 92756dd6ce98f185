"""The contract of `to_tflite`: what it takes, what it refuses and what its report says."""

import html.parser
import json
import math
import os
import re

import keras
import numpy as np
import pytest
import soundfile
import tensorflow as tf

import lucid_keras as lk
from lucid_keras.export import pictures, to_saved_model, to_tflite
from lucid_keras.export.drawn_samples import OPEN_LENGTHS
from lucid_keras.export.flatbuffer import read
from lucid_keras.export.pictures import waveforms
from lucid_keras.runtimes.litert import LiteRT, interpreter


def vocoder(length=None):
    """Two upsampling layers with the names that a user would give."""
    return keras.Sequential(
        [
            keras.Input((8, length), name="mel"),
            lk.ConvTranspose1d(8, 6, 8, stride=4, padding=2, name="up1"),
            keras.layers.LeakyReLU(0.1, name="leaky"),
            lk.ConvTranspose1d(6, 1, 4, stride=2, padding=1, name="up2"),
            keras.layers.Activation("tanh", name="wave"),
        ]
    )


def mels(rng, count=40, length=24):
    return rng.uniform(-1, 1, (count, 8, length)).astype("float32")


# ---- what comes out ------------------------------------------------------------------------------------------------


def test_the_file_computes_what_the_model_does(tmp_path, rng):
    model = vocoder()
    report = to_tflite(model, tmp_path / "vocoder.tflite", length=24, timing_seconds=0)
    run = LiteRT(tmp_path / "vocoder.tflite").run
    x = mels(rng, 1)
    np.testing.assert_allclose(run("serving_default", {"mel": x})["wave"], model(x).numpy(), atol=1e-6)
    assert report.path == tmp_path / "vocoder.tflite"
    assert report.bytes == os.path.getsize(report)
    assert report.delegated == report.total == len(report.ops)
    assert set(report.ops) <= {"TRANSPOSE", "RESHAPE", "PAD", "CONV_2D", "SLICE", "LEAKY_RELU", "TANH"}
    assert report.milliseconds > 0
    assert [(one.signature, one.name, one.lengths) for one in report.outputs] == [("serving_default", "wave", (24,))]
    assert report.max_error < 1e-5


@pytest.mark.parametrize("quantization", ["float32", "int8", "dynamic_int8"])
def test_a_wide_layer_is_one_matrix_product(quantization, tmp_path, rng):
    layer = lk.ConvTranspose1d(768, 192, 8, stride=4, padding=2, data_format="channels_last", name="up")
    model = keras.Sequential([keras.Input((5, 768), name="x"), layer])
    data = rng.standard_normal((24, 5, 768)).astype("float32") if quantization == "int8" else None
    path = tmp_path / "wide.tflite"
    report = to_tflite(model, path, quantization=quantization, calibration_data=data, timing_seconds=0)
    assert report.ops.count("FULLY_CONNECTED") == 1
    assert "CONV_2D" not in report.ops
    assert report.delegated == report.total
    assert LiteRT(path).coverage().partitions == 1


def test_a_depthwise_layer_stays_on_the_delegate_where_the_dense_one_is_int8(tmp_path):
    depthwise = lk.ConvTranspose1d(64, 64, 12, stride=2, padding=5, groups=64)
    model = keras.Sequential([keras.Input((64, 20)), depthwise, lk.ConvTranspose1d(64, 64, 4, stride=2)])
    report = to_tflite(model, tmp_path / "d.tflite", quantization="dynamic_int8", timing_seconds=0)
    assert "DEPTHWISE_CONV_2D" in report.ops
    assert report.delegated == report.total
    assert report.snr_db < 90  # it is quantized indeed


def test_dynamic_length_is_verified_at_several(tmp_path):
    report = to_tflite(vocoder(), tmp_path / "dynamic.tflite", length="dynamic", timing_seconds=0)
    assert report.outputs[0].lengths == tuple(sorted(OPEN_LENGTHS))
    assert report.signatures["serving_default"]["inputs"] == ("mel: float32[1, 8, None]",)


def test_dynamic_length_with_data_is_verified_at_shorter_ones_too(tmp_path, rng):
    report = to_tflite(
        vocoder(), tmp_path / "d.tflite", length="dynamic", verification_data=mels(rng, 2), timing_seconds=0
    )
    assert report.outputs[0].lengths == (12, 18, 24)


def test_a_list_of_lengths_gives_a_signature_each_and_one_copy_of_the_weights(tmp_path):
    model = keras.Sequential([keras.Input((64, None)), lk.ConvTranspose1d(64, 32, 16, stride=8, padding=4)])
    one = to_tflite(model, tmp_path / "one.tflite", length=10, timing_seconds=0)
    three = to_tflite(model, tmp_path / "three.tflite", length=[10, 20, 30], timing_seconds=0)
    assert sorted(three.signatures) == ["length_10", "length_20", "length_30"]
    assert three.bytes < 1.1 * one.bytes


def test_several_inputs_and_outputs_keep_their_names(tmp_path, rng):
    mel, noise = keras.Input((4, 9), name="mel"), keras.Input((4, 9), name="noise")
    up = lk.ConvTranspose1d(4, 2, 4, stride=2, padding=1, name="up")(mel + 2 * noise)
    model = keras.Model({"mel": mel, "noise": noise}, {"wave": keras.ops.tanh(up), "raw": up})
    report = to_tflite(model, tmp_path / "two.tflite", timing_seconds=0)
    assert {one.name for one in report.outputs} == {"wave", "raw"}
    inputs = {"mel": rng.uniform(size=(1, 4, 9)).astype("f"), "noise": rng.uniform(size=(1, 4, 9)).astype("f")}
    results = LiteRT(report.path).run("serving_default", inputs)
    np.testing.assert_allclose(results["wave"], model(inputs)["wave"].numpy(), atol=1e-6)


def test_each_input_may_have_a_length_of_its_own(tmp_path):
    mel, noise = keras.Input((4, None), name="mel"), keras.Input((2, None), name="noise")
    wave = lk.ConvTranspose1d(4, 2, 4, stride=4, name="up")(mel) + noise
    report = to_tflite(
        keras.Model([mel, noise], wave), tmp_path / "l.tflite", length={"mel": 5, "noise": 20}, timing_seconds=0
    )
    assert set(report.signatures["serving_default"]["inputs"]) == {"mel: float32[1, 4, 5]", "noise: float32[1, 2, 20]"}


@pytest.mark.parametrize(("quantization", "dtype"), [("int8", np.int8), ("int16x8", np.int16)])
def test_integer_inputs_and_outputs(quantization, dtype, tmp_path, rng):
    report = to_tflite(
        vocoder(), tmp_path / "i.tflite", quantization=quantization, length=24, calibration_data=mels(rng, 60),
        integer_io=True, timing_seconds=0,
    )  # fmt: skip
    loaded = interpreter(report.path.read_bytes())
    assert {detail["dtype"] for detail in loaded.get_input_details() + loaded.get_output_details()} == {dtype}
    assert not {"QUANTIZE", "DEQUANTIZE"} & set(report.ops)
    assert report.verified_on == "12 samples held out of 60"


def test_a_recurrent_layer_goes_with_it(tmp_path):
    report = to_tflite(looping(), tmp_path / "l.tflite", timing_seconds=0)
    assert "WHILE" in report.ops
    assert to_saved_model(looping(), tmp_path / "saved", timing_seconds=0).snr_db > 110


def test_a_loop_writes_its_results_in_place(tmp_path):
    to_tflite(looping(), tmp_path / "l.tflite", timing_seconds=0)
    counts = read(tmp_path / "l.tflite").counts()
    assert counts["DYNAMIC_UPDATE_SLICE"] == 1
    assert "SCATTER_ND" not in counts


@pytest.mark.parametrize("quantization", ["int8", "int16x8"])
def test_a_loop_stays_in_float_in_recipes_for_activations(quantization, tmp_path, rng):
    """Of what its steps compute only the last could be seen; the layer behind it is in integers."""
    data = rng.standard_normal((20, 9, 3)).astype("f")
    report = to_tflite(
        looping(), tmp_path / "l.tflite", quantization=quantization, calibration_data=data, timing_seconds=0
    )
    assert "WHILE" in report.ops
    assert report.snr_db > 25
    (convolution,) = [one for one in read(report.path).operators if one.name == "CONV_2D"]
    assert convolution.dtypes[1] == "int8"


@pytest.mark.parametrize("quantization", ["int8", "int16x8"])
def test_several_lengths_of_a_calibrated_recipe_share_its_weights(quantization, tmp_path, rng):
    model = keras.Sequential([keras.Input((64, None)), lk.ConvTranspose1d(64, 64, 16, stride=8, padding=4)])
    data = rng.standard_normal((20, 64, 40)).astype("f")
    options = {"quantization": quantization, "calibration_data": data, "timing_seconds": 0}
    one, two = (to_tflite(model, tmp_path / "x.tflite", length=length, **options).bytes for length in (20, [20, 40]))
    assert two < one + 64 * 64 * 16 // 2


def test_a_loop_is_not_counted_as_delegated(tmp_path):
    """Nor where the operator behind it leaves an input out, as the loop an output."""
    model = keras.Sequential([*looping().layers, keras.layers.Dense(3, use_bias=False)])
    model.build((None, 9, 3))
    report = to_tflite(model, tmp_path / "l.tflite", timing_seconds=0)
    assert (report.ops.count("WHILE"), report.total - report.delegated) == (1, 1)


@pytest.mark.parametrize("padding", ["center", "same"])
@pytest.mark.parametrize("length", [20, "dynamic"])
def test_an_inverse_stft(length, padding, tmp_path):
    istft = lk.ISTFT(64, 16, padding=padding, name="wave")
    model = keras.Sequential([keras.Input((66, None), name="spectrum"), istft])
    report = to_tflite(model, tmp_path / "i.tflite", length=length, timing_seconds=0)
    assert report.signatures["serving_default"]["outputs"][0].startswith("wave: float32[1, ")
    assert length == "dynamic" or report.delegated == report.total


@pytest.mark.parametrize("quantization", ["dynamic_int8", "weight_only_int4"])
def test_the_kernel_of_an_inverse_stft_stays_in_float(quantization, tmp_path):
    layers = [keras.layers.Dense(66, name="head"), lk.ISTFT(64, 16, data_format="channels_last", name="wave")]
    model = keras.Sequential([keras.Input((20, 32)), *layers])
    to_tflite(model, tmp_path / "i.tflite", quantization=quantization, timing_seconds=0)
    tensors = read(tmp_path / "i.tflite").tensors
    quantized = {tensor.name.split("/")[0] for tensor in tensors if tensor.dtype in ("int8", "int4")}
    assert quantized == {"head"}


def test_int8_weights_are_smaller_in_the_file(tmp_path, rng):
    model = keras.Sequential([keras.Input((64, 20)), lk.ConvTranspose1d(64, 64, 16, stride=8, padding=4)])
    full = to_tflite(model, tmp_path / "f.tflite", timing_seconds=0).bytes
    for quantization, share in (("float16", 0.55), ("dynamic_int8", 0.35), ("weight_only_int4", 0.25)):
        quantized = to_tflite(model, tmp_path / "q.tflite", quantization=quantization, timing_seconds=0)
        assert quantized.bytes < share * full, quantization


# ---- calibration data ----------------------------------------------------------------------------------------------


def sources(kind, folder, rng):
    data = mels(rng)
    if kind == "array":
        return data
    if kind == "dict":
        return {"mel": data}
    if kind == "generator":
        return (sample for sample in data)
    if kind == "npz":
        np.savez(folder / "mels.npz", mel=data)
        return folder / "mels.npz"
    (folder / "samples").mkdir()
    for index, sample in enumerate(data):
        np.save(folder / "samples" / f"{index}.npy", sample)
    return str(folder / "samples")


@pytest.mark.parametrize("kind", ["array", "dict", "generator", "npz", "folder"])
def test_calibration_data_come_in_many_ways(kind, tmp_path, rng):
    data = sources(kind, tmp_path, rng)
    report = to_tflite(
        vocoder(), tmp_path / "c.tflite", quantization="int8", length=24, calibration_data=data, timing_seconds=0
    )
    assert report.verified_on == "8 samples held out of 40"


def test_a_folder_of_recordings_is_cut_into_windows(tmp_path, rng):
    (tmp_path / "wavs").mkdir()
    for index in range(3):
        soundfile.write(tmp_path / "wavs" / f"{index}.wav", rng.uniform(-0.9, 0.9, 1000), 16000, subtype="FLOAT")
    model = keras.Sequential([keras.Input((1, 100)), lk.ConvTranspose1d(1, 4, 8, stride=4, padding=2)])
    report = to_tflite(
        model, tmp_path / "w.tflite", quantization="int8", calibration_data=tmp_path / "wavs", timing_seconds=0
    )
    assert report.verified_on == "6 samples held out of 30"


BAD_DATA = {
    "nothing": (None, ValueError, "needs calibration_data"),
    "empty": (np.zeros((0, 8, 24), "f"), ValueError, "at least one sample"),
    "shape": (np.zeros((3, 7, 24), "f"), ValueError, r"must be of shape \[8, None\].*Received: shape=\[1, 7, 24\]"),
    "too short": (
        np.ones((3, 8, 10), "f") * np.arange(3)[:, None, None].astype("f"),
        ValueError,
        "No sample is as long as",
    ),
    "dtype": (np.zeros((3, 8, 24), np.int32), TypeError, "must be of dtype float32. Received: dtype=int32"),
    "text": (np.full((3, 8, 24), "a"), TypeError, "must be an array of numbers"),
    "nan": (np.full((3, 8, 24), np.nan, "f"), ValueError, "must be finite"),
    "names": ({"noise": np.zeros((3, 8, 24), "f")}, ValueError, r"must name the inputs \['mel'\]"),
    "number": (3, TypeError, "must be an array"),
    "no path": ("nowhere.npz", FileNotFoundError, "path must exist"),
}


@pytest.mark.parametrize("kind", BAD_DATA)
def test_bad_calibration_data_are_refused(kind, tmp_path):
    data, error, text = BAD_DATA[kind]
    with pytest.raises(error, match=text):
        to_tflite(vocoder(), tmp_path / "x.tflite", quantization="int8", length=24, calibration_data=data)
    assert not list(tmp_path.iterdir())


def test_a_pickle_is_not_read(tmp_path):
    np.save(tmp_path / "evil.npy", np.array([{"a": 1}]), allow_pickle=True)
    with pytest.raises(ValueError, match=r"must be a whole \.npy of numbers"):
        to_tflite(
            vocoder(), tmp_path / "x.tflite", quantization="int8", length=24, calibration_data=tmp_path / "evil.npy"
        )


# ---- what is refused -----------------------------------------------------------------------------------------------


class Strange(keras.layers.Layer):
    """A layer whose operator LiteRT does not have."""

    def call(self, x):
        return tf.math.polygamma(tf.floor(tf.abs(x)) + 1, tf.abs(x) + 2)

    def compute_output_shape(self, shape):
        return shape


def test_an_operator_that_is_not_builtin_is_named_with_its_layer(tmp_path):
    model = keras.Sequential([keras.Input((4, 8)), lk.ConvTranspose1d(4, 2, 4), Strange(name="strange")])
    with pytest.raises(ValueError, match=r"must be builtin.*Polygamma in the layer 'strange'"):
        to_tflite(model, tmp_path / "x.tflite")
    assert not list(tmp_path.iterdir())


def test_below_the_floor_nothing_is_written_and_the_worst_layer_is_named(tmp_path):
    model = vocoder()
    model.get_layer("up2").weight.assign(model.get_layer("up2").weight * np.logspace(-6, 0, 4))
    with pytest.raises(ValueError, match=r"must reach 90 dB.*the layer 'up[12]' loses the most, \d+\.\d dB by itself"):
        to_tflite(model, tmp_path / "x.tflite", quantization="dynamic_int8", length=24, floor_db=90)
    assert not list(tmp_path.iterdir())


def looping():
    layers = [keras.layers.LSTM(4, return_sequences=True, name="memory"), lk.ConvTranspose1d(9, 4, 4)]
    return keras.Sequential([keras.Input((9, 3)), *layers])


def half():
    return keras.Sequential([keras.Input((4, 8)), lk.ConvTranspose1d(4, 2, 4, dtype="mixed_float16", name="half")])


REFUSED = {
    "unbuilt": (lambda: keras.Sequential([lk.ConvTranspose1d(4, 2, 4)]), {}, ValueError, "must be built"),
    "layer": (lambda: lk.ConvTranspose1d(4, 2, 4), {}, TypeError, "must be a keras.Model"),
    "open": (vocoder, {}, ValueError, "length must be given where the model leaves it open"),
    "closed": (lambda: vocoder(24), {"length": 25}, ValueError, "only be given where the model leaves it open"),
    "zero": (vocoder, {"length": 0}, ValueError, "length must be at least 1"),
    "text": (vocoder, {"length": "long"}, TypeError, "length must be an int"),
    "twice": (vocoder, {"length": [9, 9]}, ValueError, "must differ"),
    "none": (vocoder, {"length": []}, ValueError, "at least one length"),
    "recipe": (vocoder, {"length": 9, "quantization": "int4"}, ValueError, "quantization must be one of"),
    "io": (vocoder, {"length": 9, "integer_io": True}, ValueError, "integer_io is for"),
    "half": (half, {}, ValueError, "the layer 'half' computing in float16"),
    "needless": (vocoder, {"length": 9, "calibration_data": 1}, ValueError, "calibration_data is for"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_wrong_arguments_are_refused(kind, tmp_path):
    model, options, error, text = REFUSED[kind]
    with pytest.raises(error, match=text):
        to_tflite(model(), tmp_path / "x.tflite", **options)
    assert not list(tmp_path.iterdir())


def test_a_folder_is_not_replaced(tmp_path):
    with pytest.raises(ValueError, match="must not be an existing folder"):
        to_tflite(vocoder(9), tmp_path)


def test_a_path_below_a_file_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        to_tflite(vocoder(9), tmp_path / "file" / "x.tflite")


# ---- the accumulator of int16x8 ------------------------------------------------------------------------------------


def summing():
    """1024 equal weights behind each output sample: what can overflow is inputs of one sign."""
    model = keras.Sequential([keras.Input((256, 8)), lk.ConvTranspose1d(256, 2, 4, bias=False, name="sum")])
    model.get_layer("sum").weight.assign(np.full((256, 2, 4), 0.01, "f"))
    return model


def test_sums_that_only_extreme_inputs_overflow_are_warned_of(tmp_path, rng):
    data = rng.uniform(-1, 1, (60, 256, 8)).astype("f")
    report = to_tflite(
        summing(), tmp_path / "s.tflite", quantization="int16x8", calibration_data=data, floor_db=0, timing_seconds=0
    )
    warning, outside = report.warnings  # and no delegate takes 16-bit activations
    assert "run outside XNNPACK" in outside
    assert "could overflow the int32 sum (4.26e+09 of 2.15e+09); the calibrated range reaches" in warning


def test_sums_that_overflow_in_the_calibrated_range_are_refused(tmp_path, rng):
    data = rng.uniform(0.999, 1, (5, 256, 8)).astype("f")
    with pytest.raises(
        ValueError, match=r"must stay below 2\*\*31 = 2147483648.*Received: tensor .*reaching 4\.26e\+09"
    ):
        to_tflite(summing(), tmp_path / "s.tflite", quantization="int16x8", calibration_data=data)
    assert not list(tmp_path.iterdir())


# ---- the report ----------------------------------------------------------------------------------------------------


class Page(html.parser.HTMLParser):
    """Counts the pictures of a page and collects what it loads from elsewhere."""

    def __init__(self):
        super().__init__()
        self.pictures, self.elsewhere = 0, []

    def handle_starttag(self, tag, attributes):
        source = dict(attributes).get("src") or dict(attributes).get("href")
        self.pictures += tag == "svg"
        if source and not source.startswith("data:"):
            self.elsewhere.append(source)


def test_the_report_prints_and_saves(tmp_path, rng):
    report = to_tflite(
        vocoder(), tmp_path / "r.tflite", quantization="int8", length=64, calibration_data=mels(rng, length=64),
        compare_layers=True, timing_seconds=0,
    )  # fmt: skip
    assert "wave" in str(report)
    assert f"{report.snr_db:.1f} dB" in str(report)
    report.save_json(tmp_path / "r.json")
    loaded = json.loads((tmp_path / "r.json").read_text())
    assert loaded["snr_db"] == report.snr_db
    assert loaded["delegated"] == report.delegated
    assert loaded["total"] == report.total
    assert [one["name"] for one in loaded["layers"]] == ["up1", "leaky", "up2", "wave"]
    report.save_html(tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    page = Page()
    page.feed(text)
    assert page.pictures == 3
    assert page.elsewhere == []
    assert report.sha256 in text
    under = loaded["conditions"]
    assert (under["signature"], under["batch"], under["lengths"], under["threads"]) == ("serving_default", 1, [64], 2)
    assert under["device"] in text
    assert f"at batch 1, length 64, on 2 threads of {under['device']}" in " ".join(str(report).split())
    assert "prefers-color-scheme: dark" in text
    assert text.count("<details>") == 4
    assert f"model-explorer {report.path.name}" in text


def test_a_waveform_is_drawn_whole_and_of_the_channel_that_differs_most(rng):
    reference = rng.standard_normal((1, 3, 5000))
    result = reference.copy()
    result[0, 2, 4321] += 1
    title, drawn = waveforms(reference, result)
    assert title == "Waveform of channel 2"
    assert "currentColor" in drawn
    assert pictures.INK not in drawn
    short, _ = waveforms(reference[:, :, :3], reference[:, :, :3])
    assert short == "Waveform of channel 0"


def test_a_waveform_runs_along_time_where_there_are_more_channels(tmp_path, rng):
    wide = keras.Sequential([keras.Input((4, None)), lk.ConvTranspose1d(4, 40, 3)])
    report = to_tflite(wide, tmp_path / "wide.tflite", length=5, timing_seconds=0)
    assert report.time_axis == 2
    reference = rng.standard_normal((1, 40, 7))
    result = reference.copy()
    result[0, 33, 2] += 1
    title, drawn = waveforms(reference, result, report.time_axis)
    assert title == "Waveform of channel 33"
    assert "all 7" in re.sub(r"<!--|-->", "", drawn)


def test_of_a_long_signal_every_extreme_is_drawn():
    figure = pictures.check_pictures().Figure()
    values = np.zeros(123_456)
    values[77_700], values[-1] = 5, -7
    axes = figure.subplots()
    pictures._whole(axes, values, "red", "signal")
    low, high = axes.dataLim.intervaly
    assert (low, high) == (-7, 5)


def test_an_exact_output_is_null_in_json(tmp_path):
    model = keras.Sequential([keras.Input((2, 8)), keras.layers.Activation("relu")])
    report = to_tflite(model, tmp_path / "e.tflite", floor_db=-math.inf, timing_seconds=0)
    loaded = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert loaded["snr_db"] is loaded["outputs"][0]["snr_db"] is loaded["floor_db"] is None


def test_coverage_counts_what_the_delegate_leaves(tmp_path):
    """The flip is REVERSE_V2, which XNNPACK does not know: two pieces of one operator each around it."""
    flip = keras.layers.Lambda(lambda x: keras.ops.flip(x, 2), name="flip")
    layers = [keras.layers.Activation("relu"), flip, keras.layers.Activation("tanh")]
    report = to_tflite(keras.Sequential([keras.Input((2, 8)), *layers]), tmp_path / "s.tflite", timing_seconds=0)
    found = LiteRT(report.path).coverage()
    assert found.ops == report.ops == ("RELU", "REVERSE_V2", "TANH")
    assert [name for name, _ in found.outside] == ["REVERSE_V2"]
    assert (found.delegated, found.partitions) == (report.delegated, report.partitions) == (2, 2)
