"""Exports to a disk that is full: an OSError, and nothing left."""

import os
import subprocess
import tempfile

import keras
import pytest

import lucid_keras as lk
from lucid_keras.export import streaming_to_saved_model, to_saved_model, to_stablehlo, to_tflite

QUIET = {"timing_seconds": 0}


@pytest.fixture
def disk(tmp_path):
    """A file system of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a file system is not allowed here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def layer():
    return lk.ConvTranspose1d(64, 64, kernel_size=64, stride=64)  # a MiB of weights


def model():
    return keras.Sequential([keras.Input((64, 2)), layer()])


@pytest.mark.parametrize(
    "export",
    [
        lambda path: to_saved_model(model(), path, **QUIET),
        lambda path: streaming_to_saved_model(lk.StreamingConvTranspose1d(layer()), path, **QUIET),
        lambda path: to_stablehlo(model(), path, **QUIET),
        lambda path: to_tflite(model(), path, **QUIET),
    ],
    ids=["saved_model", "streaming_saved_model", "stablehlo", "tflite"],
)
def test_a_full_disk_is_an_os_error_and_nothing_is_left(disk, export):
    with pytest.raises(OSError, match=r"must be written|No space left"):
        export(disk / "made")
    assert not os.listdir(disk)


def test_a_full_disk_for_temporary_files_is_an_os_error_too(disk, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(disk))
    with pytest.raises(OSError, match="must be written"):
        to_tflite(model(), tmp_path / "made.tflite", **QUIET)
    assert not os.listdir(disk)
    assert os.listdir(tmp_path) == ["disk"]
