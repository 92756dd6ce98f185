"""`RepeatedEnds`: padding by the first and the last position, PyTorch's `mode="replicate"`."""

import keras

from lucid_keras._lowering.edges import side_by_side


@keras.saving.register_keras_serializable(package="lucid_keras")
class RepeatedEnds(keras.layers.Layer):
    """`[batch, length, channels]` with so many copies of its first position before it and of its last after it."""

    def __init__(self, before, after, **kwargs):
        super().__init__(**kwargs)
        self.before, self.after = before, after

    def call(self, x):
        # Side by side, not repeated: XNNPACK takes no TILE.
        return side_by_side([*[x[:, :1]] * self.before, x, *[x[:, -1:]] * self.after], axis=1)

    def compute_output_shape(self, input_shape):
        batch, length, channels = input_shape
        return batch, None if length is None else length + self.before + self.after, channels

    def get_config(self):
        return {**super().get_config(), "before": self.before, "after": self.after}
