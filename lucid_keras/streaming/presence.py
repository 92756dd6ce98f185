"""Which samples of a stream are the signal's, and which precede it, as long as a layer has to know.

For each rate at which that is asked a line of ones is kept, as long as the longest latency there, with zeros before the
stream: a latency later than the newest one lies what is asked. Lines move numbers alone, so that 8 bits hold them too.
"""

import tensorflow as tf

from lucid_keras._lowering.edges import crop, extents
from lucid_keras.streaming.timing import last


def lines(signals):
    """The longest latency at each rate of these signals, by the name of the state that holds the line."""
    longest: dict[str, int] = {}
    for signal in signals:
        if signal.begins > 0:
            longest[_name(signal)] = max(signal.begins, longest.get(_name(signal), 0))
    return longest


def _name(signal):
    rate = signal.rate
    return f"present_{rate.numerator}" + (f"_{rate.denominator}" if rate.denominator > 1 else "")


class Presence:
    """The lines of a stream and what a chunk, or the tail, adds to them."""

    def __init__(self, kept, target):
        self._kept, self._target = kept, target
        self._grown, self._asked = {}, {}

    def of(self, signal, count, reach=0):
        """`[batch, reach + count, 1]`: 1 at the samples of the chunk or tail that are the signal's, and 0 before it.

        The first `reach` are those before the chunk.
        """
        name, longest = _name(signal), self._kept[_name(signal)].shape[1]
        key = name, signal.begins, reach, count if isinstance(count, int) else None
        if key not in self._asked:
            before = longest - signal.begins - reach
            self._asked[key] = crop(self._line(name, count), before, signal.begins, 1, self._target)
        return self._asked[key]

    def after(self):
        """The lines after the chunk; those that nobody asked for are as they were."""
        grown = {name: line for (name, _), line in self._grown.items()}
        return {name: last(grown[name], kept.shape[1], self._target) if name in grown else kept
                for name, kept in self._kept.items()}  # fmt: skip

    def _line(self, name, count):
        key = name, count if isinstance(count, int) else None
        if key not in self._grown:
            kept = self._kept[name]
            ones = tf.ones([extents(kept)[0], count, 1], kept.dtype)
            self._grown[key] = tf.concat([kept, ones], axis=1)
        return self._grown[key]


def silenced(x, present, target):
    """A chunk with zeros for what precedes the signal: `[batch, positions]` or `[batch, positions, ...]`.

    In LiteRT a product, which XNNPACK takes where a choice would leave it.
    """
    if x.shape.rank != 3:
        present = tf.reshape(present, [*extents(present)[:2], *[1] * (x.shape.rank - 2)])
    if target.name == "litert":
        return x * tf.cast(present, x.dtype)
    return tf.where(present > 0, x, tf.zeros([], x.dtype))
