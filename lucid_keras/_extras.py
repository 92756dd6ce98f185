"""Packages that come with an extra, imported when they are asked for. Standard library only."""

import importlib
import types


def needed(module: str, what: str, extra: str = "export") -> types.ModuleType:
    """The module, imported; raises an error that says what needs it and which extra brings it."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise ImportError(f"{what}: pip install 'lucid_keras[{extra}]'") from None
