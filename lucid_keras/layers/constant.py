"""`WithConstant`: an operation of a signal and a weight, where PyTorch uses a parameter directly."""

import itertools

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="lucid_keras")
class WithConstant(keras.layers.Layer):
    """`operation(x, weight)`, or with `swapped` `operation(weight, x)`: a layer scale, a mean, the slope of a line.

    The weight has a checkpoint's shape, to which axes of one element are prepended as PyTorch does; its axes are then
    put in the order `axes`, that of `x`. The layer's name is the weight's in the checkpoint.

    Axes of one element that come first then are left out: a converter that takes a product into the layer before it
    makes a bias of it, and XNNPACK's integers have biases of one axis.
    """

    def __init__(self, operation, shape, axes, swapped=False, **kwargs):
        super().__init__(**kwargs)
        self.operation, self.shape, self.axes, self.swapped = operation, tuple(shape), tuple(axes), swapped

    def build(self, _):
        self.value = self.add_weight(name="value", shape=self.shape, initializer="zeros")

    @property
    def _full_shape(self):
        return (1,) * (len(self.axes) - len(self.shape)) + self.shape

    @property
    def _sizes(self):
        return [self._full_shape[axis] for axis in self.axes]

    def call(self, x):
        value = ops.transpose(ops.reshape(ops.cast(self.value, self.compute_dtype), self._full_shape), self.axes)
        value = ops.reshape(value, list(itertools.dropwhile(lambda size: size == 1, self._sizes)))
        return getattr(ops, self.operation)(*((value, x) if self.swapped else (x, value)))

    def compute_output_shape(self, input_shape):
        return tuple(size if held == 1 else held for size, held in zip(input_shape, self._sizes, strict=True))

    def get_config(self):
        return {
            **super().get_config(),
            "operation": self.operation,
            "shape": self.shape,
            "axes": self.axes,
            "swapped": self.swapped,
        }
