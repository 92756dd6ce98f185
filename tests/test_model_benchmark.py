"""The whole models' benchmark: wrong numbers are refused, features are real, the report says what was measured."""

import io
import json
import sys

import numpy as np
import pytest
from benchmarks import model_cases, model_report, model_subjects, models

from lucid_keras.bench import worker

TIMES = {"torch eager": [30.0, 33.0, 36.0], "ours LiteRT float32": [10.0, 11.0, 12.0], "ours LiteRT int8": [6, 6, 6]}


@pytest.fixture
def speed():
    subjects = {
        name: {"milliseconds": times, "snr_db": 19.5, "error": 0.01, "peak_mib": 100.0} for name, times in TIMES.items()
    }
    subjects["ours LiteRT float32"]["bytes"] = 2_500_000
    subjects["litert-torch"] = {"skipped": "RuntimeError: refused"}
    machine = {"processor": "a processor", "cores": 2, "versions": {"tensorflow": "2.21.0", "torch": None}}
    return {"machine": machine, "rounds": 3, "decibels": "x over y", "models": {"EnCodec 24 kHz": subjects}}


PARITY = [
    {
        "example": "EnCodec",
        "script": "encodec_decoder",
        "reference": "transformers",
        "keras_error": 1.5e-6,
        "file_error": 2e-6,
        "file_snr_db": 118.4,
        "bytes": 29_900_000,
        "milliseconds": 25.0,
        "audio_seconds": 1.0,
    }
]


def test_the_report_says_what_was_measured(speed):
    text = "\n".join(model_report.tables(speed, PARITY))
    assert "| ours LiteRT float32 | 11.0 (10.5-11.5) | 3.00 | 20 | 2.5 | 100 |" in text
    assert "- litert-torch: RuntimeError: refused" in text
    assert "| 1.5e-06 | 2.0e-06 | 118 | 29.9 | 40.0 |" in text
    rows = [line for line in text.splitlines() if "at least" in line]
    assert [row.split(" | ")[-1].rstrip(" |") for row in rows] == ["met", "**missed**", "not measured"]
    assert "1.83, 20 dB" in rows[1]


def test_the_readme_says_our_file_beside_torch(speed):
    (line,) = model_report.digest(speed["models"])
    assert line.endswith("EnCodec 24 kHz 11 ms, torch's time over it 3.0.")


def test_exactness_is_of_energies():
    samples = np.array([[10.0, 12.0], [10.0, 12.0]])
    found = models.exactness(samples * 1.1, samples)
    assert found["error"] == pytest.approx(0.1)
    assert found["snr_db"] == pytest.approx(20)
    assert models.exactness(samples, samples) == {"error": 0.0, "snr_db": None}


@pytest.mark.parametrize(
    ("subject", "output", "refused"),
    [
        ("torch eager", [1.0, -1.00001], False),
        ("torch eager", [1.0, -1.001], True),
        ("torch eager", [1.0, np.nan], True),
        ("ours LiteRT int8", [1.0, -1.05], False),
        ("ours LiteRT int8", [1.0, -1.2], True),
        ("ours LiteRT int8", [1.0, -1.0], False),
    ],
)
def test_wrong_numbers_are_not_timed(subject, output, refused):
    found = models.judged(subject, np.array([output]), np.array([[1.0, -1.0]]))
    assert ("wrong numbers" in found.get("skipped", "")) == refused


def test_what_a_worker_prepares(tmp_path, monkeypatch):
    held_out = np.arange(12.0).reshape(2, 3, 2)
    np.savez(tmp_path / "features.npz", held_out=held_out)
    subject = (lambda decoder, folder: (folder / "file").write_bytes(b"1234567"), "file", lambda *_: lambda x: 2 * x)
    monkeypatch.setitem(model_subjects.SUBJECTS, "doubles", subject)
    where = {"model": "EnCodec 24 kHz", "folder": str(tmp_path)}
    assert model_subjects.made("doubles", **where) == {"bytes": 7}
    prepared = model_subjects.prepared("doubles", **where)
    np.testing.assert_array_equal(prepared.call(), 2 * held_out[:1])
    np.testing.assert_array_equal(prepared.results(), [2 * held_out.reshape(2, 6)])
    assert worker.remember(prepared) > 100


