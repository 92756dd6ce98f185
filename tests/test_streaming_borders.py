"""Signals that are padded with their first and last sample, chunk by chunk: equal to the bit on whole numbers."""

import keras
import networks
import numpy as np
import pytest
import tensorflow as tf
from test_networks import check_eager, check_file, check_jitted

import lucid_keras as lk

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


@keras.saving.register_keras_serializable(package="test")
class Smoothed(layers.Layer):
    """A mean of three positions, of which the ends are repeated; in a stream by a layer that is new there."""

    def call(self, x):
        x = tf.concat([x[:, :1], x, x[:, -1:]], axis=1)
        return (x[:, :-2] + x[:, 1:-1] + x[:, 2:]) / 3

    def streaming_graph(self, x):
        third = keras.initializers.Constant(1 / 3)
        mean = layers.DepthwiseConv1D(3, depthwise_initializer=third, use_bias=False)
        return mean(ops.pad(x, [[0, 0], [1, 1], [0, 0]], mode="edge"))


def test_weights_that_are_new_in_a_graph_are_kept(tmp_path, rng):
    frames = keras.Input((None, 2))
    decoder = keras.Model(frames, layers.Conv1D(3, 3, padding="same")(Smoothed()(frames)))
    streaming = lk.StreamingModel(decoder)
    assert (streaming.latency, len(decoder.weights)) == (2, 2)
    x = rng.standard_normal((1, 9, 2)).astype("float32")
    streaming.save(tmp_path / "live.keras")
    for one in (streaming, keras.saving.load_model(tmp_path / "live.keras")):
        live = np.concatenate(list(one.stream(np.split(x, 3, axis=1))), axis=1)
        np.testing.assert_allclose(live, decoder(x), atol=1e-5)
    report = lk.export.streaming_to_saved_model(streaming, tmp_path / "live", timing_seconds=0)
    assert report.snr_db > report.floor_db


def test_a_border_that_nothing_fills_in_waits(rng):
    """At the end, after another kind of layer or one that sees less: the border comes with the first sample."""
    frames = keras.Input((None, 2))
    x = Replicate(3, 1)(frames)
    for output, latency in ((x, 0), (layers.ReLU()(x), 0), (layers.Conv1D(1, 2)(x), 0), (layers.Conv1D(1, 6)(x), 2)):
        streaming = lk.StreamingModel(keras.Model(frames, output))
        signal = rng.standard_normal((1, 4, 2)).astype("float32")
        live = np.concatenate(list(streaming.stream(np.split(signal, 4, axis=1))), axis=1)
        np.testing.assert_allclose(live, streaming.whole(signal), atol=1e-5)
        assert streaming.latency == latency
