"""How each layer's variables lie in a PyTorch state dict: their names there, their shapes, and the way there and back.

A `Slot` is one variable. A layer that is not in `LAYOUTS` holds its variables as PyTorch would: under their own names,
in their own shape.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping

import keras
import numpy as np

from lucid_keras.layers.constant import WithConstant
from lucid_keras.layers.istft import ISTFT


@dataclasses.dataclass(frozen=True)
class Slot:
    """A variable, the entries of the state dict that it is made of, and the layout changes between them."""

    variable: object
    shapes: Mapping[str, tuple[int, ...]]  # entry name, relative to the layer, to its shape in PyTorch
    from_torch: Callable  # the entries' arrays, in the order of `shapes`, to the variable's value
    to_torch: Callable  # the variable's value to a tuple of arrays, in the order of `shapes`


def _slot(name, variable, axes=None, shape=None):
    """A variable whose axes are those of PyTorch in the order `axes`, written there in another `shape` if one is given.

    Without `axes` they are PyTorch's.
    """
    axes = range(variable.ndim) if axes is None else axes
    back = tuple(np.argsort(axes))
    turned = tuple(variable.shape[axis] for axis in back)
    shape = turned if shape is None else shape
    return Slot(
        variable,
        {name: shape},
        lambda array: array.reshape(turned).transpose(axes),
        lambda value: (value.transpose(back).reshape(shape),),
    )


def _named(**attributes):
    """The layout of a layer whose variables lie in PyTorch as they are, each there only if the layer uses it."""

    def slots(layer):
        variables = {name: getattr(layer, attribute, None) for name, attribute in attributes.items()}
        return [_slot(name, variable) for name, variable in variables.items() if variable is not None]

    return slots


_bias = _named(bias="bias")


def _kernel(layer):
    """`[out, in/groups, *kernel]` in PyTorch, `[*kernel, in/groups, out]` in Keras.

    A transposed convolution's is `[in, out, *kernel]` and `[*kernel, out, in]`, a Dense layer's one without `*kernel`.
    """
    rank = layer.kernel.ndim - 2
    return [_slot("weight", layer.kernel, (*range(2, rank + 2), 1, 0)), *_bias(layer)]


def _depthwise_convolution(layer):
    """`[in*multiplier, 1, *kernel]` in PyTorch, with groups = in; `[*kernel, in, multiplier]` in Keras."""
    *kernel, channels, multiplier = layer.kernel.shape
    axes = (*range(2, len(kernel) + 2), 0, 1)
    return [_slot("weight", layer.kernel, axes, (channels * multiplier, 1, *kernel)), *_bias(layer)]


def _prelu(layer):
    return [_slot("weight", layer.alpha, shape=(math.prod(layer.alpha.shape),))]


def _recurrent(layer, direction="", *, gates):
    """PyTorch's `[gates*units, in]` matrices and two biases; `gates` gives its order of the gates in Keras's."""
    cell = layer.cell
    if not getattr(cell, "reset_after", True):
        raise ValueError(
            f"a GRU must have reset_after=True: PyTorch has no other. Received: the layer {layer.name!r} with "
            "reset_after=False"
        )
    order = np.concatenate([np.arange(gate * cell.units, (gate + 1) * cell.units) for gate in gates])
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
        bias = Slot(cell.bias, shapes, lambda *two: np.stack(two)[:, order], lambda value: tuple(value[:, back]))
    else:
        bias = Slot(cell.bias, shapes, lambda *two: sum(two)[order], lambda value: (value[back], np.zeros_like(value)))
    return [*slots, bias]


# The order of PyTorch's gates in Keras's: of a GRU, PyTorch's are reset, update, new, and Keras's update, reset, new.
GATES = {keras.layers.LSTM: (0, 1, 2, 3), keras.layers.GRU: (1, 0, 2), keras.layers.SimpleRNN: (0,)}
RECURRENT = {kind: functools.partial(_recurrent, gates=gates) for kind, gates in GATES.items()}


def _bidirectional(layer):
    of_direction = RECURRENT.get(type(layer.forward_layer))
    if of_direction is None:
        raise ValueError(
            f"a Bidirectional layer must hold an LSTM, GRU or SimpleRNN. Received: {type(layer.forward_layer).__name__}"
        )
    return of_direction(layer.forward_layer) + of_direction(layer.backward_layer, "_reverse")


LAYOUTS = {
    **dict.fromkeys((keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D, keras.layers.Dense), _kernel),
    **dict.fromkeys(
        (keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose), _kernel
    ),
    **dict.fromkeys((keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D), _depthwise_convolution),
    keras.layers.Embedding: _named(weight="embeddings"),
    keras.layers.LayerNormalization: _named(weight="gamma", bias="beta"),
    keras.layers.GroupNormalization: _named(weight="gamma", bias="beta"),
    keras.layers.RMSNormalization: _named(weight="scale"),
    keras.layers.BatchNormalization: _named(
        weight="gamma", bias="beta", running_mean="moving_mean", running_var="moving_variance"
    ),
    keras.layers.PReLU: _prelu,
    **RECURRENT,
    keras.layers.Bidirectional: _bidirectional,
    WithConstant: lambda layer: [_slot("", layer.value)],  # the layer has its weight's name
    ISTFT: _named(),  # its weights follow from its window
}


def layout_of(layer):
    """The function in `LAYOUTS` for a layer or for what it derives from; None where PyTorch's layout is its own."""
    return next((LAYOUTS[kind] for kind in type(layer).__mro__ if kind in LAYOUTS), None)


def slots_of(layer):
    """The slots of a layer's own variables, not of layers within it."""
    layout = layout_of(layer)
    if layout is not None:
        return layout(layer)
    own = (*layer._trainable_variables, *layer._non_trainable_variables)  # Keras names only those of all sublayers
    return [_slot(variable.name, variable) for variable in own]
