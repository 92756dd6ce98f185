"""How each layer's variables lie in a PyTorch state dict: their names there, their shapes, and the way there and back.

A `Slot` is one variable. A layer that is not in `LAYOUTS` holds its variables as PyTorch would: under their own names,
in their own shape.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping

import keras
import numpy as np

from lucid_keras.layers.istft import ISTFT


@dataclasses.dataclass(frozen=True)
class Slot:
    """A variable, the entries of the state dict that it is made of, and the layout changes between them."""

    variable: object
    shapes: Mapping[str, tuple[int, ...]]  # entry name, relative to the layer, to its shape in PyTorch
    from_torch: Callable  # the entries' arrays, in the order of `shapes`, to the variable's value
    to_torch: Callable  # the variable's value to a tuple of arrays, in the order of `shapes`


def _identity(name, variable):
    return Slot(variable, {name: tuple(variable.shape)}, lambda array: array, lambda value: (value,))


def _transposed(name, variable, axes):
    """A variable whose axes are those of PyTorch in the order `axes`."""
    back = tuple(np.argsort(axes))
    shape = tuple(variable.shape[axis] for axis in back)
    return Slot(variable, {name: shape}, lambda array: array.transpose(axes), lambda value: (value.transpose(back),))


def _reshaped(name, variable, shape):
    held = tuple(variable.shape)
    return Slot(variable, {name: shape}, lambda array: array.reshape(held), lambda value: (value.reshape(shape),))


def _bias(layer, variable="bias"):
    variable = getattr(layer, variable, None)
    return [] if variable is None else [_identity("bias", variable)]


def _convolution(layer):
    """`[out, in/groups, *kernel]` in PyTorch, `[*kernel, in/groups, out]` in Keras."""
    rank = layer.kernel.ndim - 2
    return [_transposed("weight", layer.kernel, (*range(2, rank + 2), 1, 0)), *_bias(layer)]


def _transposed_convolution(layer):
    """`[in, out, *kernel]` in PyTorch, `[*kernel, out, in]` in Keras."""
    return _convolution(layer)


def _depthwise_convolution(layer):
    """`[in*multiplier, 1, *kernel]` in PyTorch, with groups = in; `[*kernel, in, multiplier]` in Keras."""
    *kernel, channels, multiplier = layer.kernel.shape
    rank = len(kernel)
    last_first = (rank, rank + 1, *range(rank))
    first_last = (*range(2, rank + 2), 0, 1)
    weight = Slot(
        layer.kernel,
        {"weight": (channels * multiplier, 1, *kernel)},
        lambda array: array.reshape(channels, multiplier, *kernel).transpose(first_last),
        lambda value: (value.transpose(last_first).reshape(channels * multiplier, 1, *kernel),),
    )
    return [weight, *_bias(layer)]


def _dense(layer):
    return [_transposed("weight", layer.kernel, (1, 0)), *_bias(layer)]


def _embedding(layer):
    return [_identity("weight", layer.embeddings)]


def _scale_and_shift(layer):
    """`weight` and `bias` in PyTorch, gamma and beta in Keras, each there only if it is used."""
    names = {"weight": getattr(layer, "gamma", None), "bias": getattr(layer, "beta", None)}
    return [_identity(name, variable) for name, variable in names.items() if variable is not None]


def _batch_normalization(layer):
    statistics = {"running_mean": layer.moving_mean, "running_var": layer.moving_variance}
    return _scale_and_shift(layer) + [_identity(name, variable) for name, variable in statistics.items()]


def _rms_normalization(layer):
    return [_identity("weight", layer.scale)]


def _prelu(layer):
    return [_reshaped("weight", layer.alpha, (math.prod(layer.alpha.shape),))]


def _recurrent(layer, gates, direction=""):
    """PyTorch's `[gates*units, in]` matrices and two biases; `gates` gives its order of the gates in Keras's."""
    cell = layer.cell
    units = cell.units
    order = np.concatenate([np.arange(gate * units, (gate + 1) * units) for gate in gates])
    back = np.argsort(order)
    slots = [
        Slot(
            variable,
            {f"{name}_l0{direction}": tuple(variable.shape[::-1])},
            lambda array: array[order].T,
            lambda value: (value.T[back],),
        )
        for name, variable in (("weight_ih", cell.kernel), ("weight_hh", cell.recurrent_kernel))
    ]
    if cell.bias is None:
        return slots
    shapes = {f"bias_ih_l0{direction}": (len(order),), f"bias_hh_l0{direction}": (len(order),)}
    if cell.bias.ndim == 2:  # the GRU keeps its two biases apart
        two = Slot(
            cell.bias,
            shapes,
            lambda of_input, of_state: np.stack([of_input[order], of_state[order]]),
            lambda value: (value[0][back], value[1][back]),
        )
        return [*slots, two]
    summed = Slot(
        cell.bias,
        shapes,
        lambda of_input, of_state: (of_input + of_state)[order],
        lambda value: (value[back], np.zeros_like(value)),
    )
    return [*slots, summed]


def _lstm(layer, direction=""):
    """PyTorch's gates are input, forget, cell, output, as Keras's are."""
    return _recurrent(layer, (0, 1, 2, 3), direction)


def _gru(layer, direction=""):
    """PyTorch's gates are reset, update, new; Keras's update, reset, new."""
    if not layer.cell.reset_after:
        raise ValueError(
            f"a GRU must have reset_after=True: PyTorch has no other. Received: the layer {layer.name!r} with "
            "reset_after=False"
        )
    return _recurrent(layer, (1, 0, 2), direction)


def _rnn(layer, direction=""):
    return _recurrent(layer, (0,), direction)


RECURRENT = {keras.layers.LSTM: _lstm, keras.layers.GRU: _gru, keras.layers.SimpleRNN: _rnn}


def _bidirectional(layer):
    of_direction = RECURRENT.get(type(layer.forward_layer))
    if of_direction is None:
        raise ValueError(
            f"a Bidirectional layer must hold an LSTM, GRU or SimpleRNN. Received: {type(layer.forward_layer).__name__}"
        )
    return of_direction(layer.forward_layer) + of_direction(layer.backward_layer, "_reverse")


LAYOUTS = {
    **dict.fromkeys((keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D), _convolution),
    **dict.fromkeys(
        (keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose),
        _transposed_convolution,
    ),
    **dict.fromkeys((keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D), _depthwise_convolution),
    keras.layers.Dense: _dense,
    keras.layers.Embedding: _embedding,
    keras.layers.LayerNormalization: _scale_and_shift,
    keras.layers.GroupNormalization: _scale_and_shift,
    keras.layers.RMSNormalization: _rms_normalization,
    keras.layers.BatchNormalization: _batch_normalization,
    keras.layers.PReLU: _prelu,
    **RECURRENT,
    keras.layers.Bidirectional: _bidirectional,
    ISTFT: lambda layer: [],  # its weights follow from its window
}

# Entries that PyTorch writes beside a layer's and that Keras has no place for.
BESIDE = {keras.layers.BatchNormalization: {"num_batches_tracked": np.zeros((), np.int64)}}


def layout_of(layer):
    """The function in `LAYOUTS` for a layer or for what it derives from; None where PyTorch's layout is its own."""
    return next((LAYOUTS[kind] for kind in type(layer).__mro__ if kind in LAYOUTS), None)


def slots_of(layer):
    """The slots of a layer's own variables, not of layers within it."""
    layout = layout_of(layer)
    if layout is not None:
        return layout(layer)
    own = (*layer._trainable_variables, *layer._non_trainable_variables)  # Keras names only those of all sublayers
    return [_identity(variable.name, variable) for variable in own]
