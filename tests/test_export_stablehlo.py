"""The StableHLO folder: its manifest, its hashes, and its programs against the Keras model."""

import hashlib
import json
import pathlib
import shutil

import keras
import pytest

import lucid_keras as lk
from lucid_keras import ops
from lucid_keras.export import to_stablehlo
from lucid_keras.runtimes import open_artefact


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    keras.utils.set_random_seed(1)
    layer = lk.ConvTranspose1d(4, 6, 5, stride=3, padding=1, output_padding=1, groups=2, name="up")
    model = keras.Sequential([keras.Input((4, None), name="mel"), layer])
    path = tmp_path_factory.mktemp("hlo") / "up.stablehlo"
    return to_stablehlo(model, path, length=7, batch=2, vjp=True, timing_seconds=0)


def test_the_manifest_says_what_a_loader_needs(report):
    programs = json.loads((report.path / "manifest.json").read_text())["programs"]
    mel = {"name": "mel", "shape": [2, 4, 7], "dtype": "float32"}
    up = {"name": "up", "shape": [2, 6, 22], "dtype": "float32"}
    assert programs["forward"]["parameters"] == [mel]
    assert programs["forward"]["results"] == [up]
    assert programs["vjp"]["parameters"] == [mel, up]
    assert programs["vjp"]["results"] == [mel]
    for program in programs.values():
        content = (report.path / program["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == program["sha256"]


def test_the_program_is_verified(report):
    assert report.kind == "stablehlo"
    assert report.snr_db >= 110
    assert [(one.signature, one.name) for one in report.outputs] == [("forward", "up"), ("vjp", "mel")]


def test_a_program_that_is_not_the_one_its_manifest_names_is_refused(report, tmp_path):
    folder = shutil.copytree(report.path, tmp_path / "up.stablehlo")
    content = bytearray((folder / "forward.stablehlo").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "forward.stablehlo").write_bytes(content)
    with pytest.raises(ValueError, match=r"forward\.stablehlo is not the one that the manifest names"):
        open_artefact(folder)


def test_no_folder_of_this_machine_is_in_the_programs(report):
    installed = str(pathlib.Path(keras.__file__).parent.parent).encode()
    for program in report.path.glob("*.stablehlo"):
        assert installed not in program.read_bytes()


def test_a_program_for_a_platform(tmp_path, monkeypatch):
    """It is traced for that, and runs here all the same."""
    traced_for, choose = set(), ops.choose_lowering
    monkeypatch.setattr(ops, "choose_lowering", lambda *how: traced_for.add(how[1].platform) or choose(*how))
    model = keras.Sequential([keras.Input((4, 9)), lk.ConvTranspose1d(4, 6, 4, stride=2, padding=1)])
    for platform in (None, "cuda", "tpu"):
        traced_for.clear()
        made = to_stablehlo(model, tmp_path / f"{platform}", platform=platform, vjp=True, timing_seconds=0)
        assert made.snr_db > 110
        assert (platform or "") in traced_for
    with pytest.raises(ValueError, match=r"platform must be one of 'cpu', 'cuda', 'tpu'\. Received: platform='gpu'"):
        to_stablehlo(model, tmp_path / "gpu", platform="gpu")


def test_open_lengths_are_refused(tmp_path):
    model = keras.Sequential([keras.Input((4, None)), lk.ConvTranspose1d(4, 2, 4)])
    for length in ("dynamic", [3, 4]):
        with pytest.raises(ValueError, match="must be an int or a dict of ints for StableHLO"):
            to_stablehlo(model, tmp_path / "x", length=length)
    assert not list(tmp_path.iterdir())
