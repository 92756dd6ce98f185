"""Stages that move a signal in time: delays, zeros before and after it, and what is cut from its ends."""

import dataclasses

import tensorflow as tf

from lucid_keras._lowering.edges import crop, with_zeros
from lucid_keras.streaming.stage import Stage, length_of


class Line(Stage):
    """A chunk, and before it so many samples that came before; zeros come first."""

    needs_silence = False
    keeps_silence = True
    _kind = "kept"

    def __init__(self, samples, place):
        self._samples, self.state_dtype = samples, place.spec.dtype
        self.state_shapes = {self._kind: (samples, *place.sizes)} if samples else {}

    def step(self, x, states, moment):
        if not self._samples:
            return x, {}
        heard = tf.concat([states[self._kind], x], axis=1)
        return heard, {self._kind: last(heard, self._samples, moment.target)}

    def flush(self, x, states, moment):
        if not self._samples:
            return x
        return states[self._kind] if x is None else tf.concat([states[self._kind], x], axis=1)


class Delay(Line):
    """So many samples later."""

    _kind = "delay"

    def signal(self, x):
        return x.delayed(self._samples)

    def step(self, x, states, moment):
        heard, kept = super().step(x, states, moment)
        return crop(heard, 0, self._samples, 1, moment.target), kept


class Padding(Stage):
    """Zeros before and after a signal: those before it are what precedes it, or its latency grows less."""

    keeps_silence = True

    def __init__(self, before, after, place):
        self._before, self._after, self._place = before, after, place
        self.needs_silence = before > 0

    def signal(self, x):
        return dataclasses.replace(x, latency=x.latency - self._before, tail=x.tail + self._after)

    def step(self, x, states, moment):
        return x, {}

    def flush(self, x, states, moment):
        if not self._after:
            return x
        if x is None:
            return tf.zeros([moment.batch, self._after, *self._place.sizes], self._place.spec.dtype)
        return with_zeros(x, self._after, 1)


class Cropping(Delay):
    """Without a signal's first samples, which then precede it, and its last ones: held back until the end is known."""

    keeps_silence = False

    def __init__(self, before, after, place):
        super().__init__(0, place)
        self._before, self._after, self._place = before, after, place

    def signal(self, x):
        super().__init__(max(self._after - x.tail, 0), self._place)
        x = x.delayed(self._samples)
        self._tail = x.tail - self._after
        return dataclasses.replace(x, latency=x.latency + self._before, tail=self._tail)

    def flush(self, x, states, moment):
        tail = super().flush(x, states, moment)
        if not self._tail:
            return None
        return crop(tail, 0, self._after, 1, moment.target)


class Turn(Stage):
    """From one data format to the other, which stages do not see."""

    needs_silence = False
    keeps_silence = True

    def signal(self, x):
        other = "channels_first" if x.data_format == "channels_last" else "channels_last"
        return dataclasses.replace(x, data_format=other)

    def step(self, x, states, moment):
        return x, {}


def last(x, count, target):
    """The last `count` positions of a chunk and what was kept before it."""
    length = length_of(x)
    return x[:, length - count :] if x.shape[1] is None else crop(x, length - count, 0, 1, target)
