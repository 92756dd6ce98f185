"""`Scale`: each channel by its own factor, as ConvNeXt blocks and transformers scale their branches."""

import keras


class Scale(keras.layers.Layer):
    """`x * scale` for each channel of `[batch, length, channels]`."""

    def build(self, shape):
        self.scale = self.add_weight(name="scale", shape=shape[-1:], initializer="ones")

    def call(self, x):
        return x * self.scale
