"""Runtimes in processes of their own: what they tell, what becomes of one that dies, and an export proven on them."""

import json
import pathlib
from typing import get_args

import keras
import numpy as np
import pytest

import lucid_keras as lk
from lucid_keras import cli, runtimes
from lucid_keras.export.elsewhere import RuntimeName, chosen
from lucid_keras.export.runtime_commands import INSTALLED
from lucid_keras.runtimes import FAMILIES, RUNTIMES, Guest, places
from lucid_keras.runtimes.guest import SCRIPTS


class Misbehaving(Guest):
    """A guest that does what `does` says."""

    name = "Misbehaving"
    script = str(pathlib.Path(__file__).parent / "misbehaving_guest.py")
    does = "prints"

    def environment(self):
        return {"PYTHONPATH": str(SCRIPTS)}

    def options(self):
        return {"does": self.does}


def misbehaving(what):
    return type("Misbehaving", (Misbehaving,), {"does": what})


@pytest.fixture
def model():
    layer = lk.ConvTranspose1d(4, 2, kernel_size=4, stride=2, padding=1)
    return keras.Model(x := keras.Input((4, 32), name="x"), {"y": layer(x)})


@pytest.fixture
def file(model, tmp_path):
    return lk.export.to_tflite(model, tmp_path / "up.tflite", timing_seconds=0).path


X = {"x": np.ones((1, 4, 32), "float32")}


def test_a_guest_gives_arrays_by_name_whatever_it_prints(file):
    assert misbehaving("prints")(file).run("serving_default", X)["y"].shape == (1, 2, 64)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("dies", "must answer. Received: its end by SIGSEGV; it said last: the last words"),
        ("leaves", "must answer. Received: its end with status 3"),
        ("exhausts", "must run the file. Received: MemoryError"),
        ("forgets", "must give all outputs of 'serving_default'. Received: none called 'y'"),
    ],
)
def test_what_a_guest_does_wrong_is_one_sentence(what, said, file):
    guest = misbehaving(what)(file)
    with pytest.raises(ValueError, match=f"^Misbehaving {said}"):
        guest.run("serving_default", X)


def test_a_guest_that_refuses_the_file_says_why(file):
    with pytest.raises(ValueError, match=r"^Misbehaving must run the file. Received: Didn't find op for builtin"):
        misbehaving("refuses")(file)


def test_a_guest_that_hangs_is_ended(file):
    guest = misbehaving("hangs")(file, limit=20)
    guest._limit = 0.5
    with pytest.raises(ValueError, match=r"^Misbehaving must answer. Received: nothing within 0.5 s"):
        guest.run("serving_default", X)
    assert guest._process.wait(10) < 0


def test_an_integer_files_guest_takes_and_gives_floating_point(model, tmp_path, rng):
    data = rng.uniform(-1, 1, (20, 4, 32)).astype("float32")
    options = {"quantization": "int8", "calibration_data": data, "integer_io": True, "timing_seconds": 0}
    report = lk.export.to_tflite(model, tmp_path / "int8.tflite", **options)
    here, there = (
        RUNTIMES[name](report.path).run("serving_default", {"x": data[:1]}) for name in ("litert", "compiled")
    )
    np.testing.assert_array_equal(here["y"], there["y"])
    assert there["y"].dtype == np.float32


def test_an_export_is_proven_on_what_is_asked_for(model, tmp_path):
    report = lk.export.to_tflite(model, tmp_path / "up.tflite", prove_on=("compiled",), timing_seconds=0)
    (row,) = report.elsewhere
    assert (row.name, row.refusal) == ("compiled", "")
    assert row.snr_db > 110
    assert row.milliseconds > 0
    assert row.runtime in str(report)
    assert row.runtime in report.as_html()
    assert json.loads(report.save_json(tmp_path / "up.json").read_text())["elsewhere"][0]["name"] == "compiled"


@pytest.mark.parametrize(
    ("what", "said"), [("silent", "must reach 110 dB against the Keras model"), ("dies", "its end by SIGSEGV")]
)
def test_an_export_that_is_wrong_there_is_not_written(what, said, model, tmp_path, monkeypatch):
    monkeypatch.setitem(RUNTIMES, "compiled", misbehaving(what))
    with pytest.raises(ValueError, match=f"^On the runtime 'compiled': .*{said}"):
        lk.export.to_tflite(model, tmp_path / "up.tflite", prove_on=("compiled",), timing_seconds=0)
    assert not list(tmp_path.iterdir())


def test_a_live_file_is_proven_there_too(tmp_path):
    streaming = lk.StreamingConvTranspose1d(lk.ConvTranspose1d(4, 2, kernel_size=4, stride=2))
    report = lk.export.streaming_to_tflite(streaming, tmp_path / "live.tflite", prove_on=["compiled"], timing_seconds=0)
    assert report.elsewhere[0].snr_db > 110


