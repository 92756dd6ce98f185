"""Layers and Keras operations that see one position at a time: no state, whatever they compute."""

import dataclasses
import functools
import itertools
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lucid_keras.layers.sums import plain_sum
from lucid_keras.streaming.stage import Signal, Stage, laid_out

# What is tried: so many streams and positions, cut there into pieces, and what these numbers are drawn with.
STREAMS, POSITIONS, CUTS, SEED = 2, 7, (3, 4), 0


@dataclasses.dataclass(eq=False)
class Place:
    """A tensor of a decoder: what is known of it, and how it comes in a stream."""

    spec: keras.KerasTensor
    signal: Signal | None  # None where it is the same throughout
    path: str = ""  # of what gives it
    silent: bool = False  # whether what precedes the signal comes as zeros
    masked: bool = False  # whether that has to be made so
    source: Any = None  # the graph's node that gives it
    past: int = 0  # how many samples before a chunk come with it

    @property
    def sizes(self):
        """Its shape without the batch and the positions."""
        first = self.signal is not None and self.signal.data_format == "channels_first" and len(self.spec.shape) == 3
        return tuple(self.spec.shape[1:2] if first else self.spec.shape[2:])


class Call:
    """An operation with all that it is called with, places of the decoder among it."""

    def __init__(self, operation, args, kwargs):
        self.operation, self.args, self.kwargs = operation, args, kwargs
        self._flat = keras.tree.flatten((args, kwargs))
        self._at = [index for index, one in enumerate(self._flat) if isinstance(one, Place)]
        self.places = [self._flat[index] for index in self._at]

    def __call__(self, *tensors):
        """What it gives for these in the places' stead."""
        flat = list(self._flat)
        for index, tensor in zip(self._at, tensors, strict=True):
            flat[index] = tensor
        args, kwargs = keras.tree.pack_sequence_as((self.args, self.kwargs), flat)
        return (plain_sum(self.operation) or self.operation)(*args, **kwargs)

    @property
    def alone(self):
        """Whether it is called with its inputs alone, one or a list."""
        others = any(value is not None for key, value in self.kwargs.items() if key != "training")
        return len(self.args) == 1 and not others and len(self.places) == len(keras.tree.flatten(self.args))


class Pointwise(Stage):
    """A layer or an operation that sees one position at a time: its tail is its output of the tail.

    `sees` is the data format in which it sees its inputs; the others are channels last.
    """

    needs_silence = False

    def __init__(self, call, sees="channels_last", factor=1):
        self._call, self._sees, self._factor = call, sees, factor

    @property
    def operation(self):
        """The layer or operation that it is."""
        return self._call.operation

    @functools.cached_property
    def keeps_silence(self):
        """Tried where somebody asks: in a decoder without a latency nobody does."""
        return not getattr(self.operation, "weights", None) and _keeps_silence(self._call)

    def signal(self, *inputs):
        first, factor = inputs[0], self._factor
        return first.resampled(factor, first.latency * factor, first.tail * factor)

    def step(self, x, states, moment):
        inputs = x if isinstance(x, list) else [x]
        streams = [place.signal is not None for place in self._call.places]
        seen = [laid_out(one, self._sees) if stream else one for one, stream in zip(inputs, streams, strict=True)]
        return keras.tree.map_structure(lambda y: laid_out(y, self._sees), self._call(*seen)), {}


def sees_one_position(call, data_format):
    """Whether an operation gives a short signal's pieces what it gives the whole; None where that cannot be tried."""
    try:
        with tf.init_scope():
            return all(_in_pieces(call, data_format, draw) for draw in (_normal, _positive))
    except Exception:
        return None


def sees_one_number(call):
    """Whether it makes no difference to an operation which way its inputs lie."""
    try:
        with tf.init_scope():
            inputs = _drawn(call, "channels_last", _normal)
            turned = [laid_out(one, "channels_first") for one in inputs]
            pairs = zip(_leaves(call(*turned)), _leaves(call(*inputs)), strict=True)
            return all(_alike(one, laid_out(other, "channels_first")) for one, other in pairs)
    except Exception:
        return False


def _keeps_silence(call):
    """Whether zeros become zeros."""
    try:
        with tf.init_scope():
            return all(not np.any(one) for one in _leaves(call(*_drawn(call, "channels_last", _zeros))))
    except Exception:
        return False


def _in_pieces(call, data_format, draw):
    inputs = _drawn(call, data_format, draw)
    streams = [place.signal is not None for place in call.places]
    bounds = [0, *CUTS, POSITIONS]
    pieces = []
    for start, stop in itertools.pairwise(bounds):
        cut = [_between(one, start, stop, data_format) if stream else one
               for one, stream in zip(inputs, streams, strict=True)]  # fmt: skip
        pieces.append(_leaves(call(*cut)))
    lengths = np.diff(bounds)
    for whole, *parts in zip(_leaves(call(*inputs)), *pieces, strict=True):
        axis = _axis(whole, data_format)
        if [part.shape[axis] for part in parts] != [*lengths]:
            return False
        if not _alike(whole, tf.concat(parts, axis)):
            return False
    return True


def _drawn(call, data_format, draw):
    """A short signal for each place that a call is made at, and what stays the same, which is never silent."""
    rng, drawn = np.random.default_rng(SEED), []
    for place in call.places:
        shape, chosen = [STREAMS, *place.spec.shape[1:]], draw if place.signal is not None else _normal
        if place.signal is not None:
            shape[_axis(place.spec, data_format)] = POSITIONS
        numbers = chosen(rng, shape) if tf.as_dtype(place.spec.dtype).is_floating else rng.integers(0, 2, shape)
        drawn.append(tf.cast(numbers * (chosen is not _zeros), place.spec.dtype))
    return drawn


def _normal(rng, shape):
    return rng.standard_normal(shape)


def _positive(rng, shape):
    return rng.uniform(0.5, 1.5, shape)


def _zeros(rng, shape):
    return np.zeros(shape)


def _axis(x, data_format):
    """The axis of the positions."""
    return 2 if data_format == "channels_first" and len(x.shape) > 2 else 1


def _between(x, start, stop, data_format):
    return x[:, :, start:stop] if _axis(x, data_format) == 2 else x[:, start:stop]


def _leaves(outputs):
    return [tf.convert_to_tensor(one) for one in keras.tree.flatten(outputs)]


def _alike(one, other):
    if one.shape != other.shape:
        return False
    one, other = (np.asarray(tf.cast(x, "float64" if x.dtype == tf.float64 else "float32")) for x in (one, other))
    return np.allclose(one, other, rtol=1e-3, atol=1e-4, equal_nan=True)
