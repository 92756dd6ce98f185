"""What the exporters need of an extra, asked for by name before the work that needs it."""

import types

from lucid_keras._extras import needed


def check_litert(recipe=None) -> None:
    """Raise unless LiteRT is installed, and for some recipes the AI Edge Quantizer."""
    needed("ai_edge_litert.interpreter", "running a .tflite file needs LiteRT")
    if recipe is not None and recipe.edge_recipe is not None:
        needed("ai_edge_quantizer", f"{recipe.name!r} needs the AI Edge Quantizer")


def check_tables() -> types.ModuleType:
    """rich, which prints what the commands find; raises unless it is installed."""
    return needed("rich", "the tables need rich")


def check_pictures() -> types.ModuleType:
    """matplotlib's figures; raises unless they are installed."""
    return needed("matplotlib.figure", "the report's pictures need matplotlib")
