"""Packages that come with an extra, asked for by name before the work that needs them."""

import importlib
import types


def needed(module: str, what: str, extra: str = "export") -> types.ModuleType:
    """The module, imported; raises an error that says what needs it and which extra brings it."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise ImportError(f"{what}: pip install 'lucid_keras[{extra}]'") from None


def check_litert(recipe=None) -> None:
    """Raise unless LiteRT is installed, and for some recipes the AI Edge Quantizer."""
    needed("ai_edge_litert.interpreter", "running a .tflite file needs LiteRT")
    if recipe is not None and recipe.edge_recipe is not None:
        needed("ai_edge_quantizer", f"{recipe.name!r} needs the AI Edge Quantizer")


def check_pictures() -> types.ModuleType:
    """matplotlib's figures; raises unless they are installed."""
    return needed("matplotlib.figure", "the report's pictures need matplotlib")
