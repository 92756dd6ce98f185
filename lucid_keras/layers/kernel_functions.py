"""Initializers, regularizers and constraints for Keras's kernel `[taps, filters, channels]`, applied to our weight.

Some of them look at axes, as `MaxNorm` and the initializers that count fans do; so each is given the kernel as Keras
has it, without the zero taps that `from_keras` put before its first.
"""

import keras
from keras import ops


def to_weight(kernel, added):
    """The weight `[channels, filters, taps]` of a kernel, with so many zero taps before its first."""
    return ops.pad(ops.transpose(kernel, (2, 1, 0)), [(0, 0), (0, 0), (added, 0)])


def to_kernel(weight, added):
    """The kernel that `to_weight` made the weight of."""
    return ops.transpose(weight[:, :, added:], (2, 1, 0))


class _OfKernel:
    """A function of a kernel, or None, and the number of taps added before the first."""

    def __init__(self, function, added=0):
        self.function = keras.saving.deserialize_keras_object(function) if isinstance(function, dict) else function
        self.added = added

    def get_config(self):
        return {"function": keras.saving.serialize_keras_object(self.function), "added": self.added}


@keras.saving.register_keras_serializable(package="lucid_keras")
class KernelInitializer(_OfKernel, keras.Initializer):
    def __call__(self, shape, dtype=None):
        channels, filters, taps = shape
        return to_weight(self.function((taps - self.added, filters, channels), dtype=dtype), self.added)


@keras.saving.register_keras_serializable(package="lucid_keras")
class KernelRegularizer(_OfKernel, keras.Regularizer):
    def __call__(self, weight):
        return self.function(to_kernel(weight, self.added))


@keras.saving.register_keras_serializable(package="lucid_keras")
class KernelConstraint(_OfKernel, keras.constraints.Constraint):
    """The constraint of the kernel, if there is one; the added taps stay zero."""

    def __call__(self, weight):
        kernel = to_kernel(weight, self.added)
        return to_weight(kernel if self.function is None else self.function(kernel), self.added)
