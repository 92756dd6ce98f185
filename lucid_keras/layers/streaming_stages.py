"""What each kind of layer remembers between chunks, and the layers that cannot stream, with the reason why."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from lucid_keras._lowering.edges import crop
from lucid_keras._lowering.target import current_target
from lucid_keras.layers.conv_transpose1d import ConvTranspose1d
from lucid_keras.layers.streaming import StreamingConvTranspose1d

# The longest chunk whose recurrence is written out position by position, by target: LiteRT delegates no loop.
UNROLLED = {"tensorflow": 16, "xla": 16, "saved_model": 16, "litert": 128}

# Layers that see one position at a time whatever their arguments.
POINTWISE = (
    keras.layers.InputLayer,
    keras.layers.Identity,
    keras.layers.Dense,
    keras.layers.Embedding,
    keras.layers.Activation,
    keras.layers.ReLU,
    keras.layers.LeakyReLU,
    keras.layers.ELU,
    keras.layers.Dropout,
    keras.layers.SpatialDropout1D,
    keras.layers.GaussianNoise,
    keras.layers.GaussianDropout,
    keras.layers.Rescaling,
    keras.layers.UpSampling1D,
    keras.layers.Add,
    keras.layers.Subtract,
    keras.layers.Multiply,
    keras.layers.Average,
    keras.layers.Maximum,
    keras.layers.Minimum,
)

# Layers that see one position at a time if they work along the channels.
ALONG_CHANNELS = (
    keras.layers.LayerNormalization,
    keras.layers.BatchNormalization,
    keras.layers.RMSNormalization,
    keras.layers.Softmax,
    keras.layers.Concatenate,
)


@dataclasses.dataclass(frozen=True)
class Signal:
    """What is known of a stream at one place in a decoder, before any sample."""

    rate: int = 1  # samples for each input position of the decoder
    latency: int = 0  # samples at the stream's beginning that precede the output
    tail: int = 0  # samples that the end of the stream releases here


class CannotStreamError(Exception):
    """Why a layer cannot stream; `StreamingModel` adds its name."""


class Pointwise:
    """A layer that sees one position at a time: no state; its tail is its output of the tail."""

    def __init__(self, layer):
        self.layer = layer
        self.state_shapes = {}  # without the batch, by name

    def signal(self, *inputs):
        """The signal after the layer; of several inputs all must arrive together."""
        if len(set(inputs)) > 1:
            raise CannotStreamError(f"its inputs arrive out of step: {', '.join(map(str, inputs))}")
        factor = self.layer.size if isinstance(self.layer, keras.layers.UpSampling1D) else 1
        first = inputs[0]
        return Signal(first.rate * factor, first.latency * factor, first.tail * factor)

    def step(self, x, states):
        return self.layer(x), {}

    def flush(self, x, states):
        """The tail after the layer; `x` is the tail before it, None where that is empty."""
        return None if x is None else self.step(x, states)[0]


class Transposed(Pointwise):
    """`ConvTranspose1d`: the overlap of what its taps have written ahead."""

    def __init__(self, layer):
        if layer.data_format != "channels_last":
            raise CannotStreamError('its data_format must be "channels_last", the layout of the other layers')
        super().__init__(StreamingConvTranspose1d(layer, name=layer.name))
        self.state_shapes = {"overlap": (self.layer.state_length, layer.out_channels)}

    def signal(self, x):
        _on_time(x)
        plan = self.layer.plan
        stride = plan.geometry.stride
        return Signal(x.rate * stride, plan.latency, x.tail * stride + plan.flush_length)

    def step(self, x, states):
        y, overlap = self.layer(x, states["overlap"])
        return y, {"overlap": overlap}

    def flush(self, x, states):
        given = []
        if x is not None:
            y, states = self.step(x, states)
            given.append(y)
        if self.layer.flush_length:
            given.append(self.layer.release(states["overlap"]))
        if not given:
            return None
        return given[0] if len(given) == 1 else tf.concat(given, axis=1)


class CausalConvolution(Pointwise):
    """`Conv1D` with `padding="causal"`: the inputs that its taps still reach back to."""

    def __init__(self, layer):
        super().__init__(layer)
        if layer.strides != (1,):
            raise CannotStreamError(f"its strides must be 1, not {layer.strides[0]}")
        if layer.data_format != "channels_last":
            raise CannotStreamError('its data_format must be "channels_last"')
        self.history = (layer.kernel_size[0] - 1) * layer.dilation_rate[0]
        if self.history and layer.padding != "causal":
            raise CannotStreamError(f'padding="{layer.padding}" looks ahead; use padding="causal"')
        self.state_shapes = {"history": (self.history, layer.input_spec.axes[-1])} if self.history else {}

    def signal(self, x):
        if self.history:
            _on_time(x)
        return x

    def step(self, x, states):
        if x.shape[1] == 0:
            return tf.zeros([tf.shape(x)[0], 0, self.layer.filters], x.dtype), states
        if not self.history:
            return self.layer(x), states
        layer = self.layer
        heard = tf.concat([states["history"], x], axis=1)
        y = keras.ops.conv(
            heard,
            tf.cast(tf.convert_to_tensor(layer.kernel), x.dtype),
            padding="valid",
            dilation_rate=layer.dilation_rate,
        )
        if layer.bias is not None:
            y += tf.cast(tf.convert_to_tensor(layer.bias), x.dtype)
        history = crop(heard, x.shape[1], 0, axis=1) if x.shape[1] is not None else heard[:, tf.shape(x)[1] :]
        return layer.activation(y), {"history": history}


class Recurrence(Pointwise):
    """`LSTM` and `GRU`: their cell's states.

    A short chunk is written out position by position, of operations that LiteRT delegates; the product with the input
    is one matrix product for the whole chunk.
    """

    def __init__(self, layer):
        super().__init__(layer)
        for flag, value, reason in (
            ("return_sequences", True, "a stream has no last position"),
            ("return_state", False, "the state is the stream's"),
            ("go_backwards", False, "it would begin at the end"),
            ("stateful", False, "the state is the stream's"),
        ):
            if getattr(layer, flag) != value:
                raise CannotStreamError(f"{flag} must be {value}: {reason}")
        is_lstm = isinstance(layer, keras.layers.LSTM)
        self.advance = _lstm if is_lstm else _gru
        self.state_shapes = dict.fromkeys(["hidden", "cell"] if is_lstm else ["hidden"], (layer.units,))
        self.loop = keras.layers.RNN(layer.cell, return_sequences=True, return_state=True, name=f"{layer.name}_loop")

    def signal(self, x):
        _on_time(x)
        return x

    def step(self, x, states):
        chunk, units = x.shape[1], self.layer.units
        if chunk == 0:
            return tf.zeros([tf.shape(x)[0], 0, units], x.dtype), states
        values = [states[name] for name in self.state_shapes]
        if chunk is None or chunk > UNROLLED[current_target()]:
            y, *values = self.loop(x, initial_state=values)
            return y, dict(zip(self.state_shapes, values, strict=True))
        weights = [tf.cast(tf.convert_to_tensor(weight), x.dtype) for weight in self.layer.cell.weights]
        driven = tf.matmul(tf.reshape(x, [-1, x.shape[2]]), weights[0])
        driven = tf.reshape(driven, [-1, chunk, driven.shape[1]])
        outputs = []
        for position in range(chunk):
            here = tf.reshape(crop(driven, position, chunk - 1 - position, axis=1), [-1, driven.shape[2]])
            values = self.advance(self.layer, here, values, *weights[1:])
            outputs.append(tf.reshape(values[0], [-1, 1, units]))
        while len(outputs) > 1:  # by fours, which LiteRT delegates
            outputs = [tf.concat(outputs[first : first + 4], axis=1) for first in range(0, len(outputs), 4)]
        return outputs[0], dict(zip(self.state_shapes, values, strict=True))


def _lstm(layer, driven, states, recurrent, bias=None):
    """One position of an LSTM, its input product given. (Hochreiter and Schmidhuber, 1997, with forget gates.)"""
    hidden, cell = states
    gates = driven + tf.matmul(hidden, recurrent)
    if bias is not None:
        gates += bias
    write, keep, candidate, read = tf.split(gates, 4, axis=1)
    gate, squash = layer.recurrent_activation, layer.activation
    cell = gate(keep) * cell + gate(write) * squash(candidate)
    return [gate(read) * squash(cell), cell]


def _gru(layer, driven, states, recurrent, bias=None):
    """One position of a GRU, its input product given. (Cho et al., arXiv:1406.1078; reset_after as in cuDNN.)"""
    (hidden,), units = states, layer.units
    gate, squash = layer.recurrent_activation, layer.activation
    if bias is not None:
        driven += bias[0] if layer.reset_after else bias
    update, reset, candidate = tf.split(driven, 3, axis=1)
    if layer.reset_after:
        recalled = tf.matmul(hidden, recurrent)
        if bias is not None:
            recalled += bias[1]
        to_update, to_reset, to_candidate = tf.split(recalled, 3, axis=1)
        candidate += gate(reset + to_reset) * to_candidate
    else:
        to_update, to_reset = tf.split(tf.matmul(hidden, recurrent[:, : 2 * units]), 2, axis=1)
        candidate += tf.matmul(gate(reset + to_reset) * hidden, recurrent[:, 2 * units :])
    keep = gate(update + to_update)
    return [keep * hidden + (1 - keep) * squash(candidate)]


class EndCrop(Pointwise):
    """`Cropping1D((0, samples))`: takes them off the tail, where they are; nothing at a step."""

    def __init__(self, layer):
        super().__init__(layer)
        if layer.cropping[0]:
            raise CannotStreamError("it cuts samples at the beginning; only Cropping1D((0, samples)) streams")

    def signal(self, x):
        if x.tail < self.layer.cropping[1]:
            raise CannotStreamError(
                f"it cuts {self.layer.cropping[1]} samples of which {self.layer.cropping[1] - x.tail} have been given "
                "out by then"
            )
        return dataclasses.replace(x, tail=x.tail - self.layer.cropping[1])

    def step(self, x, states):
        return x, {}

    def flush(self, x, states):
        if x is None or x.shape[1] == self.layer.cropping[1]:
            return None
        return crop(x, 0, self.layer.cropping[1], axis=1)


def stage_of(layer, pointwise):
    """The stage for a layer; `pointwise` are further layer classes that see one position at a time.

    Classes are compared exactly: a class derived from these may do something else with its input.
    """
    kind = type(layer)
    if kind in STAGES:
        stage = STAGES[kind](layer)
    elif kind is keras.layers.PReLU and not (layer.shared_axes and 1 in layer.shared_axes):
        raise CannotStreamError("its slopes differ from position to position; use shared_axes=[1]")
    elif kind in ALONG_CHANNELS and layer.axis not in (-1, 2, [-1], [2], (-1,), (2,)):
        raise CannotStreamError(f"it works along axis {layer.axis}, not along the channels")
    elif kind is keras.layers.Embedding and layer.mask_zero:
        raise CannotStreamError("its mask would not reach the layers after it; use mask_zero=False")
    elif kind in (*POINTWISE, *ALONG_CHANNELS, keras.layers.PReLU) or isinstance(layer, tuple(pointwise)):
        stage = Pointwise(layer)
    else:
        raise CannotStreamError("it may look ahead; if it sees one position at a time, name its class in `pointwise`")
    if not _sees_one_position(getattr(layer, "activation", None)):
        raise CannotStreamError("its activation does not see one position at a time")
    return stage


def _sees_one_position(activation):
    """Whether an activation gives a short signal's halves what it gives the whole."""
    if activation is None:
        return True
    x = tf.random.stateless_normal([1, 8, 4], seed=[0, 0])
    whole = keras.ops.convert_to_numpy(activation(x))
    halves = [keras.ops.convert_to_numpy(activation(half)) for half in (x[:, :4], x[:, 4:])]
    return np.allclose(whole, np.concatenate(halves, axis=1), atol=1e-5)


STAGES = {
    ConvTranspose1d: Transposed,
    keras.layers.Conv1D: CausalConvolution,
    keras.layers.LSTM: Recurrence,
    keras.layers.GRU: Recurrence,
    keras.layers.Cropping1D: EndCrop,
}


def _on_time(x):
    """A layer with a memory must not hear what precedes the signal."""
    if x.latency:
        raise CannotStreamError(
            f"it remembers, and hears {x.latency} samples that precede the signal: a transposed convolution before it "
            "has a latency; use padding=0 there and Cropping1D((0, kernel_size - stride)) after it"
        )
