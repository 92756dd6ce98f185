"""The stage of each kind of layer, and the layers that cannot stream, with the reason why."""

from collections.abc import Callable

import keras
import numpy as np

from lucid_keras.layers.constant import WithConstant
from lucid_keras.layers.conv_transpose1d import ConvTranspose1d
from lucid_keras.layers.istft import ISTFT
from lucid_keras.layers.mirrored_ends import MirroredEnds
from lucid_keras.layers.repeated_ends import RepeatedEnds
from lucid_keras.layers.snake import Snake
from lucid_keras.layers.windowed_attention import WindowedAttention
from lucid_keras.streaming.attention import Attending
from lucid_keras.streaming.borders import Edge
from lucid_keras.streaming.convolution import Averaging, Convolution
from lucid_keras.streaming.overlap import Synthesis, Transposed
from lucid_keras.streaming.pointwise import Call, Place, Pointwise, sees_one_number, sees_one_position
from lucid_keras.streaming.recurrence import Recurrence
from lucid_keras.streaming.stage import CannotStreamError, Signal, Stage
from lucid_keras.streaming.timing import Cropping, Padding, Turn

layers = keras.layers

# Layers that see one number at a time whatever their arguments, so that it does not matter how it lies.
ELEMENTWISE = (
    layers.Identity,
    layers.Activation,
    layers.ReLU,
    layers.LeakyReLU,
    layers.ELU,
    layers.Dropout,
    layers.SpatialDropout1D,
    layers.GaussianNoise,
    layers.GaussianDropout,
    layers.Rescaling,
    layers.Add,
    layers.Subtract,
    layers.Multiply,
    layers.Average,
    layers.Maximum,
    layers.Minimum,
)

# Layers that see one position at a time if they work along the channels.
ALONG_CHANNELS = (
    layers.LayerNormalization,
    layers.BatchNormalization,
    layers.RMSNormalization,
    layers.Softmax,
    layers.Concatenate,
)

# The axes that are the channels'.
CHANNEL_AXES = {"channels_last": (-1, 2), "channels_first": (-2, 1)}

# Layers that would have to hear all of a signal first, and what streams in their stead.
HEAR_ALL = {
    layers.Bidirectional: "one of its recurrences begins at the end; use a recurrence that goes forward alone",
    layers.GroupNormalization: "it normalizes over the whole signal; use LayerNormalization or BatchNormalization",
    layers.UnitNormalization: "it may normalize over the whole signal; use LayerNormalization",
    layers.GlobalAveragePooling1D: "it is a mean of the whole signal; give what it computes as an input of its own",
    layers.GlobalMaxPooling1D: "it is the maximum of the whole signal; give what it computes as an input of its own",
    layers.MultiHeadAttention: "it attends to the whole signal; use lucid_keras.WindowedAttention",
    layers.GroupQueryAttention: "it attends to the whole signal; use lucid_keras.WindowedAttention",
    layers.Attention: "it attends to the whole signal; use lucid_keras.WindowedAttention",
    layers.AdditiveAttention: "it attends to the whole signal; use lucid_keras.WindowedAttention",
}

MAY_LOOK_AHEAD = (
    "it may look ahead; if it sees one position at a time, name it in `pointwise`, and if it remembers, give it a "
    "method `streaming_stage` that returns its lucid_keras.Stage"
)


def stage_of(call: Call, pointwise: tuple) -> Stage:
    """The stage for a layer or Keras operation, called at a place of a decoder.

    Classes are compared exactly: a class derived from these may do something else with its input. `pointwise` names
    further ones that see one position at a time.
    """
    layer, kind = call.operation, type(call.operation)
    if hasattr(layer, "streaming_stage"):
        return layer.streaming_stage()
    known = kind in STAGES or kind in ELEMENTWISE or kind in ALONG_CHANNELS or kind is layers.PReLU
    if known and not call.alone and kind is not WindowedAttention:  # which takes three
        raise CannotStreamError("it is called with more than its input")
    first = next(place for place in call.places if place.signal is not None)
    data_format = first.signal.data_format
    if kind in STAGES:
        _check_data_format(layer, data_format)
        _check_activation(layer, data_format)
        return STAGES[kind](call, first)
    return _pointwise(call, data_format, pointwise)


