"""Keras names as graphs, signatures and states take them. Standard library only."""

import re


def identifier(name: str) -> str:
    """A letter first, then letters, digits and underscores; `input_` precedes a name that begins with none."""
    legal = re.sub(r"\W", "_", name, flags=re.ASCII)
    return legal if legal[:1].isalpha() else f"input_{legal}"


def scope(path: str) -> str:
    """The scope of a graph for what lies at a path of Keras names, a model's and a layer's in it."""
    return "/".join(map(identifier, path.split("/")))
