"""Files and folders that an export writes: whole or not at all, as the umask says, and nothing beside them."""

import concurrent.futures
import os
import pathlib
import subprocess
import sys

import pytest

from lucid_keras.export import files
from lucid_keras.export.files import checked_destination, folder_atomically, write_atomically

HERE = pathlib.Path(__file__).parent


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failure_at_any_point_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, step):
    target = tmp_path / "old.tflite"
    target.write_bytes(b"old")
    with monkeypatch.context() as context:
        context.setattr(os, step, lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(OSError, match="No space left"):
            write_atomically(target, b"new")
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["old.tflite"]
    assert write_atomically(target, b"new") == target
    assert target.read_bytes() == b"new"


def test_a_failure_leaves_no_folder(tmp_path):
    with pytest.raises(IsADirectoryError), folder_atomically(tmp_path / "made") as folder:
        folder.write_bytes(b"")
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("kills", [20, pytest.param(200, marks=pytest.mark.sweep)])
def test_killed_writers_leave_old_or_new_and_nothing_after_the_next(tmp_path, kills):
    program = [sys.executable, "-I", HERE / "killed_writers.py", files.__file__, tmp_path, str(kills)]
    done = subprocess.run(program, capture_output=True, text=True, check=True)
    assert done.stdout == done.stderr == ""


def test_what_is_being_written_is_not_cleaned_away(tmp_path):
    with folder_atomically(tmp_path / "slow") as folder:
        (folder / "part").write_bytes(b"part")
        write_atomically(tmp_path / "quick", b"quick")
    assert (tmp_path / "slow" / "part").read_bytes() == b"part"
    assert sorted(os.listdir(tmp_path)) == ["quick", "slow"]


def test_a_workplace_that_is_cleaned_away_before_it_is_held_is_made_anew(tmp_path, monkeypatch):
    locked, cleaned = files._locked, []

    def late(lock):
        if not cleaned:  # another writer was between the making of the lock and its holding
            cleaned.append(pathlib.Path(lock.name).parent)
            files._remove_if_left(cleaned[0])
        return locked(lock)

    monkeypatch.setattr(files, "_locked", late)
    write_atomically(tmp_path / "new", b"new")
    assert cleaned[0].name.startswith(files.WORKPLACE)
    assert os.listdir(tmp_path) == ["new"]


def test_where_the_file_system_has_no_locks_nothing_is_cleaned_away(tmp_path, monkeypatch):
    (tmp_path / f"{files.WORKPLACE}left").mkdir()
    (tmp_path / f"{files.WORKPLACE}left" / files.LOCK).touch()
    monkeypatch.setattr("fcntl.flock", lambda *_: (_ for _ in ()).throw(OSError(95, "Operation not supported")))
    write_atomically(tmp_path / "new", b"new")
    assert sorted(os.listdir(tmp_path)) == [f"{files.WORKPLACE}left", "new"]


def test_writers_in_many_threads_do_not_disturb_each_other(tmp_path):
    def write(number):
        write_atomically(tmp_path / str(number), str(number).encode())
        with folder_atomically(tmp_path / f"folder-{number}") as folder:
            (folder / "part").write_bytes(str(number).encode())

    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        list(threads.map(write, range(100)))
    for number in range(100):
        assert (tmp_path / str(number)).read_bytes() == str(number).encode()
        assert (tmp_path / f"folder-{number}" / "part").read_bytes() == str(number).encode()
    assert len(os.listdir(tmp_path)) == 200


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_modes_are_what_the_umask_says_and_nobody_touches_it(tmp_path, mask, monkeypatch):
    before = os.umask(mask)
    try:
        with monkeypatch.context() as context:
            context.delattr(os, "umask")
            write_atomically(tmp_path / "file", b"")
            with folder_atomically(tmp_path / "folder"):
                pass
    finally:
        os.umask(before)
    assert os.stat(tmp_path / "file").st_mode & 0o777 == 0o666 & ~mask
    assert os.stat(tmp_path / "folder").st_mode & 0o777 == 0o777 & ~mask


def test_links_are_followed_and_stay(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").write_bytes(b"old")
    (tmp_path / "link").symlink_to("there/file")
    (tmp_path / "folder").symlink_to("there/made")  # leads to nothing yet
    assert checked_destination(tmp_path / "link") == tmp_path / "link"
    write_atomically(tmp_path / "link", b"new")
    with folder_atomically(tmp_path / "folder") as folder:
        (folder / "part").touch()
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "folder").is_symlink()
    assert (tmp_path / "there" / "file").read_bytes() == b"new"
    assert sorted(os.listdir(tmp_path / "there")) == ["file", "made"]


@pytest.mark.parametrize("folder", [False, True])
@pytest.mark.parametrize("kind", ["pipe", "link to a device", "folder"])
def test_what_is_no_file_is_never_replaced(tmp_path, kind, folder):
    target = tmp_path / "target"
    {"pipe": os.mkfifo, "link to a device": lambda path: path.symlink_to(os.devnull), "folder": os.mkdir}[kind](target)
    rule = rf"path must not be .*Received: path='{target}'"
    with pytest.raises(ValueError, match=rule):
        checked_destination(target, folder=folder)
    with pytest.raises(ValueError, match=rule):
        folder_atomically(target).__enter__() if folder else write_atomically(target, b"new")
    assert os.listdir(tmp_path) == ["target"]


def test_a_path_that_cannot_be_is_refused_before_the_work(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    reasons = "Not a directory|Too many levels of symbolic links|File name too long"
    for path in ("file/new", "file/far/new", "loop", "x" * 300):
        with pytest.raises(OSError, match=rf"path must be one that can be written: ({reasons})\. Received: path="):
            checked_destination(tmp_path / path)
    assert sorted(os.listdir(tmp_path)) == ["file", "loop"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is forbidden to this user")
def test_a_folder_that_may_not_be_written_is_refused_before_the_work(tmp_path):
    tmp_path.chmod(0o555)
    with pytest.raises(PermissionError):
        checked_destination(tmp_path / "new")
