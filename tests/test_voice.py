"""Trained voices: what the distances say, what becomes of a file's results, and the vocoder that is measured."""

import sys

import keras
import kokoro_vocoder
import numpy as np
import pytest
import tensorflow as tf
from benchmarks import auto, auto_report, ports_report, voice, voice_cases, voice_codec, voice_report, voice_run
from benchmarks.voice_distances import distances, log_mel_distance, mel_bands, stft_distance

from lucid_keras.export import snr_db, to_tflite
from lucid_keras.export.ladders import LADDERS
from lucid_keras.interop import load_state_dict, to_state_dict

RATE = 24_000
SMALL = {
    "channels": 8,
    "style_channels": 4,
    "upsample_rates": (2, 3),
    "upsample_kernel_sizes": (4, 9),
    "resblock_kernel_sizes": (3, 5),
    "dilations": (1, 2),
    "n_fft": 8,
    "hop": 2,
}


@pytest.fixture
def samples(rng):
    return rng.standard_normal(RATE // 2)


def test_the_same_is_at_no_distance(samples):
    found = distances([samples, samples], [samples, samples], RATE)
    assert found == {"snr_db": np.inf, "stft": 0.0, "log_mel": 0.0}


@pytest.mark.parametrize("factor", [2.0, 0.5])
def test_twice_and_half_as_loud(samples, factor):
    logarithm = abs(np.log(factor))
    assert stft_distance(samples, factor * samples) == pytest.approx(abs(factor - 1) + logarithm, rel=1e-3)
    assert log_mel_distance(samples, factor * samples, RATE) == pytest.approx(logarithm, rel=1e-3)


def test_the_distances_hear_noise_in_a_quiet_band_which_decibels_do_not(samples):
    spectrum = np.fft.rfft(samples)
    spectrum[len(spectrum) // 4 :] *= 1e-4
    loud_below = np.fft.irfft(spectrum)
    above = np.fft.irfft(np.where(np.arange(len(spectrum)) < len(spectrum) // 4, 0, np.fft.rfft(samples)))
    above *= np.sqrt(np.sum(loud_below**2) / np.sum(above**2)) / 10
    louder = 1.1 * loud_below
    assert snr_db(loud_below, loud_below + above) == pytest.approx(20)
    assert snr_db(loud_below, louder) == pytest.approx(20)
    assert stft_distance(loud_below, loud_below + above) > 10 * stft_distance(loud_below, louder)


def test_mel_bands_overlap_by_halves_and_leave_no_bin_out():
    bands = mel_bands(RATE, 2048, 40)
    assert bands.shape == (1025, 40)
    assert bands.min() == 0
    np.testing.assert_allclose(bands[9:853].sum(1), 1)  # 100 Hz to 10 kHz, between the outermost peaks


ROWS = {
    "int8, floor_db=20": {
        "bytes": 20_600_000,
        "operators": 1147,
        "outside": 132,
        "milliseconds": [90.0, 100.0, 300.0],
        "runtime": "LiteRT 2",
        "snr_db": 17.63,
        "stft": 1.4412,
        "log_mel": 0.5,
        "pesq": None,
    },
    "int16x8": {"refused": "RuntimeError: SIN"},
}
ROWS[voice.OWN] = {name: ROWS["int8, floor_db=20"][name] for name in ("bytes", "milliseconds", "snr_db", "stft")}
ROWS[voice.OWN] |= {"runtime": "ONNX Runtime 1", "log_mel": 0.25, "pesq": 4.5}


def test_the_table_has_a_row_for_each_file_and_says_which_were_refused():
    assert voice_report.table(ROWS, window_seconds=1.25)[2:] == [
        "| int8, floor_db=20 | 17.6 | 1.441 | 0.500 |  | 20.6 | 80 | 132 of 1147 |",
        "| its own ONNX file (ONNX Runtime 1) | 17.6 | 1.441 | 0.250 | 4.50 | 20.6 | 80 |  |",
        "",
        "Not written:",
        "",
        "- int16x8: RuntimeError: SIN",
    ]


DECODER = {
    "float32": {"milliseconds": [40.0], "snr_db": 110.0, "stft": 0.0, "bytes": 4_000_000, "outside": 0, "operators": 9},
    ports_report.DYNAMIC: {"milliseconds": [10.0], "snr_db": 22.04, "stft": 0.25, "bytes": 1_000_000},
    ports_report.INT8: {"milliseconds": [8.0], "snr_db": 12.0, "stft": 0.5, "bytes": 1_100_000},
    ports_report.AUTO: {"milliseconds": [25.0], "snr_db": 24.98, "stft": 0.1, "bytes": 2_000_000},
}
DECODER[ports_report.AUTO] |= {
    "float_layers": ["a", "b"],
    "curve": [{"kept": 2, "snr_db": 25.01, "bytes": 2_000_000, "milliseconds": 26.0, "partitions": 1}],
}


def test_decoders_are_summed_up_with_what_the_floor_took():
    slow, none = {"files": DECODER, "window_seconds": 0.5}, dict(DECODER)
    none[ports_report.AUTO] = {"refused": "BelowFloorError: must reach 25 dB"}
    decoders = {"slow": slow, "none": {"files": none, "window_seconds": 0.5}}
    assert ports_report.summary(decoders)[2:] == [
        "| slow | 22.0 | 4.00 | 12.0 | 5.00 | 2 | 25.0 | 1.60 |",
        "| none | 22.0 | 4.00 | 12.0 | 5.00 | none suffices |  |  |",
    ]
    assert ports_report.verdict(decoders)[2:] == [
        f"- slow: no; `{ports_report.AUTO}`, 25.0 dB, 1.60 times.",
        "- none: no; `dynamic_int8`, 22.0 dB, 4.00 times.",
    ]
    slow["files"] = DECODER | {ports_report.INT8: DECODER[ports_report.INT8] | {"snr_db": 25.0}}
    assert ports_report.verdict({"fast": slow})[2:] == ["- fast: yes; `int8`, 25.0 dB, 5.00 times."]


def test_a_decoders_table_says_how_many_times_as_fast_a_file_is():
    assert voice_report.table(DECODER, 0.5, ports_report.TITLES)[2:4] == [
        "| float32 | 110.0 | 0.000 | 4.0 | 80 | 1.00 | 0 of 9 |",
        "| dynamic_int8 | 22.0 | 0.250 | 1.0 | 20 | 4.00 |  |",
    ]


def test_what_was_chosen_is_a_cell_and_what_holds_nowhere_a_sentence():
    right = {"recipe": "int8", "snr_db": 25.06, "bytes": 1_234_567, "kept": 1, "left": []}
    cells = {"phone-cpu": right, "npu": right | {"kept": 0, "left": ["left to the CPU: SIN"]}}
    refused = "A file for 'micro' must reach 25 dB; nothing was written. Received: 5.8 dB at the best; late"
    cells["micro"] = {"refused": refused, "seconds": 240}
    assert auto_report.table({"examples": {"one": cells}}) == [
        "| example | `phone-cpu`, `browser` | `phone-gpu` | `npu` | `micro` |",
        "|---|---|---|---|---|",
        "| one | `int8`, 1 layer in float32: 25.1 dB, 1.23 MB |  | `int8`: 25.1 dB, 1.23 MB | none |",
        "",
        "Nothing holds:",
        "",
        "- one for `micro`: 5.8 dB at the best; late",
        "",
        "Left to the processor:",
        "",
        "- one for `npu`: left to the CPU: SIN",
    ]


def test_each_device_is_chosen_for_once():
    assert auto.devices()["phone-cpu"] == ["phone-cpu", "browser"]
    assert sorted(one for names in auto.devices().values() for one in names) == sorted(LADDERS)


def test_a_files_title_holds_its_options():
    assert voice.title({"quantization": "int8", "float_layers": "auto", "floor_db": 20}) == (
        "int8, float_layers=auto, floor_db=20"
    )
    titles = [voice.title(one) for one in voice.FILES]
    assert len(set(titles)) == len(titles)


def test_a_refusal_is_a_row(monkeypatch, tmp_path):
    def refuse(*_, **options):
        assert options["floor_db"] == 20
        raise ValueError("The export must\n" + 100 * "and so on ")

    monkeypatch.setattr(voice, "to_tflite", refuse)
    one = voice_cases.Voice(model=None, rate=RATE, calibration={}, held_out={})
    row = voice.made(one, {"quantization": "int8", "floor_db": 20}, tmp_path / "a.tflite")
    assert row.keys() == {"refused"}
    assert row["refused"].startswith("ValueError: The export must and so on")
    assert row["refused"].endswith(" ...")


def test_an_utterance_is_cut_where_its_inputs_belong_together():
    frames = 230
    x, har = np.arange(frames)[np.newaxis, :, np.newaxis], np.arange(60 * frames + 1)[np.newaxis, :, np.newaxis] / 60
    first, second = voice_cases.cut({"x": x, "har": har, "style": None}, voice_cases.FRAMES)
    for start, one in ((0, first), (100, second)):
        assert one["x"].ravel().tolist() == list(range(start, start + 100))
        assert (one["har"][0, 0, 0], one["har"][0, -1, 0], one["har"].shape[1]) == (start, start + 100, 6001)


def test_what_is_rounded_are_whole_numbers_and_gradients_pass():
    x = tf.constant([[-9.0, -0.3, 0.02, 0.5, 9.0]])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = voice_codec.Rounded()(x)
    assert y.numpy().tolist() == [[-7, -2, 0, 3, 7]]
    np.testing.assert_allclose(tape.gradient(y, x), 7 * (1 - np.tanh(x) ** 2), rtol=1e-6, atol=1e-5)


@pytest.fixture
def vocoder():
    return kokoro_vocoder.kokoro_vocoder(frames=6, **SMALL)


@pytest.fixture
def inputs(rng):
    shapes = {"x": (2, 6, 8), "har": (2, 37, 10), "style": (2, 4)}
    return {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}


def test_a_small_vocoder_in_keras_and_in_a_file_in_a_process_of_its_own(vocoder, inputs, tmp_path):
    report = to_tflite(vocoder, tmp_path / "v.tflite", verification_data=inputs, floor_db=90, timing_seconds=0)
    assert report.delegated == report.total
    np.savez(tmp_path / "windows.npz", **inputs)
    paths = tmp_path / "v.tflite", tmp_path / "windows.npz", tmp_path / "result.npy"
    told = voice.asked(sys.executable, voice_run, *paths, 1, 0)
    assert told["milliseconds"] > 0
    assert told["runtime"].startswith("LiteRT ")
    expected = vocoder(inputs).numpy()
    assert expected.shape == (2, 6 * 2 * 3 * 2)
    assert snr_db(expected, np.load(paths[-1])) > 90


def test_a_vocoders_weights_have_the_names_of_its_checkpoint(vocoder, inputs, tmp_path):
    state = {name.removesuffix(".alpha"): array for name, array in to_state_dict(vocoder).items()}
    names = {"ups.0.weight", "noise_convs.1.bias", "resblocks.3.adain2.1.fc.weight", "noise_res.0.alpha1.0"}
    assert names <= state.keys()
    checkpoint = {f"generator.{name}": array for name, array in state.items()} | {"utterance.0.x": inputs["x"]}
    again = kokoro_vocoder.kokoro_vocoder(**SMALL)
    load_state_dict(again, checkpoint, rename=kokoro_vocoder.TO_LAYERS)
    again.save(tmp_path / "vocoder.keras")
    loaded = keras.saving.load_model(tmp_path / "vocoder.keras")
    np.testing.assert_allclose(loaded(inputs), vocoder(inputs), rtol=1e-4, atol=1e-4)


def test_spectra_are_drawn_for_each_file(tmp_path, samples):
    import soundfile

    for name in (voice.REFERENCE, "int8"):
        soundfile.write(tmp_path / f"{name}.wav", samples / 10, RATE)
    voice_report.draw(tmp_path, [voice.REFERENCE, "int8"], tmp_path / "spectra.png")
    assert (tmp_path / "spectra.png").stat().st_size > 1000
