"""What is known of a stream at one place in a decoder before any sample, and the stage that remembers nothing."""

import dataclasses

import keras
import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Signal:
    """What is known of a stream at one place in a decoder, before any sample."""

    rate: int = 1  # samples for each input position of the decoder
    latency: int = 0  # samples at the stream's beginning that precede the output
    tail: int = 0  # samples that the end of the stream releases here
    data_format: str = "channels_last"  # as the decoder has it; stages see [batch, positions, channels] everywhere


class CannotStreamError(Exception):
    """Why a layer cannot stream; `StreamingModel` adds its name."""


class Pointwise:
    """A layer that sees one position at a time: no state; its tail is its output of the tail."""

    turned = False  # whether the layer works along channels that lie first, and is to see [batch, channels, positions]

    def __init__(self, layer):
        self.layer = layer
        self.state_shapes = {}  # without the batch, by name

    def signal(self, *inputs):
        """The signal after the layer; of several inputs all must arrive together."""
        if len(set(inputs)) > 1:
            raise CannotStreamError(f"its inputs arrive out of step: {', '.join(map(str, inputs))}")
        factor = self.layer.size if isinstance(self.layer, keras.layers.UpSampling1D) else 1
        first = inputs[0]
        return dataclasses.replace(
            first, rate=first.rate * factor, latency=first.latency * factor, tail=first.tail * factor
        )

    def step(self, x, states, target):
        if not self.turned:
            return self.layer(x), {}
        return turn(self.layer([turn(one) for one in x] if isinstance(x, list) else turn(x))), {}

    def flush(self, x, states, target):
        """The tail after the layer; `x` is the tail before it, None where that is empty."""
        return None if x is None else self.step(x, states, target)[0]


def turn(x):
    """`[batch, positions, channels]` to `[batch, channels, positions]`, and back."""
    return tf.transpose(x, [0, 2, 1])


def check_on_time(x):
    """Raise where a layer with a memory would hear what precedes the signal."""
    if x.latency:
        raise CannotStreamError(
            f"it remembers, and hears {x.latency} samples that precede the signal: a transposed convolution before it "
            "has a latency; use padding=0 there and Cropping1D((0, kernel_size - stride)) after it"
        )
