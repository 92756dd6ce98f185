"""Causal attention over a window, with positions as rotations, in pieces for which every angle is a constant.

A score depends on how far a key is behind a query alone. So positions are counted from a piece's first query, and the
keys before it have negative ones: no angle grows with the length of the signal, and none loses precision.

Source: J. Su et al., "RoFormer: Enhanced transformer with rotary position embedding", arXiv:2104.09864, eq. 16 and 34.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from lucid_keras._lowering.edges import between_zeros, crop, extents, reshape

SHORTEST_PIECE = 64  # queries; those of shorter windows would be many small products


@dataclasses.dataclass(frozen=True)
class AttentionPlan:
    """What `attend` has to know beside its tensors."""

    heads: int
    key_heads: int
    window: int  # positions that a query sees, its own the last
    rotary_base: float | None  # None where positions do not count


def attend(plan, query, key, value, present, past, target):
    """For each query the values in its window, in the shares that their keys have in a softmax of their products.

    Args:
        plan: an `AttentionPlan`.
        query: `[N, L, heads*size]`.
        key, value: `[N, past + L, key_heads*size]`: `past` positions precede those of the queries.
        present: `[N, past + L, 1]`, 0 at positions that count as absent, else 1; None where none does.
        past: int, less than the window.
        target: what the graph is traced for.

    Returns:
        `[N, L, heads*size]`.
    """
    length = extents(query)[1]
    pieces, size = _cut(length, max(plan.window - 1, SHORTEST_PIECE))
    if isinstance(pieces, int) and pieces == 1:
        query, key, value = (tf.expand_dims(x, 1) for x in (query, key, value))
        present = None if present is None else tf.expand_dims(present, 1)
        return _joined(plan, _mixed(plan, query, key, value, present, past), 1)
    if present is None:
        present = tf.ones([1, past + length, 1], query.dtype)
    lacking = pieces * size - length
    query = _in_pieces(between_zeros(query, 0, lacking, 1, target), pieces, size)
    key, value, present = (
        _each_after_another(between_zeros(x, size - past, lacking, 1, target), pieces, size, target)
        for x in (key, value, present)
    )
    y = _joined(plan, _mixed(plan, query, key, value, present, size), pieces)
    return crop(y, 0, lacking, 1, target) if isinstance(lacking, int) else y[:, :length]


def _cut(length, least):
    """How many pieces, and the queries of each: `least` at least, and together hardly more than there are."""
    if not isinstance(length, int):
        return -(-tf.maximum(length, 1) // least), least
    pieces = max(length // least, 1)
    return pieces, -(-length // pieces)


def _in_pieces(x, pieces, size):
    """`[N, pieces*size, channels]` as `[N, pieces, size, channels]`."""
    return reshape(x, [extents(x)[0], pieces, size, x.shape[2]])


def _each_after_another(x, pieces, size, target):
    """`[N, size + pieces*size, channels]` as `[N, pieces, 2*size, channels]`: each piece after the one before it."""
    both = crop(x, 0, size, 1, target), crop(x, size, 0, 1, target)
    return tf.concat([_in_pieces(one, pieces, size) for one in both], axis=2)


def _by_head(x, heads, group=1):
    """`[N, pieces, rows, heads*group*size]` as `[N, heads*pieces, group*rows, size]`."""
    batch, pieces, rows, channels = extents(x)
    size = channels // (heads * group)
    apart = tf.transpose(reshape(x, [batch, pieces, rows, heads, group, size]), [0, 3, 1, 4, 2, 5])
    return reshape(apart, [batch, heads * pieces, group * rows, size])


def _joined(plan, mixed, pieces):
    """`[N, key_heads*pieces, group*rows, size]` as `[N, pieces*rows, heads*size]`."""
    batch, _, rows, size = extents(mixed)
    group = plan.heads // plan.key_heads
    apart = reshape(mixed, [batch, plan.key_heads, pieces, group, rows // group, size])
    return reshape(tf.transpose(apart, [0, 2, 4, 1, 3, 5]), [batch, pieces * (rows // group), plan.heads * size])


def _mixed(plan, query, key, value, present, past):
    """Attention within pieces `[N, pieces, rows, channels]`, whose queries follow `past` keys, for each head."""
    group, (rows, count) = plan.heads // plan.key_heads, (query.shape[2], key.shape[2])
    query, key, value = (
        _by_head(query, plan.key_heads, group),
        _by_head(key, plan.key_heads),
        _by_head(value, plan.key_heads),
    )
    asked, offered = np.tile(np.arange(rows), group), np.arange(count) - past
    query = _turned(query, asked, plan.rotary_base, query.shape[-1] ** -0.5)
    scores = tf.matmul(query, _turned(key, offered, plan.rotary_base), transpose_b=True)
    if present is not None:
        absent = tf.transpose((tf.cast(present, scores.dtype) - 1) * _far(scores.dtype), [0, 1, 3, 2])
        batch, pieces = extents(scores)[0], extents(absent)[1]
        by_piece = reshape(scores, [batch, plan.key_heads, pieces, group * rows, count]) + absent[:, tf.newaxis]
        scores = reshape(by_piece, [batch, plan.key_heads * pieces, group * rows, count])
    behind = np.subtract.outer(asked, offered)
    if np.any(outside := (behind < 0) | (behind >= plan.window)):
        scores += tf.constant(-_far(scores.dtype) * outside, scores.dtype)
    return tf.matmul(tf.nn.softmax(scores), value)


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
