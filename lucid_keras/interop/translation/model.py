"""`from_torch`: a PyTorch module as a functional Keras model, compared with it before it is given."""

import math
from collections.abc import Sequence
from typing import Literal, get_args

import keras
import numpy as np
import torch

from lucid_keras._arguments import check_choice
from lucid_keras.interop.translation.building import Building
from lucid_keras.interop.translation.lengths import lengthened, other_lengths
from lucid_keras.interop.translation.operations import TABLE, name_of
from lucid_keras.interop.translation.patterns import recognized
from lucid_keras.interop.translation.trace import Call, Constant, Extent, Untraceable, constants_frozen, merged, traced
from lucid_keras.interop.translation.values import Refused, Value
from lucid_keras.interop.translation.verification import DiffersError, first_different, verified
from lucid_keras.ops import DATA_FORMATS

FARTHEST = 100  # times its length, which an example is made longer by to see all of a window
DataFormat = Literal["channels_first", "channels_last"]


def from_torch(
    module: torch.nn.Module,
    example_inputs: torch.Tensor | Sequence[torch.Tensor],
    *,
    data_format: DataFormat = "channels_first",
    other_inputs: Sequence[Sequence[torch.Tensor]] | None = None,
    name: str | None = None,
) -> keras.Model:
    inputs = _checked(module, example_inputs)
    check_choice("data_format", data_format, DATA_FORMATS)
    was_training = module.training
    with constants_frozen(module.eval()):
        try:
            longer = other_lengths(module, inputs) if other_inputs is None else [_checked(module, one) for one in other_inputs]
            trace, longer = _traced(module, inputs, longer)
            translation = Translation(trace, data_format)
            model = translation.model(name or type(module).__name__.lower())
            _compare(translation, model, module, [inputs, *longer])
        finally:
            module.train(was_training)
    return model


def _checked(module, inputs):
    """The inputs as a tuple of two examples each."""
    inputs = (inputs,) if isinstance(inputs, torch.Tensor) else tuple(inputs)
    for one in inputs:
        if not isinstance(one, torch.Tensor) or one.ndim < 2:
            raise TypeError(
                "example_inputs must be tensors [batch, ...], of two axes at least. Received: "
                + (f"a tensor of shape {list(one.shape)}" if isinstance(one, torch.Tensor) else repr(one))
            )
    dtypes = {one.dtype for one in (*inputs, *module.parameters()) if one.is_floating_point()}
    if dtypes - {torch.float32}:
        raise TypeError(f"the module and its inputs must be in float32; see module.float(). Received: {dtypes}")
    return tuple(one if len(one) > 1 else torch.cat([one, one]) for one in inputs)


def _traced(module, inputs, longer):
    """The trace, read at two lengths where the module does the same at both, and the inputs of these lengths."""
    try:
        trace = traced(module, inputs)
    except Untraceable as reason:
        raise ValueError(
            "a module must be traceable by torch.export: no branch may depend on the numbers in a tensor, and nothing "
            f"but tensors may come in. Received: {type(module).__name__}: {reason}"
        ) from reason
    if not longer or trace.reach > FARTHEST:
        return trace, []
    if trace.reach > 1:  # a window is seen only by what is longer
        longer = [lengthened(inputs, longer[0], math.ceil(trace.reach) + 1), *longer]
    try:
        other = traced(module, longer[0])
        if other.reach <= 1:
            return merged(trace, other), longer
    except Untraceable:
        trace = traced(module, inputs)  # the first was changed
    return trace, []  # it has one length


class Translation:
    """Each call of a trace as Keras has it, in turn."""

    def __init__(self, trace, data_format):
        self.trace, self.calls = trace, recognized(trace)
        self._data_format = data_format
        self.building = Building(trace.held)
        self.values = {call: self._input(call) for call in trace.inputs}
        self.inputs = [self.values[call].tensor for call in trace.inputs]
        refused = {}
        for call in self.calls:
            try:
                self.values[call] = self._translated(call)
            except Refused as reason:
                refused.setdefault(f"{name_of(call.target)} in {call.path or 'the module itself'}: {reason}", call)
                self.values[call] = _stand_in(call)
        if refused:
            raise ValueError(
                "a module's operations must be known to lucid_keras, each at its arguments. Received: " + "; ".join(refused)
            )

    def _translated(self, call):
        function = TABLE.get(name_of(call.target))
        if function is None:
            is_random = torch.Tag.nondeterministic_seeded in getattr(call.target, "tags", ())
            raise Refused("it draws random numbers; make them an input" if is_random else "it has no translation")
        args, kwargs = torch.utils._pytree.tree_map_only(
            Call, self.values.__getitem__, (call.args, dict(call.kwargs)), is_leaf=lambda one: isinstance(one, (Call, Constant))
        )
        return function(self.building.at(call), *args, **kwargs)

    def _axes(self, shape):
        """The order of the axes outside: PyTorch's, or the length second."""
        axes = list(range(len(shape)))
        if self._data_format == "channels_last" and len(shape) > 2:
            length = next((axis for axis in axes if isinstance(shape[axis], Extent)), axes[-1])
            axes = [0, length, *(axis for axis in axes[1:] if axis != length)]
        return tuple(axes)

    def _input(self, call):
        axes = self._axes(call.shape)
        sizes = [None if isinstance(call.shape[axis], Extent) else call.shape[axis] for axis in axes[1:]]
        dtype = "float32" if call.dtype.is_floating_point else "int32"
        return Value(keras.Input(sizes, name=call.name, dtype=dtype), axes)

    def model(self, name):
        leaves = torch.utils._pytree.tree_leaves(self.trace.outputs, is_leaf=lambda one: isinstance(one, (Call, Constant)))
        outputs = [one for one in leaves if isinstance(one, Call)]
        if not outputs or any(isinstance(one, Constant) for one in leaves):
            raise ValueError("what a module gives must depend on its inputs. Received: a module that gives a constant")
        self.out = [(self.values[call], self._axes(call.shape)) for call in outputs]
        tensors = [value.laid_out(axes) for value, axes in self.out]
        inputs = self.inputs
        return keras.Model(
            inputs[0] if len(inputs) == 1 else inputs, tensors[0] if len(tensors) == 1 else tensors, name=name
        )

    def to_keras(self, inputs):
        """PyTorch's inputs as the model takes them."""
        arrays = [
            one.permute(self.values[call].axes).numpy() for call, one in zip(self.trace.inputs, inputs, strict=True)
        ]
        return arrays[0] if len(arrays) == 1 else arrays

    def from_keras(self, outputs):
        """The model's outputs as PyTorch's lie."""
        return [
            np.asarray(y).transpose(np.argsort(axes))
            for y, (_, axes) in zip(keras.tree.flatten(outputs), self.out, strict=True)
        ]


def _stand_in(call):
    """What a refused call might have given, so that those after it are looked at too."""
    axes = tuple(range(len(call.shape)))
    return Value(keras.Input([None if isinstance(size, Extent) else size for size in call.shape[1:]]), axes)


def _compare(translation, model, module, examples):
    for inputs in examples:
        try:
            verified(model, module, inputs, translation.to_keras, translation.from_keras)
        except DiffersError as reason:
            where = first_different(
                translation.trace, translation.calls, translation.values, translation.inputs,
                [one.permute(translation.values[call].axes) for call, one in zip(translation.trace.inputs, inputs, strict=True)],
            )  # fmt: skip
            shapes = [list(one.shape) for one in inputs]
            raise ValueError(
                f"a Keras model must give what its PyTorch module gives. Received: {reason}, for inputs of shapes {shapes}; "
                f"the first operation that differs: {where}"
            ) from None
