"""Borders that repeat a signal's first and last sample: what pads so, and what fills them in."""

import dataclasses

import tensorflow as tf

from lucid_keras.streaming.convolution import Sliding
from lucid_keras.streaming.stage import Stage
from lucid_keras.streaming.timing import last


class Edge(Stage):
    """A border before a signal, which later stages fill in, and its last sample repeated after it."""

    keeps_silence = True
    needs_silence = False

    def __init__(self, before, after, place):
        self._before, self._after, self._place, self.state_dtype = before, after, place, place.spec.dtype

    def signal(self, x):
        self._remembers = self._after > 0 and x.tail == 0
        self.state_shapes = {"last": (1, *self._place.sizes)} if self._remembers else {}
        latency, tail = x.latency - self._before, x.tail + self._after
        return dataclasses.replace(x, latency=latency, tail=tail, border=self._before)

    def step(self, x, states, moment):
        x = tf.cast(x, self.state_dtype)
        return x, {"last": last(x, 1, moment.target)} if self._remembers else {}

    def flush(self, x, states, moment):
        if not self._after:
            return x
        if x is None:
            return tf.repeat(states["last"], self._after, axis=1)
        x = tf.cast(x, self.state_dtype)
        return tf.concat([x, tf.repeat(last(x, 1, moment.target), self._after, axis=1)], axis=1)


class Filled(Sliding):
    """A signal as it is, later by its border, which is filled in: a window over one position."""

    fills_border = True

    def __init__(self, place):
        (self._channels,), self.state_dtype = place.sizes, place.spec.dtype
        self._extent = self._stride = 1

    def _padding(self, excess):
        return 0, 0

    def windows(self, x):
        return x