class Scripted:
    """A worker that answers what it is told to; its samples are those that are wanted."""

    def __init__(self, made, *answers):
        self.answers, self.closed = [made, *answers], 0

    def ask(self, limit=None, **request):
        if "prepare" in request:
            np.savez(request["results"], np.ones((1, 2)))
        return self.answers.pop(0)

    def close(self):
        self.closed += 1


def test_a_process_that_dies_is_left_out_and_the_others_are_timed(monkeypatch, tmp_path):
    monkeypatch.setattr(models, "PAUSE", 0)
    np.savez(tmp_path / "features.npz", samples=np.ones((1, 2)))
    ready, died = ({"judged": True}, {"peak_mib": 1.0}), {"skipped": "its process ended"}
    workers = {
        models.ORIGINAL: Scripted({}),
        "lives": Scripted({"bytes": 7}, *ready, {"milliseconds": 1.0}, {"milliseconds": 2.0}),
        "dies": Scripted({}, *ready, {"milliseconds": 1.0}, died),
        "refused": Scripted({}, {"skipped": "RuntimeError: no"}),
        "not made": Scripted({"skipped": "why"}),
    }
    monkeypatch.setattr(models, "Worker", lambda name, *_: workers[name])
    found = models.timed("a model", [name for name in workers if name != models.ORIGINAL], tmp_path, 2, 0.1, str)
    exact = {"error": 0.0, "snr_db": None, "peak_mib": 1.0}
    assert found == {
        "lives": exact | {"bytes": 7, "milliseconds": [1.0, 2.0]},
        "dies": died,
        "refused": {"skipped": "RuntimeError: no"},
        "not made": {"skipped": "why"},
    }
    assert all(one.closed == 2 for one in workers.values())  # between making and timing, and at the end


def test_without_the_original_nothing_is_timed(tmp_path):
    with pytest.raises(SystemExit, match="a model: no torch"):
        models.made({models.ORIGINAL: Scripted({"skipped": "no torch"})}, {"model": "a model"}, str)


def test_the_features_are_of_a_recording():
    decoder = model_cases.DECODERS["HiFi-GAN, SpeechT5's"]()
    mel = decoder.features(None, model_cases.recording_at(decoder.rate)[: 6 * decoder.rate])
    assert mel.shape[1] == 80
    assert mel.std(0).min() > 0.1  # on what does not vary every file would look exact
    assert model_cases.seconds_of(mel, decoder.frames).shape == (6, decoder.frames, 80)


def test_resampling_keeps_a_tone():
    import soundfile

    tone = np.sin(2 * np.pi * 440 * np.arange(24_000) / 24_000).astype("float32")
    path = io.BytesIO()
    soundfile.write(path, tone, 24_000, format="WAV", subtype="FLOAT")
    path.seek(0)
    expected = np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    np.testing.assert_allclose(model_cases.samples_at(16_000, path), expected, atol=1e-4)


def test_every_target_is_of_subjects_and_models_that_exist():
    for names, faster, slower, _, _ in model_report.TARGETS:
        assert {*names} <= {*model_cases.DECODERS}
        assert {faster, slower} <= {*model_subjects.SUBJECTS}


def test_every_example_of_a_checkpoint_is_compared():
    scripts = {path.stem for path in (model_cases.ROOT / "examples").glob("*.py")}
    without = {"comparison", "kokoro_vocoder", "live_decoder", "train_audio_autoencoder"}
    without |= {"mimi_decoder", "vocos_decoder"}  # which `benchmarks.ports` measures
    without |= {"from_torch"}  # whose own module it is, and which compares them itself
    without |= {"recordings", "train_distributed"}  # which train and decode nothing
    assert {script for _, script, _, _ in models.EXAMPLES} == scripts - without


@pytest.mark.sweep
def test_a_subject_in_processes_of_its_own(tmp_path):
    """The smallest run of the command itself: one decoder, two subjects, one round."""
    out = tmp_path / "models.json"
    arguments = ["models", "run", "--models", "EnCodec 24 kHz", "--rounds", "1", "--seconds", "0.01"]
    arguments += ["--subjects", "ours LiteRT float32", "torch eager", "--out", str(out)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", arguments)
        models.main()
    found = json.loads(out.read_text())["models"]["EnCodec 24 kHz"]
    assert found["torch eager"]["error"] == 0
    assert found["ours LiteRT float32"]["error"] < models.WITHIN
    assert all(len(one["milliseconds"]) == 1 for one in found.values())
