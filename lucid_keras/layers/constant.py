"""`WithConstant`: an operation of a signal and a weight, where PyTorch uses a parameter directly."""

import keras
from keras import ops

OPERATIONS = ("add", "subtract", "multiply", "divide", "maximum", "minimum", "power")


@keras.saving.register_keras_serializable(package="lucid_keras")
class WithConstant(keras.layers.Layer):
    """`operation(x, weight)`, or with `swapped` `operation(weight, x)`: a layer scale, a mean, the slope of a line.

    The weight has a checkpoint's shape, to which axes of one element are prepended as PyTorch does; its axes are then
    put in the order `axes`, that of `x`.
    """

    def __init__(self, operation, shape, axes, weight_name="value", swapped=False, **kwargs):
        super().__init__(**kwargs)
        self.operation, self.shape, self.axes = operation, tuple(shape), tuple(axes)
        self.weight_name, self.swapped = weight_name, swapped

    def build(self, _):
        self.value = self.add_weight(
            name=self.weight_name, shape=self.shape, initializer="zeros", trainable=self.trainable
        )

    def call(self, x):
        full = (1,) * (len(self.axes) - len(self.shape)) + self.shape
        value = ops.transpose(ops.reshape(ops.cast(self.value, self.compute_dtype), full), self.axes)
        return getattr(ops, self.operation)(*((value, x) if self.swapped else (x, value)))

    def compute_output_shape(self, input_shape):
        full = (1,) * (len(self.axes) - len(self.shape)) + self.shape
        sizes = [full[axis] for axis in self.axes]
        return tuple(size if held == 1 else held for size, held in zip(input_shape, sizes, strict=True))

    def get_config(self):
        return {
            **super().get_config(),
            "operation": self.operation,
            "shape": self.shape,
            "axes": self.axes,
            "weight_name": self.weight_name,
            "swapped": self.swapped,
        }
