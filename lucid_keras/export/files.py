"""Files and folders that appear whole or not at all."""

import contextlib
import os
import pathlib
import shutil
import tempfile


def checked_destination(path: str | os.PathLike[str], *, folder: bool = False) -> pathlib.Path:
    """`path` as a `pathlib.Path` that can be written; raises before any work is done where it cannot.

    An existing file is replaced in the end; an existing folder never is.
    """
    path = pathlib.Path(path)
    if path.is_dir() or (folder and path.exists()):
        raise ValueError(f"path must not be an existing {'path' if folder else 'folder'}. Received: path={str(path)!r}")
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, probe = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    os.unlink(probe)
    return path


def write_atomically(path, content):
    """Write `content` to `path`: the old file or the new one is there at any moment, whole."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return path


@contextlib.contextmanager
def folder_atomically(path):
    """A temporary folder beside `path` that takes its name when the block ends, and goes if the block raises."""
    path = pathlib.Path(path)
    temporary = pathlib.Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        yield temporary
        os.chmod(temporary, 0o777 & ~_umask())
        os.rename(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
