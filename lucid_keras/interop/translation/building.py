"""What translations build with: layers under PyTorch's names, filled with PyTorch's arrays."""

import re
from collections.abc import Mapping

import keras
import numpy as np
import torch

from lucid_keras.interop.layouts import slots_of
from lucid_keras.interop.translation.trace import Call, Constant, Extent
from lucid_keras.interop.translation.values import Refused, Value
from lucid_keras.layers.constant import WithConstant

# Of a parameter's name what follows its module's.
PART = re.compile(r"\.?(parametrizations\.\w+\.original\d+|\w+)$")


class Building:
    """The layers made so far, by what they are: a module that is called twice is one layer that is called twice."""

    def __init__(self, held: Mapping):
        self.held = held
        self._names: dict[str, int] = {}
        self._layers: dict = {}

    def at(self, call: Call) -> "Site":
        return Site(self, call)

    def unique(self, name: str) -> str:
        """A name that no layer has yet."""
        self._names[name] = count = self._names.get(name, -1) + 1
        return name if count == 0 else self.unique(f"{name}_{count}")

    def layer(self, kind, name, arrays, arguments) -> "Filled":
        """The layer of these arguments and weights; if there is none, it is made."""
        for arrays_there, arguments_there, layer in self._layers.get((kind, name), ()):
            alike = arguments_there == arguments and arrays_there.keys() == arrays.keys()
            if alike and all(torch.equal(arrays[entry], arrays_there[entry]) for entry in arrays):
                return layer
        layer = Filled(kind(**arguments, name=self.unique(name)), arrays)
        self._layers.setdefault((kind, name), []).append((arrays, arguments, layer))
        return layer


class Filled:
    """A layer that gets its weights when it is called first."""

    def __init__(self, layer, arrays):
        self._layer, self._arrays, self._is_filled = layer, arrays, False

    def __call__(self, *inputs):
        y = self._layer(*inputs)
        if not self._is_filled:
            fill(self._layer, self._arrays)
            self._is_filled = True
        return y


class Site:
    """Where an operation is called: what it gives, and the layers for it."""

    def __init__(self, building: Building, call: Call):
        self.building, self.call, self.shape = building, call, call.shape

    def shape_of(self, argument: int = 0) -> tuple:
        """PyTorch's shape of an argument."""
        return self.call.args[argument].shape

    def named(self, kind: str, *constants: Constant | None) -> str:
        """The name of the module whose parameters these are; without any, that of the module that calls."""
        names = sorted(name for one in constants if one is not None for name in one.names)
        path = PART.sub("", names[0]) if names else self.call.path
        return path or kind

    def trained(self, *constants: Constant) -> bool:
        """Whether any of these is made of a parameter that PyTorch trains."""
        return any(self.building.held[name].requires_grad for one in constants for name in one.names)

    def weighted(self, kind, entries: Mapping[str, Constant | None], *inputs, suffix="", **arguments):
        """What a layer gives, whose weights are these, under PyTorch's names in PyTorch's layout."""
        given = {entry: fixed(constant) for entry, constant in entries.items() if constant is not None}
        name = self.named(kind.__name__.lower(), *given.values()) + suffix
        arrays = {entry: one.array for entry, one in given.items()}
        if not self.trained(*given.values()):  # as a filter that a module computes
            arguments["trainable"] = False
        return self.building.layer(kind, name, arrays, arguments)(*inputs)

    def with_constant(self, operation: str, value: Value, constant: Constant, swapped: bool) -> Value:
        """An operation of a value and a parameter, or what torch made of parameters."""
        array = fixed(constant).array
        if array.ndim > value.rank:
            raise Refused("its constant has more axes than its input")
        name = next(iter(constant.names)) if constant.is_named else f"{self.call.path}.{self.call.name}".lstrip(".")
        options = {"operation": operation, "shape": tuple(array.shape), "axes": value.axes, "swapped": swapped}
        options["trainable"] = self.trained(constant)
        return value.of(self.building.layer(WithConstant, name, {"": array}, options)(value.tensor))


def fixed(constant: Constant) -> Constant:
    """A constant that does not depend on the length."""
    if constant.longer is not None:
        raise Refused(f"a tensor computed from the length: {list(constant.array.shape)}, {list(constant.longer.shape)}")
    return constant


def integer(number: int | Extent) -> int:
    """A number that does not depend on the length."""
    if isinstance(number, Extent):
        raise Refused(f"a number computed from the length: {number.shorter}, {number.longer}")
    return number


def fill(layer: keras.Layer, arrays: Mapping) -> None:
    """Give a built layer PyTorch's arrays, by the names of a state dict's entries."""
    for slot in slots_of(layer):
        slot.variable.assign(slot.from_torch(*(np.asarray(arrays[name].detach().numpy()) for name in slot.shapes)))
