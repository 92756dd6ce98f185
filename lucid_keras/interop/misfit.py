"""What to tell a user whose checkpoint does not fit: all of it at once, sorted, with the nearest candidates."""

import difflib
import re

MOST_LISTED = 40
MOST_COMPARED = 100


def misfit_message(expected, state, missing, unexpected, wrong, strict):
    """The text for names on one side alone and for wrong shapes.

    `expected` maps the target's names to shapes, `state` the checkpoint's names to arrays.
    """
    shapes = {name: array.shape for name, array in state.items()}
    left = {name: expected[name] for name in missing}
    right = {name: shapes[name] for name in unexpected}
    parts = [f"the checkpoint must fit the target. Received: {len(state)} entries for the {len(expected)} expected"]
    if strict and missing:
        lines = [f"{name} {_extents(expected[name])}{_nearest(name, expected[name], right)}" for name in missing]
        parts.append(_section("missing from the checkpoint", lines))
    if strict and unexpected:
        lines = [f"{name} {_extents(shapes[name])}{_nearest(name, shapes[name], left)}" for name in unexpected]
        parts.append(_section("unexpected in the checkpoint", lines))
    if wrong:
        lines = [f"{name}: the target has {_extents(expected[name])}, not {_extents(shapes[name])}" for name in wrong]
        parts.append(_section("of another shape", lines))
    if strict:
        parts.extend(_prefix_hint(missing, unexpected))
    return "\n".join(parts)


def _section(title, lines):
    shown = lines[:MOST_LISTED]
    rest = [f"... and {len(lines) - len(shown)} more"] if len(lines) > len(shown) else []
    return "\n  ".join([f"{title} ({len(lines)}):", *shown, *rest])


def _extents(shape):
    return str(list(shape))


def _nearest(name, shape, candidates):
    """The most similar name of the other side, of the same shape if there is one."""
    ending = name.rpartition(".")[2]
    alike = [other for other, of_shape in candidates.items() if tuple(of_shape) == tuple(shape)]
    pool = alike or [other for other in candidates if other.rpartition(".")[2] == ending]
    found = difflib.get_close_matches(name, pool[:MOST_COMPARED], n=1, cutoff=0.3 if alike else 0.6)
    return f"   nearest: {found[0]} {_extents(candidates[found[0]])}" if found else ""


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
