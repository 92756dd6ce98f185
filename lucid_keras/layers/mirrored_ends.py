"""`MirroredEnds`: padding by what lies beside the first and the last position, PyTorch's `mode="reflect"`."""

import keras
import tensorflow as tf
from keras import ops

from lucid_keras._lowering.edges import side_by_side

FEW = 16  # positions that are slices of their own


@keras.saving.register_keras_serializable(package="lucid_keras")
class MirroredEnds(keras.layers.Layer):
    """`[batch, length, channels]`, of which so many positions are mirrored at the first one and at the last.

    The length must be more than either of them.
    """

    def __init__(self, before, after, **kwargs):
        super().__init__(**kwargs)
        self.before, self.after = before, after

    def call(self, x):
        batch, length, channels = x.shape
        if length is not None and length <= max(self.before, self.after):
            raise ValueError(
                f"{self.before} and {self.after} positions are mirrored of a signal that has more. "
                f"Received: an input of shape {list(x.shape)}"
            )
        if self.before + self.after > FEW or (length is None and self.after):
            return ops.pad(x, [[0, 0], [self.before, self.after], [0, 0]], mode="reflect")
        # Single positions side by side: XNNPACK takes no MIRROR_PAD. A slice beyond the signal is an error.
        one = [-1 if batch is None else batch, 1, channels]
        places = [*range(self.before, 0, -1)], [length - 2 - index for index in range(self.after)]
        first, last = ([tf.slice(x, [0, place, 0], one) for place in some] for some in places)
        return side_by_side([*first, x, *last], axis=1)

    def compute_output_shape(self, input_shape):
        batch, length, channels = input_shape
        return batch, None if length is None else length + self.before + self.after, channels

    def get_config(self):
        return {**super().get_config(), "before": self.before, "after": self.after}
