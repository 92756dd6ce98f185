"""What the site's generator does to docstrings: Keras writes examples bare, Markdown would take `>>>` for quotations."""

import re

import griffe

BARE = re.compile(r"^>>> .*(?:\n.+)*", re.MULTILINE)


class FencedExamples(griffe.Extension):
    """Puts each run of doctest lines between fences."""

    def on_object(self, *, obj, **_):
        if obj.docstring:
            obj.docstring.value = BARE.sub(lambda found: f"```pycon\n{found[0]}\n```", obj.docstring.value)
