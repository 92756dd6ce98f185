"""A module's trace translated call by call, into a Keras model that is compared with the module."""

import contextlib
import math
import os

import keras
import numpy as np
import torch

from lucid_keras.interop.translation.building import Building
from lucid_keras.interop.translation.lengths import axes_of_any_length, lengthened, other_lengths
from lucid_keras.interop.translation.operations import TABLE, name_of
from lucid_keras.interop.translation.patterns import calls_in, recognized
from lucid_keras.interop.translation.program_file import loaded
from lucid_keras.interop.translation.trace import (
    Constant,
    Extent,
    Untraceable,
    leaves,
    mapped,
    merged,
    prepared,
    reach,
    traced,
)
from lucid_keras.interop.translation.values import Refused, Value
from lucid_keras.interop.translation.verification import DiffersError, first_different, verified

FARTHEST = 100  # times its length, which an example is made longer by to see all of a window


def translated(source, example_inputs, data_format, other_inputs, name):
    """The model of `from_torch`, and its relative error for each of the examples' shapes."""
    module, example_inputs, allowed = _module_of(source, example_inputs)
    is_program = allowed is not None
    inputs = _checked(module, example_inputs, "example_inputs", is_program)
    with contextlib.nullcontext() if is_program else prepared(module):
        if other_inputs is None:
            longer = other_lengths(module, inputs, allowed)
        else:
            longer = [_checked(module, one, "other_inputs", is_program) for one in other_inputs]
        trace, longer = _traced(module, inputs, longer)
        translation = Translation(trace, data_format)
        model = translation.model(name or type(module).__name__.lower())
        return model, [(one, translation.compared(model, module, one, inputs)) for one in (inputs, *longer)]


def _module_of(source, example_inputs):
    """The module to translate, its inputs, and which of their axes may have other lengths, None for any."""
    if isinstance(source, (str, os.PathLike)):
        source = loaded(source)
    if not isinstance(source, torch.export.ExportedProgram):
        return source, example_inputs, None
    if example_inputs is None:
        example_inputs, named = source.example_inputs
        if named:
            raise ValueError(f"a program must take its inputs by place. Received: inputs by name, {', '.join(named)}")
    return source.module(check_guards=False), example_inputs, axes_of_any_length(source)


def _checked(module, inputs, argument, is_program):
    """The inputs as a tuple, of two signals at least: a batch of one looks like any axis of one element.

    A program keeps the batch that it was exported with.
    """
    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"module must be a torch.nn.Module, a program or its path. Received: {type(module).__name__}")
    inputs = (inputs,) if isinstance(inputs, torch.Tensor) else inputs
    if not isinstance(inputs, (tuple, list)) or not all(isinstance(one, torch.Tensor) for one in inputs) or not inputs:
        raise TypeError(f"{argument} must be a tensor or a tuple of tensors. Received: {inputs!r}")
    if any(one.ndim < 2 or not one.numel() for one in inputs) or len({len(one) for one in inputs}) > 1:
        raise ValueError(
            f"{argument} must have one batch as their first axis, and another axis at least. "
            f"Received: shapes {', '.join(str(list(one.shape)) for one in inputs)}"
        )
    dtypes = {one.dtype for one in (*inputs, *module.parameters(), *module.buffers()) if one.is_floating_point()}
    if dtypes - {torch.float32}:
        raise TypeError(
            "module and its inputs must be in float32: call module.float(). "
            f"Received: {', '.join(sorted(map(str, dtypes)))}"
        )
    if wrong := [name for name, one in module.named_parameters() if not one.isfinite().all()]:
        raise ValueError(f"a module's weights must be finite. Received: NaN or infinity in {', '.join(wrong[:3])}")
    return tuple(torch.cat([one, one]) if len(one) == 1 and not is_program else one for one in inputs)


def _traced(module, inputs, longer):
    """The trace, read at two lengths where the module does the same at both, and the inputs of these lengths."""
    try:
        trace = traced(module, inputs)
    except Untraceable as reason:
        raise ValueError(
            "a module must be traceable by torch.export: no branch may depend on the numbers in a tensor (use "
            "torch.where, or take it out of forward), and nothing but tensors may come in. "
            f"Received: {type(module).__name__}: {reason}"
        ) from reason
    if not longer:
        return trace, []
    try:
        other = traced(module, longer[0])
        times = reach(trace, other)
        if times > 1:  # a window is seen only by what is longer
            times *= longer[0][0].numel() / inputs[0].numel()
            if times > FARTHEST:
                return trace, []
            longer = [lengthened(inputs, longer[0], math.ceil(times) + 1), *longer]
            other = traced(module, longer[0])
        return merged(trace, other), longer
    except Untraceable:
        return traced(module, inputs), []  # it has one length; the first trace was changed


class Translation:
    """Each call of a trace as Keras has it, in turn."""

    def __init__(self, trace, data_format):
        self.trace, self.calls = trace, recognized(trace)
        self._data_format = data_format
        self.building = Building(trace.held)
        self.values = {call: self._input(call) for call in trace.inputs}
        self.inputs = [self.values[call].tensor for call in trace.inputs]
        refused = []
        for call in self.calls:
            try:
                self.values[call] = self._translated(call)
            except Refused as reason:
                refused.append(f"{name_of(call.target)} in {call.path or 'the module itself'}: {reason}")
        if refused:
            raise ValueError(
                "a module's operations must be known to lucid_keras, each at its arguments. "
                f"Received: {'; '.join(dict.fromkeys(refused))}"
            )

    def _translated(self, call):
        function = TABLE.get(name_of(call.target))
        if function is None:
            is_random = torch.Tag.nondeterministic_seeded in getattr(call.target, "tags", ())
            raise Refused("it draws random numbers; make them an input" if is_random else "it has no translation")
        if any(self.values.get(one) is None for one in calls_in((call.args, dict(call.kwargs)))):
            return None  # of what was refused
        args, kwargs = mapped(lambda one: self.values.get(one, one), (call.args, dict(call.kwargs)))
        try:
            return function(self.building.at(call), *args, **kwargs)
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            raise Refused(f"it has no translation at its arguments ({error})") from error

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
        outputs = calls_in(self.trace.outputs)
        if not outputs or any(isinstance(one, Constant) for one in leaves(self.trace.outputs)):
            raise ValueError("what a module gives must depend on its inputs. Received: a module that gives a constant")
        self.out = [(self.values[call], self._axes(call.shape)) for call in outputs]
        tensors = [value.laid_out(axes) for value, axes in self.out]
        inputs = self.inputs
        return keras.Model(
            inputs[0] if len(inputs) == 1 else inputs, tensors[0] if len(tensors) == 1 else tensors, name=name
        )

    def compared(self, model, module, inputs, example):
        """The relative error of the model for such inputs; raises where it is no rounding.

        Which operation differs is looked for with the inputs that the module was traced with.
        """
        try:
            return verified(module, inputs, self.from_keras(model(self.to_keras(inputs), training=False)))
        except DiffersError as reason:
            where = first_different(self, self.to_keras(example), example)
            raise ValueError(
                f"a Keras model must give what its PyTorch module gives. Received: {reason}, for inputs of shapes "
                f"{', '.join(str(list(one.shape)) for one in inputs)}; the first operation that differs: {where}"
            ) from None

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
