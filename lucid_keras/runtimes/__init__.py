"""What runs artefacts, each behind one protocol. Of this package `_extras` alone is imported here."""

import pathlib

from lucid_keras.runtimes.litert import LiteRT
from lucid_keras.runtimes.pjrt import Pjrt
from lucid_keras.runtimes.protocol import Runtime
from lucid_keras.runtimes.saved_model import SavedModel
from lucid_keras.runtimes.stablehlo import MANIFEST, StableHlo

# By name; of two that read the same artefact the first is the one that needs nothing more than this package.
RUNTIMES: dict[str, type[Runtime]] = {
    "litert": LiteRT,
    "stablehlo": StableHlo,
    "pjrt": Pjrt,
    "saved_model": SavedModel,
}


def open_artefact(path: pathlib.Path) -> Runtime:
    """The artefact at a path, under the first runtime that reads its kind; raises where none does."""
    if path.is_file():
        kind = "tflite"
    elif path.is_dir():
        kind = "stablehlo" if (path / MANIFEST).is_file() else "saved_model"
    else:
        raise FileNotFoundError(f"The artefact must exist. Received: {path}")
    return next(runtime for runtime in RUNTIMES.values() if runtime.kind == kind)(path)
