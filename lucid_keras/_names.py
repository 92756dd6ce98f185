"""Names of layers and inputs as graphs, signatures and files take them. Standard library only."""

import re


def identifier(name: str) -> str:
    """The name with a letter first, then letters, digits and underscores."""
    legal = re.sub(r"\W", "_", name)
    return legal if legal[:1].isalpha() else f"input_{legal}"
