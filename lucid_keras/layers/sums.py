"""Sums as they are meant: Keras (3.15) takes a tensor with one extent above 1 for a bias.

`keras.ops.add(x, y)` of one signal `y [1, length, 1]` becomes a BiasAdd over the axis of `x` that is as long, the
channels' if both are: other numbers than with a batch of two, and an operation that LiteRT does not convert.
"""

import functools
import operator

import keras


def plain_sum(operation):
    """What computes the same as an operation of Keras that sums, by additions alone; None of any other operation."""
    kind = type(operation)
    if kind is keras.layers.Add:
        return lambda inputs: _sum(operation, inputs)
    if kind is keras.layers.Average:
        return lambda inputs: _sum(operation, inputs) / len(inputs)
    if kind.__name__ == "Add" and kind.__module__.startswith("keras."):
        call = operation.call  # as it is now: an export puts its own in its place
        return lambda x1, x2: x1 + x2 if _alike(x1, x2) else call(x1, x2)
    return None


def _sum(layer, inputs):
    return functools.reduce(operator.add, [keras.ops.cast(one, layer.compute_dtype) for one in inputs])


def _alike(x1, x2):
    """Whether TensorFlow adds them as Keras does, which promotes dtypes."""
    return getattr(x1, "dtype", None) == getattr(x2, "dtype", 0)
