"""Docstrings on their way to a page: Keras writes examples bare, and Markdown would take `>>>` for quotations."""

import re

import griffe

BARE = re.compile(r"^>>> .*(?:\n.+)*", re.MULTILINE)


class FencedExamples(griffe.Extension):
    """Puts each run of doctest lines between fences."""

    def on_object(self, *, obj, **_):
        if obj.docstring:
            obj.docstring.value = BARE.sub(lambda found: f"```pycon\n{found[0]}\n```", obj.docstring.value)
