"""The versions of the packages that make an artefact."""

import importlib.metadata
import sys

from lucid_keras.version import __version__

PACKAGES = ("keras", "tensorflow", "numpy", "ai-edge-litert", "litert-quantizer")


def versions(*further: str) -> dict[str, str]:
    """Versions of Python, this package, and those of `PACKAGES` and `further` ones that are installed."""
    found = {"python": sys.version.split()[0], "lucid_keras": __version__}
    for package in (*PACKAGES, *further):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
