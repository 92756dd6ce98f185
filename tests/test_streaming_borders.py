"""Signals that are padded with their first and last sample, chunk by chunk: equal to the bit on whole numbers."""

import keras
import networks
import pytest
import tensorflow as tf
from test_networks import check_eager, check_file, check_jitted

layers, ops = keras.layers, keras.ops
FEW, MANY = range(24), range(2000)
FEW_JITTED, MANY_JITTED = range(2000, 2004), range(2000, 2200)
FEW_FILES, MANY_FILES = range(3000, 3004), range(3000, 3200)


class Replicate(layers.Layer):
    """A signal with its first and last position repeated, which Keras's own operation cannot do on TensorFlow."""

    def __init__(self, before, after, data_format="channels_last", **kwargs):
        super().__init__(**kwargs)
        self.before, self.after, self.axis = before, after, 1 if data_format == "channels_last" else 2

    def call(self, x):
        positions = tf.range(-self.before, tf.shape(x)[self.axis] + self.after)
        return tf.gather(x, tf.clip_by_value(positions, 0, tf.shape(x)[self.axis] - 1), axis=self.axis)

    def compute_output_shape(self, shape):
        shape = list(shape)
        if shape[self.axis] is not None:
            shape[self.axis] += self.before + self.after
        return tuple(shape)

    def streaming_graph(self, x):
        width = [[0, 0]] * 3
        width[self.axis] = [self.before, self.after]
        return ops.pad(x, width, mode="edge")


class Builder(networks.Builder):
    """Random networks in which a layer in two pads so."""

    def replicated(self, x):
        x = Replicate(self.number(0, 5), self.number(0, 5))(x)
        if self.pick(0, 1, 1):
            taps, stride = self.number(1, 6), self.pick(1, 1, 2, 3)
            stride = stride if self.down * stride <= networks.COARSEST else 1
            self.down *= stride
            x = layers.Conv1D(self.number(1, 4), taps, strides=stride, **self.whole(x.shape[-1]))(x)
        return x

    def blocks(self, x):
        """Two positions to one, which a convolution gives side by side."""
        self.up *= 2
        return layers.Reshape((-1, x.shape[-1]))(layers.Conv1D(2 * x.shape[-1], 1, **self.whole(x.shape[-1]))(x))

    def layer(self, x):
        chosen = self.pick(self.replicated, self.replicated, super().layer, super().layer, self.blocks)
        return super().layer(x) if chosen == self.blocks and self.up > 24 else chosen(x)


@pytest.fixture(autouse=True)
def padded(monkeypatch):
    monkeypatch.setattr(networks, "Builder", Builder)


def test_networks():
    for seed in FEW:
        check_eager(seed)


def test_networks_under_xla():
    for seed in FEW_JITTED:
        check_jitted(seed)


def test_networks_as_files(tmp_path):
    for seed in FEW_FILES:
        check_file(seed, tmp_path)


@pytest.mark.sweep
def test_many_networks():
    for seed in MANY:
        check_eager(seed)


@pytest.mark.sweep
def test_many_networks_under_xla():
    for seed in MANY_JITTED:
        check_jitted(seed)


@pytest.mark.sweep
def test_many_networks_as_files(tmp_path):
    for seed in MANY_FILES:
        check_file(seed, tmp_path)
