"""ARM64, as in phones: LiteRT's interpreter in its wheel for that processor, on it or under QEMU's emulation of it.

QEMU runs a Debian Python of that processor, no file system mounted. It must be QEMU 10: version 7.2 computes int8
wrongly on `max`, and knows no newer cores. It hands on the host's `/proc/cpuinfo`, of which LiteRT would die, so that
another one lies under QEMU's prefix.
"""

import pathlib
import platform
import re
import shutil
import subprocess
import sys

from lucid_keras.runtimes import places
from lucid_keras.runtimes.guest import Guest

LITERT, NUMPY = "ai-edge-litert==2.3.0", "numpy==2.4.6"
VERSIONS = f"Debian 13's QEMU, Debian 12's Python, {LITERT}, {NUMPY}\n"
CORES = 2
QEMU = "host/usr/bin/qemu-aarch64"
CPUINFO = """processor\t: {number}
BogoMIPS\t: 100.00
Features\t: fp asimd
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x1
CPU part\t: 0xd0b
CPU revision\t: 0

"""


class Arm64(Guest):
    """The signatures of a `.tflite` file on an ARM64 processor with all that QEMU knows: dotprod, i8mm, SVE, SME."""

    name = "ARM64 max"
    part = "arm64"
    cpu = "max"
    timed = platform.machine() in ("aarch64", "arm64")

    @classmethod
    def lacking(cls):
        if cls.timed:
            return "" if cls is Arm64 else "a machine of another processor, where QEMU can show one core among others"
        qemu = places.place("arm64") / QEMU
        if not (places.ready("arm64", VERSIONS) and qemu.is_file()):
            return "lucid-keras runtimes install arm64"
        told = subprocess.run([qemu, "--version"], capture_output=True, text=True).stdout
        version = re.search(r"version (\d+)\.(\d+)", told)
        if version and int(version[1]) >= 10:
            return ""
        received = version[0].removeprefix("version ") if version else "no version"
        return f"QEMU must be 10 or later. Received: {received}; lucid-keras runtimes install arm64 brings one"

    @classmethod
    def installation(cls):
        if not cls.timed:
            if not shutil.which("mmdebstrap"):
                yield "mmdebstrap", lambda: places.debian("mmdebstrap", ["mmdebstrap"])
            yield from places.installation("arm64", VERSIONS, _steps(places.place("arm64")))

    @classmethod
    def command(cls):
        if cls.timed:
            return [sys.executable]
        folder = places.place("arm64")
        qemu, python = folder / QEMU, folder / "root/usr/bin/python3.11"
        return [str(qemu), "-cpu", cls.cpu, "-L", str(folder / "root"), str(python)]

    def where(self):
        return None if self.timed else f"QEMU's {self.name.removeprefix('ARM64 ')}"

    def environment(self):
        return {} if self.timed else {"PYTHONPATH": str(places.place("arm64") / "site")}


class CortexA53(Arm64):
    """The signatures of a `.tflite` file on the core of 2012's phones, without dot products."""

    name = "ARM64 Cortex-A53"
    cpu = "cortex-a53"


class CortexA76(Arm64):
    """The signatures of a `.tflite` file on a core of 2018, with dot products and half precision."""

    name = "ARM64 Cortex-A76"
    cpu = "cortex-a76"


class CortexA710(Arm64):
    """The signatures of a `.tflite` file on a core of 2021, with i8mm and SVE2."""

    name = "ARM64 Cortex-A710"
    cpu = "cortex-a710"


def _steps(folder):
    bootstrap = ["mmdebstrap", "--quiet", "--variant=extract"]
    pythons = "python3-minimal,libpython3-stdlib,libstdc++6"
    host, root = str(folder / "host"), str(folder / "root")
    return [
        ("QEMU 10", lambda: places.run([*bootstrap, "--include=qemu-user", "trixie", host])),
        (
            "Python for ARM64",
            lambda: places.run([*bootstrap, "--architectures=arm64", f"--include={pythons}", "bookworm", root]),
        ),
        ("LiteRT for ARM64", lambda: _wheels(folder)),
        ("a processor's description", lambda: _describe(folder / "root" / "proc")),
    ]


def _wheels(folder):
    tags = [f"manylinux_2_{minor}_aarch64" for minor in (28, 27, 17)]
    platforms = [word for tag in [*tags, "manylinux2014_aarch64"] for word in ("--platform", tag)]
    abis = [word for abi in ("cp311", "abi3", "none") for word in ("--abi", abi)]
    which = ["--only-binary=:all:", "--python-version", "3.11", "--implementation", "cp", *abis, *platforms]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile"]
    places.run([*pip, *which, "--target", str(folder / "site"), LITERT, NUMPY])


def _describe(proc: pathlib.Path):
    proc.mkdir(exist_ok=True)
    (proc / "cpuinfo").write_text("".join(CPUINFO.format(number=number) for number in range(CORES)))
