"""What a layer is in a stream: the signals that come and go there, and the stage that computes it chunk by chunk."""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import tensorflow as tf

from lucid_keras._lowering.edges import extents
from lucid_keras._lowering.target import Target
from lucid_keras.ops import DataFormat


@dataclasses.dataclass(frozen=True)
class Signal:
    """A stream at one place in a decoder, as it is known before any sample.

    After `n` positions of the decoder's input `n * rate` samples have come through. The first `latency` of them
    precede the signal; the end releases `tail` more. So the signal has `n * rate + tail - latency` samples.

    A negative latency is a lead: so many zeros, which padding put before the signal, precede its first sample.
    """

    rate: Fraction = Fraction(1)
    latency: int = 0
    tail: int = 0
    data_format: DataFormat = "channels_last"  # as the decoder has it; stages see [batch, positions, channels]
    border: int = 0  # so many samples at its beginning repeat the one after them, and come as anything

    @property
    def begins(self) -> int:
        """The samples that come before its first one that is not border."""
        return self.latency + self.border

    def delayed(self, samples: int) -> "Signal":
        """The signal so many samples later."""
        return dataclasses.replace(self, latency=self.latency + samples, tail=self.tail + samples)

    def resampled(self, factor: Fraction | int, latency: int, tail: int) -> "Signal":
        """The signal at `factor` times the rate."""
        return dataclasses.replace(self, rate=self.rate * factor, latency=latency, tail=tail, border=0)


@dataclasses.dataclass(frozen=True)
class Moment:
    """What a stage may ask of a chunk beside its samples."""

    target: Target  # what the graph is traced for
    batch: Any = 1  # streams that advance together, a number or a scalar tensor
    present: tf.Tensor | None = None  # `[batch, reach + positions, 1]`: 0 before the signal, else 1; None if all is

    def there(self, x: tf.Tensor) -> tf.Tensor:
        """`[batch, positions, 1]` for a chunk: 1 for each position of the signal, 0 for what precedes it."""
        if self.present is None:
            return tf.ones([*extents(x)[:2], 1], x.dtype)
        return tf.cast(self.present, x.dtype)


class CannotStreamError(Exception):
    """Why a layer cannot stream; `StreamingModel` adds its name."""


class Stage:
    """A layer in a stream: derive from it, and return one from your layer's method `streaming_stage`.

    After each chunk of `n` positions it has given `n` times the factor of its rate samples, always; of the stream's
    samples the first `latency` of what `signal` returns precede its output, and `flush` gives the last `tail`.

    Attributes:
        state_shapes: dict of the shape, without the batch, of each tensor that it keeps between chunks; zeros before
            the first. Default none. Known once `signal` was asked.
        state_dtype: str, of these. Default "float32".
        needs_silence: bool, whether what precedes the signal must come in as zeros. Default True. What layers before
            this one made of it would be heard otherwise.
        needs_presence: bool, whether it has to be told which samples precede the signal. Default False.
        reach: int, how many samples before a chunk it has to be told that of too. Default 0.
        keeps_silence: bool, whether zeros become zeros, so that where they come in they also go out. Default False.
        takes_lead: bool, whether zeros that padding put before the signal may be left to it: it takes its states,
            which are zeros, for them. Default False.
        fills_border: bool, whether it fills in a signal's border itself. Default False.

    Example, the sum of an input and the one before it:

    >>> import keras, numpy as np, tensorflow as tf
    >>> class Pairs(Stage):
    ...     state_shapes = {"past": (1, 2)}
    ...     def step(self, x, states, moment):
    ...         heard = tf.concat([states["past"], x], axis=1)
    ...         return heard[:, 1:] + heard[:, :-1], {"past": heard[:, -1:]}
    >>> class PairSums(keras.layers.Layer):
    ...     def call(self, x):
    ...         return x + tf.pad(x, [[0, 0], [1, 0], [0, 0]])[:, :-1]
    ...     def streaming_stage(self):
    ...         return Pairs()
    >>> from lucid_keras import StreamingModel
    >>> streaming = StreamingModel(keras.Sequential([keras.Input((None, 2)), PairSums()]))
    >>> x = np.arange(6.0).reshape(1, 3, 2)
    >>> live = np.concatenate(list(streaming.stream(np.split(x, 3, axis=1))), axis=1)
    >>> bool(np.array_equal(live, streaming.whole(x)))
    True

    Source: A. Oppenheim and R. Schafer, "Discrete-Time Signal Processing", section 6.3, for states as delays.
    """

    state_shapes: Mapping[str, tuple[int, ...]] = MappingProxyType({})
    state_dtype: str = "float32"
    needs_silence: bool = True
    needs_presence: bool = False
    reach: int = 0
    keeps_silence: bool = False
    takes_lead: bool = False
    fills_border: bool = False

    def signal(self, *inputs: Signal) -> Signal:
        """The signal that it gives; its inputs arrive together. Raises `CannotStreamError`."""
        return inputs[0]

    def step(self, x: Any, states: dict[str, tf.Tensor], moment: Moment) -> tuple[Any, dict[str, tf.Tensor]]:
        """What becomes of a chunk of one position at least, and the next states.

        Args:
            x: `[batch, positions, channels]`, or a list of such where there are several inputs.
            states: `[batch, *shape]` each, by name.
            moment: what else is known.

        Returns:
            `positions * factor` samples, always, where `signal` says by which factor the rate grows; and the states.

        Raises:
            NotImplementedError: a stage without a step of its own.
        """
        raise NotImplementedError

    def flush(self, x: Any, states: dict[str, tf.Tensor], moment: Moment) -> Any:
        """The `tail` samples that the end releases, None where there are none; `x` is the tail before it, or None."""
        return None if x is None else self.step(x, states, moment)[0]


def fewest_positions(signals: Iterable[Signal]) -> int:
    """The least number of positions, 1 at least, of which each of these signals has a sample."""
    return max(1, *(math.ceil((1 + one.latency - one.tail) / one.rate) for one in signals))


def laid_out(x, data_format):
    """`[batch, positions, channels]` in a data format, and back."""
    return tf.transpose(x, [0, 2, 1]) if data_format == "channels_first" and x.shape.rank == 3 else x


def cast(variable, dtype):
    """A layer's variable as a tensor of `dtype`; None where the layer has none."""
    return None if variable is None else tf.cast(tf.convert_to_tensor(variable), dtype)


def length_of(x):
    """The positions of a chunk: a number where it is known, else a scalar tensor."""
    return tf.shape(x)[1] if x.shape[1] is None else x.shape[1]


def time_axis(whole, data_format):
    """The axis of the positions of a whole signal."""
    return 2 if data_format == "channels_first" and len(whole.shape) == 3 else 1


def sized(whole, data_format, positions):
    """The shape of so many positions of a whole signal, without the batch."""
    sizes = list(whole.shape)
    sizes[time_axis(whole, data_format)] = positions
    return sizes[1:]
