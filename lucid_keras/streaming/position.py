"""How far a stream has come, as long as layers have to tell the signal from what precedes it.

Its state is the positions that have come in, until the last latency is over. All numbers are whole ones in float32,
which XNNPACK takes where integers and booleans would leave it.
"""

import math

import tensorflow as tf

from lucid_keras._lowering.edges import extents

NAME = "position"
LARGEST = 2**24  # the whole numbers that float32 holds


def horizon(signals, granularity):
    """The positions, a multiple of `granularity`, after which none of these signals has a latency left."""
    positions = max((math.ceil(one.latency / one.rate) for one in signals), default=0)
    positions = -(-positions // granularity) * granularity
    largest = max((one.rate.denominator * one.latency + one.rate.numerator * positions for one in signals), default=0)
    if largest > LARGEST:
        raise ValueError(
            f"A stream's samples are counted in float32 until its latency is over, up to {LARGEST}. "
            f"Received: layers that look {largest} samples ahead"
        )
    return positions


class Clock:
    """The position of each stream of a batch at the beginning of a chunk, `[batch, 1]`."""

    def __init__(self, position):
        self._position = position
        self._present = {}

    def present(self, signal, count):
        """`[batch, count, 1]`, 0 before a signal with a latency and else 1, at the samples of a chunk or of a tail.

        With `rate = p/q`, sample `j` of the chunk is that of the signal at `position * p/q + j - latency`.
        """
        key = signal.rate, signal.latency, count if isinstance(count, int) else None
        if key not in self._present:
            p, q = signal.rate.numerator, signal.rate.denominator
            ahead = tf.reshape(tf.cast(q * (tf.range(count) - signal.latency) + 1, tf.float32), [1, -1, 1])
            since = tf.reshape(self._position * float(p), [-1, 1, 1]) + ahead
            self._present[key] = tf.minimum(tf.maximum(since, 0.0), 1.0)
        return self._present[key]

    def after(self, positions, horizon):
        """The state after a chunk of so many positions."""
        return tf.minimum(self._position + tf.cast(positions, tf.float32), float(horizon))


def silenced(x, present, target):
    """A chunk with zeros for what precedes the signal: `[batch, positions]` or `[batch, positions, ...]`.

    In LiteRT a product, which XNNPACK takes where a choice would leave it.
    """
    present = tf.reshape(present, [*extents(present)[:2], *[1] * (x.shape.rank - 2)])
    if target.name == "litert":
        return x * tf.cast(present, x.dtype)
    return tf.where(present > 0, x, tf.zeros([], x.dtype))
