"""What runs artefacts, each behind one protocol, and what goes in and out. Only the lowest layer is imported here."""

import os
import pathlib

from lucid_keras.runtimes.arm64 import Arm64, CortexA53, CortexA76, CortexA710
from lucid_keras.runtimes.browser import Browser, BrowserGpu
from lucid_keras.runtimes.guest import Guest as Guest
from lucid_keras.runtimes.litert import LiteRT
from lucid_keras.runtimes.litert_compiled import CompiledModel, LiteRTGpu
from lucid_keras.runtimes.microcontroller import Micro
from lucid_keras.runtimes.pjrt import Pjrt
from lucid_keras.runtimes.protocol import Runtime
from lucid_keras.runtimes.ragged import Ragged as Ragged
from lucid_keras.runtimes.saved_model import SavedModel
from lucid_keras.runtimes.signals import bytes_of as bytes_of
from lucid_keras.runtimes.signals import recording_of as recording_of
from lucid_keras.runtimes.signals import signal_of as signal_of
from lucid_keras.runtimes.stablehlo import MANIFEST, StableHlo
from lucid_keras.runtimes.tflite_2023 import TFLite2023

# By name; of two that read the same artefact the first is the one that needs nothing more than this package.
RUNTIMES: dict[str, type[Runtime]] = {
    "litert": LiteRT,
    "stablehlo": StableHlo,
    "pjrt": Pjrt,
    "saved_model": SavedModel,
    "compiled": CompiledModel,
    "gpu": LiteRTGpu,
    "arm64-a53": CortexA53,
    "arm64-a76": CortexA76,
    "arm64-a710": CortexA710,
    "arm64-max": Arm64,
    "browser-wasm": Browser,
    "browser-webgpu": BrowserGpu,
    "micro": Micro,
    "old": TFLite2023,
}
# A name for several: what is proven on "arm64" is proven on each of these cores, or on the one that is there.
FAMILIES = {
    "arm64": ("arm64-max",) if Arm64.timed else ("arm64-a53", "arm64-a76", "arm64-a710", "arm64-max"),
    "browser": ("browser-wasm", "browser-webgpu"),
}


def open_artefact(path: str | os.PathLike[str]) -> Runtime:
    """The artefact at a path, under the first runtime that reads its kind; raises where none does."""
    path = pathlib.Path(path)
    kind = kind_of(path)
    return next(runtime for runtime in RUNTIMES.values() if runtime.kind == kind)(path)


def kind_of(path: pathlib.Path) -> str:
    """What the artefact at a path is: "tflite", "stablehlo" or "saved_model"; raises where there is none."""
    if path.is_file():
        return "tflite"
    if path.is_dir():
        return "stablehlo" if (path / MANIFEST).is_file() else "saved_model"
    raise FileNotFoundError(f"The artefact must exist. Received: {path}")
