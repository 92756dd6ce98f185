"""Where the parts of runtimes lie that are no Python packages of this one, and how package managers bring them there.

Nothing here runs unless `lucid-keras runtimes install` asks for it.
"""

import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence

Step = tuple[str, Callable[[], object]]  # what is done, in words, and what does it


def place(name: str) -> pathlib.Path:
    """The folder of a runtime's parts: in `$LUCID_KERAS_CACHE`, or `lucid_keras` in the user's cache folder."""
    if own := os.environ.get("LUCID_KERAS_CACHE"):
        return pathlib.Path(own).absolute() / name
    caches = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(caches).absolute() / "lucid_keras" / name


def ready(name: str, versions: str) -> bool:
    """Whether the parts are there whole, in these versions."""
    stamp = place(name) / "ready"
    return stamp.is_file() and stamp.read_text() == versions


def installation(name: str, versions: str, steps: Sequence[Step]) -> Iterator[Step]:
    """The steps that bring the parts, from an empty folder; what is there whole in these versions stays as it is."""
    if ready(name, versions):
        return
    shutil.rmtree(place(name), ignore_errors=True)
    place(name).mkdir(parents=True)
    yield from steps
    (place(name) / "ready").write_text(versions)


def python311() -> str:
    """A Python 3.11, which runtimes with wheels for no later one need; raises where there is none."""
    if sys.version_info[:2] == (3, 11):
        return sys.executable
    found = shutil.which("python3.11")
    if found is None:
        raise FileNotFoundError(
            "Python 3.11 must be on the path: this runtime has wheels for no later one. Received: none"
        )
    return found


def environment(folder: pathlib.Path, packages: Sequence[str], python: str | None = None) -> None:
    """A virtual environment with these packages."""
    run([python or sys.executable, "-m", "venv", str(folder)])
    run([str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *packages])


def debian(what: str, packages: Sequence[str]) -> None:
    """Debian's packages, installed where one may; raises with the line to type where not."""
    if not (shutil.which("apt-get") and os.geteuid() == 0):
        line = f"sudo apt-get install --no-install-recommends {' '.join(packages)}"
        raise FileNotFoundError(f"{what} must be installed, on Debian or Ubuntu by: {line}. Received: none here")
    run(["apt-get", "update", "--quiet=2"])
    run(["apt-get", "install", "--quiet=2", "--yes", "--no-install-recommends", *packages])


def run(command: Sequence[str]) -> None:
    """Run a program to its end; raises with its last line where it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        raise FileNotFoundError(f"The program {command[0]!r} must be installed. Received: none on the path") from None
    if done.returncode:
        said = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()] or [""]
        raise OSError(
            f"{' '.join(command[:4])} ... must succeed. Received: status {done.returncode}: {said[-1].strip()}"
        )