def _convolution(call, place):
    return Convolution(call.operation, *place.sizes)


def _moved(kind, ends, place):
    before, after = ends
    return kind(before, after, place)


def _embedding(call, _):
    if call.operation.mask_zero:
        raise CannotStreamError("its mask would not reach the layers after it; use mask_zero=False")
    return Pointwise(call)


def _turn(call, _):
    if tuple(call.operation.dims) != (2, 1):
        raise CannotStreamError(f"its dims must be (2, 1), not {tuple(call.operation.dims)}")
    return Turn()


def _reshaped(call, place):
    """`Reshape((-1, channels))` leads from blocks of positions, side by side, to these; others see one position."""
    shape, sizes, data_format = call.operation.target_shape, place.sizes, place.signal.data_format
    blocks = data_format == "channels_last" and len(shape) == 2 and shape[0] == -1 and len(sizes) == 1
    if blocks and sizes[0] % shape[1] == 0:
        return Pointwise(call, factor=sizes[0] // shape[1])
    return _pointwise(call, data_format, ())


def _beyond_the_ends(mode):
    return CannotStreamError(
        f'mode="{mode}" repeats the signal beyond its ends; use mode="constant", and train with it'
    )


def _mirrored(*_):
    raise _beyond_the_ends("reflect")


STAGES: dict[type, Callable[[Call, Place], Stage]] = {
    ConvTranspose1d: lambda call, _: Transposed(call.operation),
    ISTFT: lambda call, _: Synthesis(call.operation),
    WindowedAttention: lambda call, _: Attending(call),
    Snake: lambda call, _: Pointwise(call),
    WithConstant: lambda call, _: Pointwise(call),
    RepeatedEnds: lambda call, place: Edge(call.operation.before, call.operation.after, place),
    MirroredEnds: _mirrored,
    layers.Conv1D: _convolution,
    layers.DepthwiseConv1D: _convolution,
    layers.SeparableConv1D: _convolution,
    layers.AveragePooling1D: lambda call, place: Averaging(call.operation, *place.sizes),
    layers.LSTM: lambda call, _: Recurrence(call.operation),
    layers.GRU: lambda call, _: Recurrence(call.operation),
    layers.ZeroPadding1D: lambda call, place: _moved(Padding, call.operation.padding, place),
    layers.Cropping1D: lambda call, place: _moved(Cropping, call.operation.cropping, place),
    layers.UpSampling1D: lambda call, _: Pointwise(call, factor=call.operation.size),
    layers.Permute: _turn,
    layers.Reshape: _reshaped,
    layers.Dense: lambda call, _: Pointwise(call),
    layers.Embedding: _embedding,
    layers.TimeDistributed: lambda call, _: Pointwise(call),
}


def _pointwise(call, data_format, pointwise):
    """The stage of what has no states, or the reason why it is not known to have none."""
    layer, kind = call.operation, type(call.operation)
    if stage := _moving(call, data_format):
        return stage
    if kind in ELEMENTWISE:
        _check_activation(layer, data_format)
        return Pointwise(call, data_format if _meets_constants(call) else "channels_last")
    if kind in ALONG_CHANNELS or kind is layers.PReLU:
        _check_axis(layer, data_format)
        return Pointwise(call, data_format)
    if any(_named(layer, one) for one in pointwise):
        if sees_one_position(call, data_format) is False:
            raise CannotStreamError("`pointwise` names it, but what it gives for a position depends on others")
        return Pointwise(call, data_format)
    if kind in HEAR_ALL:
        raise CannotStreamError(HEAR_ALL[kind])
    of_keras = kind.__module__.partition(".")[0] == "keras" and not getattr(layer, "weights", None)
    if of_keras and kind is not layers.Lambda:
        if sees_one_position(call, data_format):
            turned = data_format == "channels_first" and (_meets_constants(call) or not sees_one_number(call))
            return Pointwise(call, data_format if turned else "channels_last")
        raise CannotStreamError("what it gives for a position depends on others, or on how many there are")
    raise CannotStreamError(MAY_LOOK_AHEAD)


def _moving(call, data_format):
    """The stage of a Keras operation that pads, cuts or turns the signal, None of any other."""
    name = type(call.operation).__name__
    if isinstance(call.operation, layers.Layer) or len(call.places) != 1:
        return None
    if name == "Transpose" and tuple(call.operation.axes or ()) == (0, 2, 1):
        return Turn()
    return {"Pad": _padding, "GetItem": _slice}.get(name, lambda *_: None)(call, data_format)


def _padding(call, data_format):
    """The stage of `keras.ops.pad` of the positions alone."""
    operation, place, axis = call.operation, call.places[0], _time_axis(data_format)
    if len(place.spec.shape) != len(operation.pad_width):
        return None
    others = [pair for index, pair in enumerate(operation.pad_width) if index != axis]
    if operation.mode == "edge" and not np.any(others) and len(place.sizes) == 1:
        return Edge(*operation.pad_width[axis], place)
    if operation.mode != "constant":
        raise _beyond_the_ends(operation.mode)
    zeros = not np.any(call.kwargs.get("constant_values", call.args[1] if len(call.args) > 1 else None) or 0)
    return Padding(*operation.pad_width[axis], place) if zeros and not np.any(others) else None


def _slice(call, data_format):
    """The stage of `x[:, start:-stop]`, the positions alone."""
    axis = _time_axis(data_format)
    key = call.kwargs["key"] if "key" in call.kwargs else call.args[1]
    key = key if isinstance(key, tuple) else (key,)
    if Ellipsis in key or len(key) <= axis or any(not isinstance(one, slice) for one in key):
        return None
    others = [one for index, one in enumerate(key) if index != axis and one != slice(None)]
    start, stop = key[axis].start or 0, key[axis].stop or 0
    if others or key[axis].step not in (None, 1) or start < 0 or stop > 0:
        return None
    return Cropping(start, -stop, call.places[0]) if start or stop else None


def _time_axis(data_format):
    return 2 if data_format == "channels_first" else 1


def _named(layer, one):
    """Whether an entry of `pointwise` means a layer: its class, its name, or the function that it calls."""
    if isinstance(one, str):
        return layer.name == one
    return isinstance(layer, one) if isinstance(one, type) else getattr(layer, "function", None) is one


def _meets_constants(call):
    return any(place.signal is None for place in call.places)


def _check_data_format(layer, data_format):
    own = getattr(layer, "data_format", "channels_last")
    if type(layer) is not layers.Permute and own != data_format:
        raise CannotStreamError(
            f'its input is in the format "{data_format}", but it takes "{own}"; put keras.layers.Permute((2, 1)) '
            "before it, or say StreamingModel(..., data_format=) where it is the input's that is mistaken"
        )


def _check_axis(layer, data_format):
    """Raise where a layer works along the positions."""
    if type(layer) is layers.PReLU:
        positions = 1 if data_format == "channels_last" else 2
        if positions not in (layer.shared_axes or ()):
            raise CannotStreamError(f"its slopes differ from position to position; use shared_axes=[{positions}]")
    else:
        axes = layer.axis if isinstance(layer.axis, (list, tuple)) else [layer.axis]
        if len(axes) != 1 or axes[0] not in CHANNEL_AXES[data_format]:
            raise CannotStreamError(f"it works along axis {layer.axis}, not along the channels")


def _check_activation(layer, data_format):
    """Raise where an activation sees more than one position; of a channels first decoder more than one number."""
    activation = getattr(layer, "activation", None)
    if activation in (None, keras.activations.linear):
        return
    call = Call(activation, (Place(keras.KerasTensor((None, None, 4)), Signal()),), {})
    if not sees_one_position(call, "channels_last") or (data_format == "channels_first" and not sees_one_number(call)):
        raise CannotStreamError("its activation does not see one position at a time")
