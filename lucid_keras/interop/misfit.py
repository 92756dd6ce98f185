"""What to tell a user whose checkpoint does not fit: all of it at once, sorted, with the nearest candidates."""

import difflib
import re

MOST_LISTED = 40
MOST_COMPARED = 100


def misfit_message(expected, found, missing, unexpected, wrong):
    """The text for names on one side alone and for wrong shapes.

    `expected` maps the target's names to shapes, `found` the checkpoint's.
    """
    left = {name: expected[name] for name in missing}
    right = {name: found[name] for name in unexpected}
    reshaped = [f"{name}: the target has {list(expected[name])}, not {list(found[name])}" for name in wrong]
    parts = [
        f"the checkpoint must fit the target. Received: {len(found)} entries for the {len(expected)} expected",
        *_section("missing from the checkpoint", [_nearest(name, shape, right) for name, shape in left.items()]),
        *_section("unexpected in the checkpoint", [_nearest(name, shape, left) for name, shape in right.items()]),
        *_section("of another shape", reshaped),
        *_prefix_hint(missing, unexpected),
    ]
    return "\n".join(parts)


def _section(title, lines):
    if not lines:
        return []
    rest = [f"... and {len(lines) - MOST_LISTED} more"] if len(lines) > MOST_LISTED else []
    return ["\n  ".join([f"{title} ({len(lines)}):", *lines[:MOST_LISTED], *rest])]


def _nearest(name, shape, candidates):
    """A name with its shape and the most similar name of the other side, of the same shape if there is one."""
    ending = name.rpartition(".")[2]
    alike = [other for other, of_shape in candidates.items() if of_shape == shape]
    pool = alike or [other for other in candidates if other.rpartition(".")[2] == ending]
    nearest = difflib.get_close_matches(name, pool[:MOST_COMPARED], n=1, cutoff=0.3 if alike else 0.6)
    return f"{name} {list(shape)}" + "".join(f"   nearest: {other} {list(candidates[other])}" for other in nearest)


def _prefix_hint(missing, unexpected):
    """The `rename` that mends a checkpoint whose every missing name is there behind, or without, a prefix."""
    for short, long, rename in (
        (missing, unexpected, lambda prefix: {f"^{re.escape(prefix)}": ""}),
        (unexpected, missing, lambda prefix: {"^": prefix}),
    ):
        if not short or not long:
            continue
        first = short[0]
        for name in long:
            prefix = name.removesuffix(first)
            if prefix.endswith(".") and {f"{prefix}{rest}" for rest in short} <= set(long):
                return [f"Try rename={rename(prefix)!r}"]
    return []
