"""Signals that are padded with their first and last sample, chunk by chunk: equal to the bit on whole numbers."""

import keras
import networks
import numpy as np
import pytest
import tensorflow as tf

import lucid_keras as lk

layers, ops = keras.layers, keras.ops
FEW, MANY = range(60), range(2000)
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


def network(seed, integers=False, dtype="float64"):
    """The network of a seed, all of whose layers have one dtype: Keras remembers the first that it was asked for."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32" if integers else dtype)
    try:
        return networks.network(seed, integers, dtype=dtype)
    finally:
        keras.config.set_dtype_policy(before)


def signal(net, batch, whole_numbers):
    rng, (spec,) = np.random.default_rng(net.positions), net.decoder.inputs
    shape = (batch, net.positions, spec.shape[-1])
    numbers = rng.integers(-3, 4, shape) if whole_numbers else rng.standard_normal(shape)
    return numbers.astype(spec.dtype)


def streamed(streaming, x, chunks, step=None, flush=None):
    state, pieces = streaming.initial_state(len(x)), []
    for chunk in np.split(x, np.cumsum(chunks)[:-1], axis=1):
        y, state = (step or streaming.step)(tf.constant(chunk), state)
        pieces.append(y)
    if streaming.flush_length:
        pieces.append((flush or streaming.flush)(state))
    return np.concatenate(pieces, axis=1)[:, streaming.latency :]


def check_eager(seed):
    whole_numbers = seed % 4 > 0
    net = network(seed, whole_numbers)
    x, streaming = signal(net, 2, whole_numbers), lk.StreamingModel(net.decoder)
    y, whole = streamed(streaming, x, net.chunks), net.decoder(x).numpy()
    assert y.shape == whole.shape, f"seed {seed}"
    if whole_numbers:
        assert np.array_equal(y, whole), f"seed {seed}"
    else:
        assert np.abs(y - whole).max() <= 1e-6 * np.abs(whole).max(), f"seed {seed}"


def check_jitted(seed):
    net = network(seed, integers=True)
    x, streaming = signal(net, 2, True), lk.StreamingModel(net.decoder)
    step, flush = (tf.function(one, jit_compile=True, autograph=False) for one in (streaming.step, streaming.flush))
    grain = streaming.granularity
    y = streamed(streaming, x, [grain] * (net.positions // grain), step, flush)
    assert np.array_equal(y, net.decoder(x).numpy()), f"seed {seed}"


def check_file(seed, folder):
    net = network(seed, dtype="float32")
    streaming = lk.StreamingModel(net.decoder)
    options = {"chunk": streaming.granularity * (1 + seed % 3), "batch": 1 + seed % 2, "timing_seconds": 0}
    report = lk.export.streaming_to_tflite(streaming, folder / f"{seed}.tflite", **options)
    assert report.snr_db > report.floor_db, f"seed {seed}"


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
