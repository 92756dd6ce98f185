"""What timings depend on: the versions of the packages, the processor, its cores, the threads."""

import os
import platform

from lucid_keras._timing import processor
from lucid_keras.export.versions import versions

PACKAGES = ("torch", "onnxruntime")


def machine(threads):
    """A dict for the results."""
    found = versions(*PACKAGES)
    python = found.pop("python")
    return {
        "versions": found,
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "python": python,
        "system": f"{platform.system()} {platform.machine()}",
    }
