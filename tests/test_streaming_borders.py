"""Signals that are padded with their first and last sample: who fills their borders in, and what is new for that."""

import keras
import numpy as np
import tensorflow as tf
from networks import Replicate

import lucid_keras as lk

layers, ops = keras.layers, keras.ops


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