def test_what_is_not_here_is_told_before_any_work(model, tmp_path, monkeypatch):
    monkeypatch.setenv("LUCID_KERAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(lk.export.tflite, "whole_claims", lambda *_: pytest.fail("too late"))
    with pytest.raises(FileNotFoundError, match=r"'micro' must be installed first: lucid-keras runtimes install micro"):
        lk.export.to_tflite(model, tmp_path / "up.tflite", prove_on=("micro",))
    with pytest.raises(FileNotFoundError, match=r"Micro is not here: lucid-keras runtimes install micro"):
        RUNTIMES["micro"](b"")


def test_names_are_checked():
    assert chosen(["litert", "compiled", "litert"], "tflite") == ("litert", "compiled")
    with pytest.raises(ValueError, match=r"runtime must be one of .*Received: runtime='phone'"):
        chosen(["phone"], "tflite")
    with pytest.raises(ValueError, match=r"must read a saved_model artefact. Received: 'litert', which reads tflite"):
        chosen(["litert"], "saved_model")
    with pytest.raises(TypeError, match=r"must be a sequence of names. Received: 'gpu'"):
        chosen("gpu", "tflite")


def test_every_runtime_and_family_has_its_name_in_the_type():
    assert set(get_args(RuntimeName)) == {*RUNTIMES, *FAMILIES}
    assert {one.part for one in RUNTIMES.values() if issubclass(one, Guest)} - {""} == set(INSTALLED)


def test_parts_are_installed_once_and_whole(tmp_path, monkeypatch):
    monkeypatch.setenv("LUCID_KERAS_CACHE", str(tmp_path))
    done = []
    steps = [("a part", lambda: done.append(1)), ("another", lambda: done.append(2))]
    next(places.installation("thing", "1.0", steps))[1]()
    assert not places.ready("thing", "1.0")  # what was cut short begins anew
    for _ in range(2):
        for _, bring in places.installation("thing", "1.0", steps):
            bring()
    assert done == [1, 1, 2]
    assert places.ready("thing", "1.0")
    assert not places.ready("thing", "1.1")


def test_a_program_that_fails_is_one_line():
    with pytest.raises(OSError, match=r"must succeed. Received: status 1: the reason"):
        places.run(["python3", "-c", "import sys; sys.exit('the reason')"])
    with pytest.raises(FileNotFoundError, match=r"'no-such-program' must be installed"):
        places.run(["no-such-program"])


def test_an_old_qemu_is_not_ready(tmp_path, monkeypatch):
    monkeypatch.setenv("LUCID_KERAS_CACHE", str(tmp_path))
    monkeypatch.setattr(runtimes.arm64.Arm64, "timed", False)
    qemu = tmp_path / "arm64/host/usr/bin/qemu-aarch64"
    qemu.parent.mkdir(parents=True)
    qemu.write_text("#!/bin/sh\necho qemu-aarch64 version 7.2.17\n")
    qemu.chmod(0o755)
    (tmp_path / "arm64/ready").write_text(runtimes.arm64.VERSIONS)
    assert "QEMU must be 10 or later. Received: 7.2" in RUNTIMES["arm64-max"].lacking()


def test_the_command_lists_and_refuses(capsys):
    assert cli.main(["runtimes"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in RUNTIMES)
    assert cli.main(["runtimes", "install", "phone"]) == 1
    assert "must be one of arm64, gpu, browser, micro, old. Received: phone" in capsys.readouterr().err
    assert cli.main(["runtimes", "install"]) == 1
    assert cli.main(["runtimes", "list", "micro"]) == 1


def test_verify_and_inspect_run_the_file_there(model, file, tmp_path, monkeypatch, capsys):
    model.save(tmp_path / "up.keras")
    assert cli.main(["verify", str(file), str(tmp_path / "up.keras"), "--on", "compiled"]) == 0
    assert "LiteRT CompiledModel" in capsys.readouterr().out
    assert cli.main(["inspect", str(file), "--json", "--on", "compiled"]) == 0
    assert json.loads(capsys.readouterr().out)["runs"][0]["snr_db"] is None  # nothing differs
    monkeypatch.setitem(RUNTIMES, "compiled", misbehaving("dies"))
    assert cli.main(["verify", str(file), str(tmp_path / "up.keras"), "--on", "compiled"]) == 1
    shown = capsys.readouterr()
    assert "refused" in shown.out
    assert shown.err.startswith("lucid-keras: On the runtime 'compiled': Misbehaving must answer. Received: its end by")
