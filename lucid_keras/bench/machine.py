"""What timings depend on: the versions of the packages, the processor, its cores, the threads."""

import os
import pathlib
import platform

from lucid_keras.export.versions import versions

PACKAGES = ("torch", "onnxruntime")
CPUINFO = pathlib.Path("/proc/cpuinfo")


def machine(threads):
    """A dict for the results."""
    found = versions(*PACKAGES)
    python = found.pop("python")
    return {
        "versions": found,
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "python": python,
        "system": f"{platform.system()} {platform.machine()}",
    }


def _processor():
    lines = CPUINFO.read_text().splitlines() if CPUINFO.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
