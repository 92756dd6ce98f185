"""A Keras tensor with the order that its dimensions lie in, so that turning costs nothing until somebody looks."""

import dataclasses
import math
from collections.abc import Sequence

import keras

from lucid_keras.interop.translation.trace import Extent

CHANNELS_LAST = (0, 2, 1)


class Refused(ValueError):  # noqa: N818  read as: the operation is refused
    """Why an operation has no translation, at the arguments that it has."""


@dataclasses.dataclass(frozen=True, eq=False)
class Value:
    """A tensor whose dimension `i` is PyTorch's dimension `axes[i]`, the batch first.

    `whole` is what a reshape cut this from, and its shape: joined again, it is that.
    """

    tensor: keras.KerasTensor
    axes: tuple[int, ...]
    whole: "tuple[Value, tuple] | None" = None

    @property
    def rank(self) -> int:
        return len(self.axes)

    def place(self, dim: int) -> int:
        """Where PyTorch's dimension lies."""
        return self.axes.index(dim % self.rank)

    def laid_out(self, axes: Sequence[int]) -> keras.KerasTensor:
        """The tensor with its dimensions in another order."""
        if tuple(axes) == self.axes:
            return self.tensor
        if axes[0] != self.axes[0]:
            raise Refused("it needs the batch elsewhere than first")
        return keras.layers.Permute([self.axes.index(axis) for axis in axes[1:]])(self.tensor)

    def channels_last(self) -> keras.KerasTensor:
        """The tensor of a signal, `[batch, channels, length]` in PyTorch, as convolutions take it."""
        if self.rank != 3:
            raise Refused(f"a signal must be [batch, channels, length]; it has {self.rank} axes")
        return self.laid_out(CHANNELS_LAST)

    def ending_with(self, dim: int) -> tuple[keras.KerasTensor, tuple[int, ...]]:
        """The tensor with a dimension last, and the order of all."""
        last = dim % self.rank
        axes = (*(axis for axis in self.axes if axis != last), last)
        return self.laid_out(axes), axes

    def turned(self, dims: Sequence[int]) -> "Value":
        """What `permute(dims)` makes of it."""
        dims = [dim % self.rank for dim in dims]
        return dataclasses.replace(self, axes=tuple(dims.index(axis) for axis in self.axes))

    def of(self, tensor: keras.KerasTensor) -> "Value":
        """Another tensor that lies as this one."""
        return Value(tensor, self.axes)


def unsqueezed(value: Value, dim: int) -> Value:
    """An axis of one element put in as PyTorch's `dim`."""
    dim %= value.rank + 1
    axes = (*(axis + (axis >= dim) for axis in value.axes), dim)
    return Value(keras.ops.expand_dims(value.tensor, -1), axes)


def without(value: Value, dim: int, tensor: keras.KerasTensor) -> Value:
    """A tensor that lies as a value does, without its dimension `dim`."""
    dim %= value.rank
    return Value(tensor, tuple(axis - (axis > dim) for axis in value.axes if axis != dim))


def reshaped(value: Value, before: tuple, after: tuple) -> Value:
    """A value of the shape `before` cut or joined to the shape `after`, both PyTorch's.

    What keeps a dimension's place is cut there, whichever way it lies; what joins needs PyTorch's order.
    """
    if before == after:
        return value
    groups = _groups(before, after)
    if any(len(one) != 1 for one in groups[0]):
        raise Refused(f"it joins the batch with another axis: {_spelled(before)} to {_spelled(after)}")
    if sum(isinstance(size, Extent) for size in after) > 1:
        raise Refused(f"it makes two axes that depend on the length: {_spelled(after)}")
    if value.whole and value.whole[1] == after and value.axes == _cut(value.whole[0].axes, groups):
        return value.whole[0]
    joins = any(len(old) > 1 for old, _ in groups)
    if joins:
        if value.axes[0] != 0:
            raise Refused("it needs the batch elsewhere than first")
        value = Value(value.laid_out(range(value.rank)), tuple(range(value.rank)))
    cut = {old[0]: new for old, new in groups}
    axes = tuple(new for axis in value.axes for new in cut.get(axis, ()))
    tensor = keras.layers.Reshape([-1 if isinstance(after[one], Extent) else after[one] for one in axes[1:]])(
        value.tensor
    )
    return Value(tensor, axes, None if joins else (value, before))


def _cut(axes, groups):
    """The order of the dimensions that are joined in these groups, had they been cut from dimensions in this order."""
    return tuple(axis for dim in axes for axis in groups[dim][0])


def _groups(before: tuple, after: tuple) -> list[tuple[list[int], list[int]]]:
    """The dimensions of either shape in the least groups that hold equally many elements, at both lengths."""
    groups, i, j = [], 0, 0
    while i < len(before) and j < len(after):
        old, new = [i], [j]
        while (here := _size(before, old)) != (there := _size(after, new)):
            shorter, shape = (old, before) if here < there else (new, after)
            if shorter[-1] + 1 == len(shape):
                raise Refused(f"it reshapes {_spelled(before)} to {_spelled(after)}")
            shorter.append(shorter[-1] + 1)
        groups.append((old, new))
        i, j = old[-1] + 1, new[-1] + 1
    groups[-1][0].extend(range(i, len(before)))  # axes of one element
    groups[-1][1].extend(range(j, len(after)))
    return groups


def _size(shape, dims):
    return tuple(math.prod(at(shape[dim], length) for dim in dims) for length in range(2))


def at(size: int | Extent, length: int) -> int:
    """A size at the shorter length, 0, or the longer, 1."""
    return (size.shorter, size.longer)[length] if isinstance(size, Extent) else size


def _spelled(shape):
    return "[" + ", ".join("length" if isinstance(one, Extent) else str(one) for one in shape) + "]"
