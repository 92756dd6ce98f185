"""The command line and the demo, as a person runs them."""

import json
import pathlib

import numpy as np
import pytest
import soundfile

from lucid_keras import cli, demo
from lucid_keras.export import snr_db
from lucid_keras.export.benchmark import benchmark


def test_the_demo_reconstructs_the_recording(tmp_path, capsys):
    assert cli.main(["demo", "--out", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    for row in ("operators in the file", "XNNPACK delegate", "milliseconds per second of audio", "SNR against Keras"):
        assert row in shown
    recording, rate = soundfile.read(demo.RECORDING)
    reconstruction, same_rate = soundfile.read(tmp_path / "reconstruction.wav")
    assert rate == same_rate
    assert recording.shape == reconstruction.shape
    assert snr_db(recording, reconstruction) > 100
    assert (tmp_path / "istft.tflite").read_bytes()[4:8] == b"TFL3"
    assert (tmp_path / "reconstruction.png").read_bytes().startswith(b"\x89PNG")


def test_the_demo_takes_any_recording(tmp_path):
    rng = np.random.default_rng(5)
    soundfile.write(tmp_path / "stereo.wav", 0.1 * rng.standard_normal((700, 2)), 8000)
    result = demo.run(tmp_path / "stereo.wav", tmp_path / "out")
    assert result.snr_recording > 100
    assert result.report.snr_db > 100
    assert result.report.delegated == result.report.total
    assert result.report.partitions == 1
    assert result.seconds == 700 / 8000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "audio must be a WAV or FLAC file that exists"),
        (b"not a sound", "audio must be a readable WAV or FLAC file"),
        (np.zeros(0), "audio must hold finite samples"),
        (np.full(9, np.nan), "audio must hold finite samples"),
        (np.zeros(9), "audio must hold finite samples, not silence"),
    ],
    ids=["missing", "foreign", "empty", "nan", "silent"],
)
def test_a_wrong_recording_is_one_line(content, message, tmp_path, capsys):
    path = tmp_path / "in.wav"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        soundfile.write(path, content, 8000, subtype="FLOAT")
    assert cli.main(["demo", "--audio", str(path), "--out", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"lucid-keras: {message}")
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_output_that_is_a_file_is_one_line(tmp_path, capsys):
    (tmp_path / "out").write_text("in the way")
    assert cli.main(["demo", "--out", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_inspect_lists_a_checkpoint(tmp_path, capsys):
    np.savez(tmp_path / "up.npz", **{"up.weight": np.zeros((4, 2, 3), "float32"), "up.bias": np.zeros(2, "float32")})
    assert cli.main(["inspect", str(tmp_path / "up.npz")]) == 0
    assert "ConvTranspose1d(4, 2, kernel_size=3)" in capsys.readouterr().out
    assert cli.main(["inspect", str(tmp_path / "missing.safetensors")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("lucid-keras: ")
    assert error.count("\n") == 1


def test_inspect_times_a_file_with_litert_benchmark(capsys):
    golden = pathlib.Path(__file__).parent.parent / "saved_models" / "golden" / "whole" / "float32.tflite"
    assert cli.main(["inspect", str(golden), "--benchmark", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)["benchmark"]
    assert result["fully_accelerated"]
    assert 0 < result["latency"]["median_ms"] <= result["latency"]["p95_ms"]
    assert cli.main(["inspect", str(golden), "--benchmark"]) == 0
    assert "95th percentile" in capsys.readouterr().out


def test_a_file_that_litert_benchmark_cannot_run_is_one_line(tmp_path, capsys):
    (tmp_path / "x.npz").write_bytes(b"")
    assert cli.main(["inspect", str(tmp_path / "x.npz"), "--benchmark"]) == 1
    assert "--benchmark and --json are for .tflite files" in capsys.readouterr().err
    with pytest.raises(ValueError, match="litert-benchmark must be able to run the file"):
        benchmark(tmp_path / "missing.tflite")


def test_a_recording_that_breaks_off_is_one_line(tmp_path, capsys):
    """libsndfile would read what is there of it."""
    path = tmp_path / "in.wav"
    soundfile.write(path, np.sin(np.arange(4000)), 8000)
    path.write_bytes(path.read_bytes()[:-4000])
    assert cli.main(["demo", "--audio", str(path), "--out", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert "it breaks off after 4044 of 8044 bytes" in error
    assert error.count("\n") == 1
