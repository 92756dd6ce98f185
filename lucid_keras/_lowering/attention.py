"""Causal attention over a window, with positions as rotations, in pieces for which every angle is a constant.

A score depends on how far a key is behind a query alone. So positions are counted from a piece's first query, and the
keys before it have negative ones: no angle grows with the length of the signal, and none loses precision.

Source: J. Su et al., "RoFormer: Enhanced transformer with rotary position embedding", arXiv:2104.09864, eq. 16 and 34.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from lucid_keras._lowering.edges import crop, extents, reshape

SHORTEST_PIECE = 64  # queries; those of shorter windows would be many small products


@dataclasses.dataclass(frozen=True)
class AttentionPlan:
    """What `attend` has to know beside its tensors."""

    heads: int
    key_heads: int
    window: int  # positions that a query sees, its own the last
    rotary_base: float | None  # None where positions do not count


def by_head(x, heads):
    """`[N, L, heads*size]` as `[N, heads, L, size]`."""
    batch, length, channels = extents(x)
    return tf.transpose(reshape(x, [batch, length, heads, channels // heads]), [0, 2, 1, 3])


def attend(plan, query, keys, values, present, past, target):
    """For each query the values in its window, in the shares that their keys have in a softmax of their products.

    Args:
        plan: an `AttentionPlan`.
        query: `[N, L, heads*size]`.
        keys, values: `[N, key_heads, past + L, size]`: `past` positions precede those of the queries.
        present: `[N, past + L, 1]`, 0 at positions that count as absent, else 1; None where none does.
        past: int, less than the window.
        target: what the graph is traced for.

    Returns:
        `[N, L, heads*size]`.
    """
    length = extents(query)[1]
    pieces, size = _cut(length, max(plan.window - 1, SHORTEST_PIECE))
    if isinstance(pieces, int) and pieces == 1:
        hidden = None if present is None else _hidden(present[:, tf.newaxis], query.dtype)
        return _joined(plan, _mixed(plan, _queries(plan, query, 1, size), keys, values, past, hidden), 1)
    if present is None:
        present = tf.ones([1, past + length, 1], query.dtype)
    ends = size - past, pieces * size - length
    keys, values, present = (
        _after_another(x, pieces, size, ends, target) for x in (keys, values, present[:, tf.newaxis])
    )
    query = reshape(tf.pad(query, [[0, 0], [0, ends[1]], [0, 0]]), [extents(query)[0], pieces * size, query.shape[2]])
    mixed = _mixed(plan, _queries(plan, query, pieces, size), keys, values, size, _hidden(present, query.dtype))
    return _joined(plan, mixed, pieces)[:, :length]


def _cut(length, least):
    """How many pieces, and the queries of each: `least` at least, and together hardly more than there are."""
    if not isinstance(length, int):
        return -(-tf.maximum(length, 1) // least), least
    pieces = max(length // least, 1)
    return pieces, -(-length // pieces)


def _after_another(x, pieces, size, ends, target):
    """`[N, heads, past + L, ...]` as `[N, heads*pieces, 2*size, ...]`: each piece with the one before it."""
    batch, heads, _, channels = extents(x)
    padded = reshape(tf.pad(x, [[0, 0], [0, 0], ends, [0, 0]]), [batch, heads, (pieces + 1) * size, channels])
    both = crop(padded, 0, size, 2, target), crop(padded, size, 0, 2, target)
    return tf.concat([reshape(one, [batch, heads * pieces, size, channels]) for one in both], axis=2)


def _queries(plan, query, pieces, size):
    """`[N, key_heads*pieces, group*size, size of a head]`: side by side the queries of all heads that share a key's."""
    batch, channels = extents(query)[0], query.shape[2] // plan.heads
    group = plan.heads // plan.key_heads
    apart = reshape(query, [batch, pieces, size, plan.key_heads, group, channels])
    return reshape(
        tf.transpose(apart, [0, 3, 1, 4, 2, 5]), [batch, plan.key_heads * pieces, group * size, channels]
    )


def _joined(plan, mixed, pieces):
    """The way back."""
    batch, _, rows, channels = extents(mixed)
    group = plan.heads // plan.key_heads
    apart = reshape(mixed, [batch, plan.key_heads, pieces, group, rows // group, channels])
    return reshape(
        tf.transpose(apart, [0, 2, 4, 1, 3, 5]), [batch, pieces * (rows // group), plan.heads * channels]
    )


def _mixed(plan, query, keys, values, past, hidden):
    """Attention within pieces `[N, heads*pieces, ...]`, whose queries follow `past` keys.

    `hidden` is what is added to the scores, `[N, pieces, 1, keys]`, None for nothing.
    """
    (rows, channels), count = query.shape[2:], keys.shape[2]
    group = plan.heads // plan.key_heads
    asked, offered = np.arange(rows) % (rows // group), np.arange(count) - past
    query = _turned(query, asked, plan.rotary_base, channels**-0.5)
    scores = tf.matmul(query, _turned(keys, offered, plan.rotary_base), transpose_b=True)
    if hidden is not None:
        batch, pieces = extents(scores)[0], extents(hidden)[1]
        by_piece = reshape(scores, [batch, plan.key_heads, pieces, rows, count]) + hidden[:, tf.newaxis]
        scores = reshape(by_piece, [batch, plan.key_heads * pieces, rows, count])
    behind = np.subtract.outer(asked, offered)
    if np.any(outside := (behind < 0) | (behind >= plan.window)):
        scores += tf.constant(-_far(scores.dtype) * outside, scores.dtype)
    return tf.matmul(tf.nn.softmax(scores), values)


def _hidden(present, dtype):
    """`[N, pieces, 1, keys]` of `[N, pieces, keys, 1]`: far below any score for what is absent, 0 for the rest."""
    return tf.transpose((tf.cast(present, dtype) - 1) * _far(dtype), [0, 1, 3, 2])


def _far(dtype):
    """What leaves a score no share; twice as much can be held too."""
    return 1e4 if dtype == tf.float16 else 1e9


def _turned(x, positions, base, scale=1.0):
    """`[..., positions, size]` times `scale`, turned: the channels `i` and `i + size/2` are a plane."""
    if base is None or not np.any(positions):
        return x if scale == 1 else x * scale
    half = x.shape[-1] // 2
    angles = np.outer(positions, np.tile(base ** (-np.arange(half) / half), 2))
    sines = np.sin(angles) * np.repeat([-1, 1], half)
    first, second = tf.split(x, 2, axis=-1)
    swapped = tf.concat([second, first], axis=-1)
    return x * tf.constant(scale * np.cos(angles), x.dtype) + swapped * tf.constant(scale * sines, x.dtype)
