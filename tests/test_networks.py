"""Random decoders chunk by chunk equal the whole decode: to the bit on integers, in eager mode, under XLA, in files.

`make sweep` runs 2,000 in eager mode, 500 as LiteRT files and 300 under XLA, and as many with borders that repeat the
ends; the seeds are those of the ranges below.
"""

import numpy as np
import pytest
import tensorflow as tf
from networks import Bordered, Builder, network

import lucid_keras as lk

FEW, MANY = range(24), range(2000)
FEW_JITTED, MANY_JITTED = range(2000, 2004), range(2000, 2300)
FEW_FILES, MANY_FILES = range(3000, 3005), range(3000, 3500)
KINDS = pytest.mark.parametrize("kind", [Builder, Bordered])


def signal(net, batch, integers):
    rng = np.random.default_rng(net.positions)
    shape = (batch, net.positions, net.spec.shape[-1])
    numbers = rng.integers(-3, 4, shape) if integers else rng.standard_normal(shape)
    return numbers.astype(net.spec.dtype)


def streamed(net, streaming, x, chunks, step=None, flush=None):
    """The chunks of a signal and its end, less the latency, and that each gives as many samples as it says."""
    state, pieces = streaming.initial_state(len(x)), []
    for chunk in np.split(x, np.cumsum(chunks)[:-1], axis=1):
        y, state = (step or streaming.step)(net.given(chunk), state)
        assert y.shape[1] == chunk.shape[1] * streaming.samples_per_position
        pieces.append(y)
    if streaming.flush_length:
        pieces.append((flush or streaming.flush)(state))
        assert pieces[-1].shape[1] == streaming.flush_length
    return np.concatenate(pieces, axis=1)[:, streaming.latency :]


def check_eager(seed, kind):
    integers = seed % 4 > 0
    net = network(seed, integers, kind=kind)
    x = signal(net, 2, integers)
    streaming = lk.StreamingModel(net.decoder)
    y, whole = streamed(net, streaming, x, net.chunks), net.whole(x)
    assert y.shape == whole.shape
    if integers:
        assert np.array_equal(y, whole), f"seed {seed}"
    else:
        assert np.abs(y - whole).max() <= 1e-6 * np.abs(whole).max(), f"seed {seed}"


def check_jitted(seed, kind):
    net = network(seed, integers=True, kind=kind)
    x, streaming = signal(net, 2, True), lk.StreamingModel(net.decoder)
    step, flush = (tf.function(one, jit_compile=True, autograph=False) for one in (streaming.step, streaming.flush))
    grain = streaming.granularity
    y = streamed(net, streaming, x, [grain] * (net.positions // grain), step, flush)
    assert np.array_equal(y, net.whole(x)), f"seed {seed}"


def check_file(seed, kind, folder):
    """The export proves the file, whole signals and streams begun anew; all that is left is to export it.

    A network that ends in a norm over one channel gives zeros whatever it hears: an export refuses it.
    """
    net = network(seed, dtype="float32", kind=kind)
    if not net.whole(signal(net, 2, integers=False)).any():
        return
    streaming = lk.StreamingModel(net.decoder)
    options = {"chunk": streaming.granularity * (1 + seed % 3), "batch": 1 + seed % 2, "timing_seconds": 0}
    if seed % 5 == 0 and streaming.state_shapes:
        options["states"] = "variables"
    report = lk.export.streaming_to_tflite(streaming, folder / f"{seed}.tflite", **options)
    assert report.snr_db > report.floor_db, f"seed {seed}"


@KINDS
def test_networks(kind):
    for seed in FEW:
        check_eager(seed, kind)


@KINDS
def test_networks_under_xla(kind):
    for seed in FEW_JITTED:
        check_jitted(seed, kind)


@KINDS
def test_networks_as_files(tmp_path, kind):
    for seed in FEW_FILES:
        check_file(seed, kind, tmp_path)


@pytest.mark.sweep
@KINDS
def test_many_networks(kind):
    for seed in MANY:
        check_eager(seed, kind)


@pytest.mark.sweep
@KINDS
def test_many_networks_under_xla(kind):
    for seed in MANY_JITTED:
        check_jitted(seed, kind)


@pytest.mark.sweep
@KINDS
def test_many_networks_as_files(tmp_path, kind):
    for seed in MANY_FILES:
        check_file(seed, kind, tmp_path)
