"""Kills writers of files and folders again and again; a program without TensorFlow, for tests/test_files.py.

Arguments: the file that holds the writers, an empty folder, the number of kills. Prints what was wrong, a line each.
"""

import importlib.util
import itertools
import os
import pathlib
import random
import signal
import sys
import time

SIZE = 1 << 20


def main(module, folder, kills):
    files, folder, draw = _loaded(module), pathlib.Path(folder), random.Random(0)
    killed_inside = 0
    for _ in range(kills):
        child = os.fork()
        if not child:
            _write_forever(files, folder)
        time.sleep(draw.uniform(0, 0.01))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        killed_inside += any(folder.glob(f"{files.WORKPLACE}*"))
        _check_whole(folder)
    files.write_atomically(folder / "last", b"")
    for left in folder.glob(".*"):
        print("left behind:", left)
    if kills > 10 and not killed_inside:
        print("no kill came while something was written")


def _loaded(module):
    spec = importlib.util.spec_from_file_location("files", module)
    files = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(files)
    return files


def _write_forever(files, folder):
    for count in itertools.count():
        files.write_atomically(folder / "file", bytes([count % 256]) * SIZE)
        with files.folder_atomically(folder / f"folder-{os.getpid()}-{count}") as made:
            for name in "ab":
                (made / name).write_bytes(bytes(SIZE))


def _check_whole(folder):
    for file in folder.glob("file"):
        content = file.read_bytes()
        if content != content[:1] * SIZE:
            print("torn:", file)
    for made in folder.glob("folder-*"):
        sizes = {file.name: file.stat().st_size for file in made.iterdir()}
        if sizes != {"a": SIZE, "b": SIZE}:
            print("torn:", made, sizes)
        for file in made.iterdir():
            file.unlink()
        made.rmdir()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
