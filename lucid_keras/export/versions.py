"""The versions of the packages that make an artefact."""

import importlib.metadata
import sys

from lucid_keras.version import __version__


def versions(*packages):
    """Versions of Python, this package, Keras, TensorFlow, NumPy and `packages`, where installed."""
    found = {"python": sys.version.split()[0], "lucid_keras": __version__}
    for package in ("keras", "tensorflow", "numpy", *packages):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
