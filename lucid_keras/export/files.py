"""Files and folders that appear whole or not at all, with what the umask gives, and leave nothing behind.

What is being written lies in a workplace, a hidden folder beside the target, and is renamed to its name. A process
that is killed cannot remove its workplace, so each writer first removes those whose lock nobody holds any more.
"""

import contextlib
import os
import pathlib
import shutil
import stat
import sys
import tempfile

WORKPLACE = ".lucid_keras-"
LOCK = "lock"
CONTENT = "content"


def checked_destination(path: str | os.PathLike[str], *, folder: bool = False) -> pathlib.Path:
    """`path` as a `pathlib.Path` that can be written; raises before any work is done where it cannot.

    An existing file is replaced in the end, through links; an existing folder, pipe, socket or device never is.
    """
    with workplace(_target(path, folder).parent):
        return pathlib.Path(path)


def write_atomically(path, content):
    """Write `content` to `path`: the old file or the new one is there at any moment, whole."""
    target = _target(path)
    with workplace(target.parent) as place:
        with open(place / target.name, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(place / target.name, target)
    return pathlib.Path(path)


@contextlib.contextmanager
def folder_atomically(path):
    """A folder that takes the name `path` when the block ends, and goes if the block raises."""
    target = _target(path, folder=True)
    with workplace(target.parent) as place:
        yield place
        os.rename(place, target)


@contextlib.contextmanager
def workplace(parent):
    """A folder of one's own in the folder `parent`, gone after the block; what killed processes left goes first."""
    for left in pathlib.Path(parent).glob(f"{WORKPLACE}*"):
        _remove_if_left(left)
    place, lock = _begun(parent)
    try:
        (place / CONTENT).mkdir()
        yield place / CONTENT
    finally:
        _remove(place, lock)


def _target(path, folder=False):
    """Where `path` leads, its parents made; raises where nothing may be written."""
    target = pathlib.Path(os.path.realpath(path))
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        target.parent.mkdir(parents=True, exist_ok=True)
        return target
    except OSError as error:  # a name too long, a file in a folder's place, no permission to look
        rule = f"path must be one that can be written: {error.strerror}. Received: path={str(path)!r}"
        raise OSError(error.errno, rule) from None
    if folder or stat.S_ISDIR(mode):
        raise ValueError(f"path must not be an existing {'path' if folder else 'folder'}. Received: path={str(path)!r}")
    if not stat.S_ISREG(mode):
        raise ValueError(f"path must not be a pipe, a socket or a device. Received: path={str(path)!r}")
    return target


def _begun(parent):
    """A new workplace and its lock, held; another writer may have removed it before it was, then one more."""
    while True:
        place = pathlib.Path(tempfile.mkdtemp(dir=parent, prefix=WORKPLACE))
        with contextlib.suppress(FileNotFoundError):
            lock = open(place / LOCK, "xb")  # noqa: SIM115 (held open as long as the workplace is there)
            if _locked(lock) is not False and (place / LOCK).exists():
                return place, lock


def _remove_if_left(place):
    with contextlib.suppress(OSError):
        os.rmdir(place)  # killed before it held anything
    with contextlib.suppress(OSError), open(place / LOCK, "r+b") as lock:
        if _locked(lock):
            _remove(place, lock)


def _remove(place, lock):
    """The content first: without the lock nobody would know that it was left. The lock while it is held, or its next
    holder would lose what it has begun; but Windows removes nothing that is open."""
    shutil.rmtree(place / CONTENT, ignore_errors=True)
    shutil.rmtree(place, ignore_errors=True)
    lock.close()
    with contextlib.suppress(OSError):
        os.unlink(place / LOCK)
        os.rmdir(place)


def _locked(file):
    """Whether the lock is held now: False where somebody else holds it, None where the file system has no locks.

    Threads exclude each other too; the system releases a lock when its process ends.
    """
    busy = PermissionError if sys.platform == "win32" else BlockingIOError
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except busy:
        return False
    except OSError:
        return None
    return True
