"""Packages that come with an extra, imported when they are asked for. Standard library only."""

import importlib
import importlib.util
import types


def needed(module: str, what: str, extra: str = "export") -> types.ModuleType:
    """The module, imported; raises an error that says what needs it and which extra brings it."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise ImportError(f"{what}: pip install 'lucid_keras[{extra}]'") from None


def lacking(module: str, extra: str) -> str:
    """How to get a module that is not installed; an empty text where it is."""
    return "" if importlib.util.find_spec(module) else f"pip install 'lucid_keras[{extra}]'"
