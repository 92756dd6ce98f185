"""LiteRT's CompiledModel, the interface that phones' apps are meant to use: a `.tflite` file on the CPU or the GPU.

A process of its own: an accelerator may end it, and tells of shaders that are not valid in its log alone, while the
numbers stay zero. Where there is no GPU, Chromium's SwiftShader computes what the shaders say.
"""

import ctypes.util
import os
import pathlib
import re
from collections.abc import Iterable

from lucid_keras.runtimes import places
from lucid_keras.runtimes.guest import LIMIT_SECONDS, Guest
from lucid_keras.runtimes.litert import LiteRT
from lucid_keras.runtimes.protocol import Coverage

SWIFTSHADER = pathlib.Path("/usr/lib/chromium/vk_swiftshader_icd.json")
NOT_VALID = re.compile(r"Validation error|Binding size for \[Buffer\] is zero|Device lost|DEVICE_LOST")
SELECTED = re.compile(r"Selected adapter: ([^,(]+)")
SHARED = re.compile(r"(\d+) operations will run on the GPU, and the remaining (\d+)")
REFUSED = re.compile(r"^(?!INFO|WARNING|ERROR|VERBOSE)[A-Z][A-Z_0-9]+: (?!\[).*$", re.MULTILINE)


class CompiledModel(Guest):
    """The signatures of a `.tflite` file under LiteRT's CompiledModel on the CPU."""

    name = "LiteRT CompiledModel"
    script = "compiled.py"
    timed = True
    accelerators: tuple[str, ...] = ("CPU",)

    @classmethod
    def lacking(cls):
        return LiteRT.lacking()

    def options(self):
        return {"accelerators": self.accelerators}

    def coverage(self):
        return Coverage(self._ops)


class LiteRTGpu(CompiledModel):
    """The signatures of a `.tflite` file on LiteRT's GPU accelerator, the rest of its operators on the CPU."""

    name = "LiteRT GPU"
    part = "gpu"
    timed = False
    accelerators = ("GPU", "CPU")

    @classmethod
    def lacking(cls):
        here = ctypes.util.find_library("vulkan") and (_has_gpu() or SWIFTSHADER.is_file())
        return super().lacking() or ("" if here else "lucid-keras runtimes install gpu")

    @classmethod
    def installation(cls):
        if cls.lacking():
            packages = ["libvulkan1", "chromium"]
            yield "a Vulkan loader and SwiftShader", lambda: places.debian("A Vulkan driver", packages)

    def __init__(self, artefact, threads=2, limit=LIMIT_SECONDS):
        super().__init__(artefact, threads, limit)
        chosen = SELECTED.search(self.log())
        if not chosen:
            raise ValueError(f"{self.name} must find a GPU, or software for one. Received: no adapter in its log")
        self.device = chosen[1].strip()

    def environment(self):
        return {} if _has_gpu() else {"VK_ICD_FILENAMES": str(SWIFTSHADER)}

    def check(self):
        if found := NOT_VALID.search(log := self.log()):
            line = log[found.start() :].splitlines()[0]
            raise ValueError(f"{self.name} must run only valid shaders. Received: {line[:200]}")

    def coverage(self):
        """What the accelerator's log says: how many operators it left to the CPU, and why."""
        log = self.log()
        shares = SHARED.search(log)  # of the first graph
        reasons = without_places(match[0] for match in REFUSED.finditer(log))
        return Coverage(self._ops, "the GPU", left=int(shares[2]) if shares else 0, reasons=reasons)


def without_places(reasons: Iterable[str]) -> tuple[str, ...]:
    """The accelerator's reasons, each once: an operator, and why not, without the tensor that it was about."""
    return tuple(dict.fromkeys(one.partition(". ")[0].rstrip(". :") for one in reasons))


def _has_gpu():
    """Whether there is one, or the user has said which driver to take."""
    nodes = [*pathlib.Path("/dev/dri").glob("renderD*"), *pathlib.Path("/dev").glob("nvidia[0-9]*")]
    return bool(nodes) or "VK_ICD_FILENAMES" in os.environ
