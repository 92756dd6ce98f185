"""What each kind of layer remembers between chunks, and the layers that cannot stream, with the reason why."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from lucid_keras._lowering.edges import crop
from lucid_keras.layers.conv_transpose1d import ConvTranspose1d
from lucid_keras.streaming.overlap import Transposed
from lucid_keras.streaming.recurrence import Recurrence
from lucid_keras.streaming.stage import CannotStreamError, Pointwise, cast

# Layers that see one number at a time whatever their arguments, so that it does not matter how it lies.
ELEMENTWISE = (
    keras.layers.InputLayer,
    keras.layers.Identity,
    keras.layers.Activation,
    keras.layers.ReLU,
    keras.layers.LeakyReLU,
    keras.layers.ELU,
    keras.layers.Dropout,
    keras.layers.SpatialDropout1D,
    keras.layers.GaussianNoise,
    keras.layers.GaussianDropout,
    keras.layers.Rescaling,
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

# The axes that are the channels'.
CHANNEL_AXES = {"channels_last": (-1, 2), "channels_first": (-2, 1)}


class CausalConvolution(Pointwise):
    """`Conv1D` with `padding="causal"`: the inputs that its taps still reach back to."""

    def __init__(self, layer):
        super().__init__(layer)
        if layer.strides != (1,):
            raise CannotStreamError(f"its strides must be 1, not {layer.strides[0]}")
        self.history = (layer.kernel_size[0] - 1) * layer.dilation_rate[0]
        if self.history and layer.padding != "causal":
            raise CannotStreamError(f'padding="{layer.padding}" looks ahead; use padding="causal"')
        self.state_shapes = {"history": (self.history, layer.kernel.shape[1] * layer.groups)} if self.history else {}

    def step(self, x, states, target):
        layer, x = self.layer, tf.cast(x, self.layer.compute_dtype)
        heard = tf.concat([states["history"], x], axis=1) if self.history else x
        y = keras.ops.conv(
            heard,
            cast(layer.kernel, x.dtype),
            padding="valid",
            dilation_rate=layer.dilation_rate,
            data_format="channels_last",
        )
        if layer.bias is not None:
            y += cast(layer.bias, x.dtype)
        if not self.history:
            return layer.activation(y), states
        chunk = x.shape[1]
        history = heard[:, tf.shape(x)[1] :] if chunk is None else crop(heard, chunk, 0, 1, target)
        return layer.activation(y), {"history": history}


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

    def step(self, x, states, target):
        return x, {}

    def flush(self, x, states, target):
        if x is None or x.shape[1] == self.layer.cropping[1]:
            return None
        return crop(x, 0, self.layer.cropping[1], 1, target)


class Turn(Pointwise):
    """`Permute((2, 1))`: from one data format to the other, which stages do not see."""

    def __init__(self, layer):
        super().__init__(layer)
        if tuple(layer.dims) != (2, 1):
            raise CannotStreamError(f"its dims must be (2, 1), not {tuple(layer.dims)}")

    def signal(self, x):
        other = "channels_first" if x.data_format == "channels_last" else "channels_last"
        return dataclasses.replace(x, data_format=other)

    def step(self, x, states, target):
        return x, {}


STAGES = {
    ConvTranspose1d: Transposed,
    keras.layers.Conv1D: CausalConvolution,
    keras.layers.LSTM: Recurrence,
    keras.layers.GRU: Recurrence,
    keras.layers.Cropping1D: EndCrop,
    keras.layers.Permute: Turn,
    keras.layers.Dense: Pointwise,
    keras.layers.Embedding: Pointwise,
    keras.layers.UpSampling1D: Pointwise,
}


def stage_of(layer, pointwise, data_format):
    """The stage for a layer that gets `data_format`; `pointwise` are further classes that see one position at a time.

    Classes are compared exactly: a class derived from these may do something else with its input.
    """
    kind = type(layer)
    if kind in STAGES:
        _check_data_format(layer, data_format)
        stage = STAGES[kind](layer)
    elif kind in ELEMENTWISE:
        stage = Pointwise(layer)
    elif kind in (*ALONG_CHANNELS, keras.layers.PReLU) or isinstance(layer, tuple(pointwise)):
        _check_axis(layer, data_format)
        stage = Pointwise(layer)
        stage.sees = data_format
    else:
        raise CannotStreamError("it may look ahead; if it sees one position at a time, name its class in `pointwise`")
    if kind is keras.layers.Embedding and layer.mask_zero:
        raise CannotStreamError("its mask would not reach the layers after it; use mask_zero=False")
    if not _sees_one_position(getattr(layer, "activation", None), data_format):
        raise CannotStreamError("its activation does not see one position at a time")
    return stage


def _check_data_format(layer, data_format):
    own = getattr(layer, "data_format", "channels_last")
    if type(layer) is not keras.layers.Permute and own != data_format:
        raise CannotStreamError(
            f'its input is in the format "{data_format}", but it takes "{own}"; put keras.layers.Permute((2, 1)) '
            "before it, or say StreamingModel(..., data_format=) where it is the input's that is mistaken"
        )


def _check_axis(layer, data_format):
    """Raise where a layer works along the positions."""
    if type(layer) is keras.layers.PReLU:
        positions = 1 if data_format == "channels_last" else 2
        if positions not in (layer.shared_axes or ()):
            raise CannotStreamError(f"its slopes differ from position to position; use shared_axes=[{positions}]")
    elif type(layer) in ALONG_CHANNELS:
        axes = layer.axis if isinstance(layer.axis, (list, tuple)) else [layer.axis]
        if len(axes) != 1 or axes[0] not in CHANNEL_AXES[data_format]:
            raise CannotStreamError(f"it works along axis {layer.axis}, not along the channels")


def _sees_one_position(activation, data_format):
    """Whether an activation gives a short signal's halves what it gives the whole.

    In a channels first decoder it has to do so with the channels' halves too, for stages are channels last.
    """
    if activation is None:
        return True
    x = tf.random.stateless_normal([1, 8, 4], seed=[0, 0])
    apply = lambda x: keras.ops.convert_to_numpy(activation(x))  # noqa: E731
    axes = (1,) if data_format == "channels_last" else (1, 2)
    return all(
        np.allclose(apply(x), np.concatenate([apply(half) for half in tf.split(x, 2, axis)], axis), atol=1e-5)
        for axis in axes
    )
