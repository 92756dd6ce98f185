"""The commands `export | inspect | verify` as a user types them, with their errors."""

import argparse
import json
import re
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import lucid_keras as lk
from lucid_keras.export import streaming_to_saved_model, to_saved_model, to_stablehlo, to_tflite
from lucid_keras.export.commands import add_commands


def run(*words):
    """Parse a command line and run its handler."""
    parser = argparse.ArgumentParser()
    add_commands(parser.add_subparsers(required=True))
    arguments = parser.parse_args([str(word) for word in words])
    return arguments.handler(arguments)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a model in every form that the commands take."""
    path = tmp_path_factory.mktemp("commands")
    keras.utils.set_random_seed(3)
    layer = lk.ConvTranspose1d(6, 4, 8, stride=4, padding=2, name="up")
    model = keras.Sequential([keras.Input((6, None), name="mel"), layer])
    model.save(path / "up.keras")
    data = np.random.default_rng(1).uniform(-1, 1, (40, 6, 20)).astype("float32")
    np.savez(path / "mels.npz", mel=data)
    to_tflite(model, path / "up.tflite", length=20, timing_seconds=0)
    to_tflite(model, path / "int8.tflite", quantization="int8", length=20, calibration_data=data, timing_seconds=0)
    to_saved_model(model, path / "saved", timing_seconds=0)
    to_stablehlo(model, path / "up.stablehlo", length=20, vjp=True, timing_seconds=0)
    streaming_to_saved_model(lk.StreamingModel(model), path / "live", chunk=(2, 3), timing_seconds=0)
    layer.weight.assign(-layer.weight)
    model.save(path / "other.keras")
    (path / "foreign.tflite").write_bytes(b"not a flatbuffer, but long enough to look like one")
    whole = (path / "up.tflite").read_bytes()
    (path / "cut.tflite").write_bytes(whole[: len(whole) // 2])
    np.save(path / "integers.npy", np.ones((9, 6, 20), int))
    (path / "cut.keras").write_bytes((path / "up.keras").read_bytes()[:300])
    return path


def test_export_writes_file_and_report(folder, tmp_path, capsys):
    run("export", folder / "up.keras", tmp_path / "a.tflite", "--length", "20", "--quantization", "int8",
        "--calibration", folder / "mels.npz", "--report", tmp_path / "a.html")  # fmt: skip
    assert (tmp_path / "a.tflite").exists()
    assert (tmp_path / "a.html").read_text().startswith("<!doctype html>")
    assert "8 samples held out of 40" in capsys.readouterr().out


def test_export_takes_several_lengths(folder, tmp_path, capsys):
    run("export", folder / "up.keras", tmp_path / "a.tflite", "--length", "20,30", "--report", tmp_path / "a.json")
    loaded = json.loads((tmp_path / "a.json").read_text())
    assert sorted(loaded["signatures"]) == ["length_20", "length_30"]
    assert "length_30" in capsys.readouterr().out


def test_export_of_a_new_folder_is_a_saved_model(folder, tmp_path, capsys):
    run("export", folder / "up.keras", tmp_path / "served", "--length", "dynamic")
    assert (tmp_path / "served" / "saved_model.pb").exists()
    assert "saved_model" in capsys.readouterr().out


def test_export_of_stablehlo(folder, tmp_path, capsys):
    run("export", folder / "up.keras", tmp_path / "up.stablehlo", "--length", "9")
    assert (tmp_path / "up.stablehlo" / "manifest.json").exists()
    assert "stablehlo" in capsys.readouterr().out


def test_inspect_shows_signatures_operators_quantization_and_targets(folder, capsys):
    run("inspect", folder / "int8.tflite")
    text = capsys.readouterr().out
    for shown in (
        "mel: float32[1, 6, 20]",
        "CONV_2D",
        "16 scales",
        "scale 0.0",
        "Arm Ethos-U85",
        "export with integer_io",
        "nothing",
    ):
        assert shown in text, shown


def test_inspect_as_json_says_what_targets_refuse(folder, capsys):
    run("inspect", folder / "up.tflite", "--json")
    refusals = json.loads(capsys.readouterr().out)["refusals"]
    assert refusals["LiteRT CPU (XNNPACK)"] == []
    assert "floating point" in refusals["Arm Ethos-U55 and U65"][0]


@pytest.mark.parametrize(
    ("artefact", "least"),
    [("up.tflite", 110), ("int8.tflite", 20), ("saved", 110), ("up.stablehlo", 110), ("live", 110)],
)
def test_verify_compares(artefact, least, folder, capsys):
    """Each artefact reaches its floor, and of another model not even the default one."""
    run("verify", folder / artefact, folder / "up.keras", "--data", folder / "mels.npz", "--floor", least)
    assert re.search(r"\d dB|exact", capsys.readouterr().out)
    with pytest.raises(ValueError, match=r"must reach 20 dB against the model. Received: -\d+\.\d dB"):
        run("verify", folder / artefact, folder / "other.keras", "--data", folder / "mels.npz")


def test_a_live_file_from_the_command_line(folder, tmp_path, capsys):
    live = tmp_path / "live.tflite"
    run("export", folder / "up.keras", live, "--stream", "--chunk", "1,4", "--batch", "2", "--states", "variables",
        "--quantization", "dynamic_int8", "--report", tmp_path / "live.html")  # fmt: skip
    assert "step: float32[2, 6, 1] to float32[2, 4, 4]" in capsys.readouterr().out
    assert "Layers" in (tmp_path / "live.html").read_text()
    run("verify", live, folder / "up.keras", "--floor", "30")
    assert "begun anew" in capsys.readouterr().out
    run("inspect", live)
    shown = capsys.readouterr().out
    assert "live: step: float32[2, 6, 1] to float32[2, 4, 4]; step_4: " in shown
    assert "states kept inside; flush: " in shown
    run("inspect", folder / "up.tflite")
    assert "live: " not in capsys.readouterr().out


def test_a_report_that_could_not_be_written_is_told_before_the_export(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("lucid_keras.export.commands.load_model", lambda path: pytest.fail("loaded"))
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match="pictures need matplotlib"):
        run("export", folder / "up.keras", tmp_path / "a.tflite", "--report", tmp_path / "a.html")


def test_verify_sees_another_models_weights(folder):
    with pytest.raises(ValueError, match=r"must reach 20 dB against the model. Received: -\d"):
        run("verify", folder / "up.tflite", folder / "other.keras")


def test_inspect_of_a_file_with_a_foreign_operator_says_so(tmp_path, capsys):
    function = tf.function(lambda x: tf.math.polygamma(x, x), input_signature=[tf.TensorSpec([2], tf.float32)])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()])
    converter.allow_custom_ops = True
    (tmp_path / "custom.tflite").write_bytes(converter.convert())
    run("inspect", tmp_path / "custom.tflite", "--json")
    refusals = json.loads(capsys.readouterr().out)["refusals"]
    assert "Polygamma" in refusals["LiteRT CPU (XNNPACK)"][0]
    assert refusals["LiteRT GPU"][0] == "custom or Flex operators: Polygamma"


FAILURES = {
    "inspect foreign": (("inspect", "foreign.tflite"), ValueError, "identifier TFL3"),
    "inspect cut": (("inspect", "cut.tflite"), ValueError, "must be whole"),
    "inspect nothing": (("inspect", "nothing.tflite"), FileNotFoundError, "must exist"),
    "inspect folder": (("inspect", "saved"), ValueError, "not a folder"),
    "verify foreign": (("verify", "foreign.tflite", "up.keras"), ValueError, "identifier TFL3"),
    "verify cut": (("verify", "cut.tflite", "up.keras"), ValueError, "must be whole"),
    "verify no model": (("verify", "up.tflite", "nothing.keras"), FileNotFoundError, "must exist"),
    "verify cut model": (("verify", "up.tflite", "cut.keras"), ValueError, "must be a whole .keras file"),
    "verify swapped": (("verify", "up.keras", "up.tflite"), ValueError, "must be a .keras file"),
    "verify dtype": (("verify", "up.tflite", "up.keras", "--data", "integers.npy"), TypeError, "of dtype float32"),
    "export report": (
        ("export", "up.keras", "x.tflite", "--report", "r.pdf"),
        ValueError,
        "must end in .html or .json",
    ),
    "export no length": (("export", "up.keras", "x.tflite"), ValueError, "length must be given"),
    "export folder": (("export", "up.keras", "saved", "--length", "dynamic"), ValueError, "existing path"),
    "export quantized folder": (
        ("export", "up.keras", "y", "--quantization", "int8"),
        ValueError,
        "does not go with SavedModel",
    ),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_failures_are_one_clear_line_and_write_nothing(kind, folder):
    words, error, text = FAILURES[kind]
    before = sorted(folder.iterdir())
    with pytest.raises(error, match=text) as caught:
        run(words[0], *(folder / word if "." in word or word in ("saved", "y") else word for word in words[1:]))
    assert "\n" not in str(caught.value)
    assert sorted(folder.iterdir()) == before


def test_lengths_are_numbers(capsys):
    with pytest.raises(SystemExit):
        run("export", "a.keras", "b.tflite", "--length", "long")
    assert "must be numbers like 100" in capsys.readouterr().err


def test_a_model_that_brings_code_is_refused(tmp_path):
    """A Lambda layer is bytecode that would run with the first call."""
    keras.Sequential([keras.Input((4, 5)), keras.layers.Lambda(lambda x: x)]).save(tmp_path / "code.keras")
    with pytest.raises(ValueError, match=r"code\.keras: .*Lambda"):
        run("export", tmp_path / "code.keras", tmp_path / "x.tflite")
    assert not (tmp_path / "x.tflite").exists()
