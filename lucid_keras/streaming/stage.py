"""What every stage is given and gives: the signal before any sample, and the stage that remembers nothing."""

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

    sees = "channels_last"  # the data format in which the layer sees its input

    def __init__(self, layer):
        self.layer = layer
        self.state_shapes = {}  # without the batch, by name

    def signal(self, *inputs):
        """The signal after the layer; of several inputs all must arrive together, and with a memory at once."""
        first = inputs[0]
        if len(set(inputs)) > 1:
            raise CannotStreamError(f"its inputs arrive out of step: {', '.join(map(str, inputs))}")
        if self.state_shapes and first.latency:
            raise CannotStreamError(
                f"it remembers, and hears {first.latency} samples that precede the signal: a transposed convolution "
                "before it has a latency; use padding=0 there and Cropping1D((0, kernel_size - stride)) after it"
            )
        factor = self.layer.size if isinstance(self.layer, keras.layers.UpSampling1D) else 1
        return dataclasses.replace(
            first, rate=first.rate * factor, latency=first.latency * factor, tail=first.tail * factor
        )

    def step(self, x, states, target):
        """What becomes of a chunk of one position at least, and the next states."""
        seen = tf.nest.map_structure(lambda one: laid_out(one, self.sees), x)
        return laid_out(self.layer(seen), self.sees), {}

    def flush(self, x, states, target):
        """The tail after the layer; `x` is the tail before it, None where that is empty."""
        return None if x is None else self.step(x, states, target)[0]


def laid_out(x, data_format):
    """`[batch, positions, channels]` in a data format, and back."""
    return tf.transpose(x, [0, 2, 1]) if data_format == "channels_first" else x


def cast(variable, dtype):
    """A layer's variable as a tensor of `dtype`; None where the layer has none."""
    return None if variable is None else tf.cast(tf.convert_to_tensor(variable), dtype)
