"""`StreamingConvTranspose1d`: every geometry and every cut gives the whole signal's samples; states and errors."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import CASES, Case
from decoders import time_axis
from hypothesis import given, settings
from streams import DATA_FORMATS, Stream, cut, in_layout, integer_layer, integers, joined, streams, whole_output
from tolerances import relative_tolerance

import lucid_keras as lk


def run(step, streaming, stream, x):
    """The stream's chunks through `step` and the flush, joined, without the latency."""
    state = streaming.initial_state(stream.case.batch)
    pieces = []
    for chunk in cut(x, stream):
        y, state = step(tf.constant(chunk), state)
        assert y.shape[time_axis(stream.data_format)] == length(chunk, stream) * streaming.samples_per_position
        pieces.append(y)
    tail = streaming.flush(state)
    assert tail.shape[time_axis(stream.data_format)] == streaming.flush_length
    return from_sample(streaming.latency, joined([*pieces, tail], stream), stream)


def length(x, stream):
    return x.shape[time_axis(stream.data_format)]


def from_sample(first, y, stream):
    return np.take(y, range(first, length(y, stream)), time_axis(stream.data_format))


def assert_equals_whole(stream, compiled=False):
    layer, x = integer_layer(stream)
    streaming = lk.StreamingConvTranspose1d(layer, trim=stream.trim)
    step = tf.function(streaming.step, jit_compile=True, autograph=False) if compiled else streaming.step
    whole = whole_output(stream, layer, x)
    np.testing.assert_array_equal(run(step, streaming, stream, x), whole)
    if not compiled:
        np.testing.assert_array_equal(streaming.whole(x), whole)
        pieces = list(streaming.stream(iter(cut(x, stream))))
        assert all(length(piece, stream) for piece in pieces)
        np.testing.assert_array_equal(
            joined([from_sample(length(whole, stream), whole, stream), *pieces], stream), whole
        )


@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
@pytest.mark.parametrize("name", CASES)
def test_every_case_is_the_whole_layer_to_the_bit(name, data_format):
    case = CASES[name]
    ones = Stream(case, (1,) * case.length, 0, data_format)
    layer, x = integer_layer(ones)
    streaming = lk.StreamingConvTranspose1d(layer)
    whole = layer(x).numpy()
    for chunks in (ones.chunks, (case.length,), (0, case.length // 2, 0, case.length - case.length // 2, 0)):
        stream = dataclasses.replace(ones, chunks=chunks)
        np.testing.assert_array_equal(run(streaming.step, streaming, stream, x), whole)


@settings(max_examples=120)
@given(streams())
def test_any_stream_is_the_whole_signal(stream):
    assert_equals_whole(stream)


@settings(max_examples=8)
@given(streams(longest_chunk=2, most_chunks=3))
def test_any_stream_is_the_whole_signal_under_xla(stream):
    assert_equals_whole(stream, compiled=True)


@pytest.mark.sweep
@settings(max_examples=2000)
@given(streams())
def test_two_thousand_streams(stream):
    assert_equals_whole(stream)


@pytest.mark.sweep
@pytest.mark.parametrize("data_format", DATA_FORMATS)
@pytest.mark.parametrize("groups", [1, 2, 3])
def test_two_thousand_streams_under_xla(groups, data_format):
    """334 for each of the six."""

    @settings(max_examples=334)
    @given(streams(longest_chunk=2, most_chunks=3, groups=[groups], data_formats=[data_format]))
    def under_xla(stream):
        assert_equals_whole(stream, compiled=True)

    under_xla()


@settings(max_examples=40)
@given(streams())
def test_called_as_a_layer_it_is_a_step(stream):
    layer, x = integer_layer(stream)
    streaming = lk.StreamingConvTranspose1d(layer, trim=stream.trim)

    def called(x, state):
        y, overlap = streaming(x, state["overlap"])
        return y, {"overlap": overlap}

    np.testing.assert_array_equal(run(called, streaming, stream, x), whole_output(stream, layer, x))


@settings(max_examples=40)
@given(streams(longest_chunk=3, fewest=1))
def test_latency_is_true(stream):
    """After n inputs `max(n*stride - latency, 0)` samples are out, and no more could be, whatever is to come.

    More could not be: the next sample depends on the next input, or is not there if the signal ends.
    """
    layer, x = integer_layer(stream)
    streaming = lk.StreamingConvTranspose1d(layer, trim=stream.trim)
    state, inputs, given = streaming.initial_state(stream.case.batch), 0, 0
    for chunk in cut(x, stream):
        y, state = streaming.step(chunk, state)
        inputs, given = inputs + length(chunk, stream), given + length(y, stream)
        out = max(given - streaming.latency, 0)
        ends_at = inputs * layer.stride + layer.geometry.length_offset - stream.trim
        next_input_reaches = inputs * layer.stride - layer.padding
        assert out == max(min(ends_at, next_input_reaches), 0)


@pytest.mark.parametrize(
    ("case", "trim", "latency", "state_length", "flush_length"),
    [
        (Case(1, 1, 10, stride=5), 5, 0, 5, 0),  # EnCodec and Mimi: K - s on the right
        (Case(1, 1, 10, stride=5), 0, 0, 5, 5),
        (Case(1, 1, 16, stride=8, padding=4), 0, 4, 8, 4),  # HiFi-GAN
        (Case(1, 1, 2, stride=5), 0, 3, 0, 0),  # nothing overlaps; the last block ends 3 samples early
        (Case(1, 1, 3, stride=2, padding=5), 0, 9, 5, 0),  # the end is cut deeper than the overlap reaches
        (Case(1, 1, 3, stride=7, output_padding=6), 0, 0, 0, 2),
    ],
)
def test_lengths_of_known_geometries(case, trim, latency, state_length, flush_length):
    streaming = lk.StreamingConvTranspose1d(lk.ConvTranspose1d(**case.layer_arguments), trim=trim)
    assert (streaming.latency, streaming.state_length, streaming.flush_length) == (latency, state_length, flush_length)
    state = streaming.initial_state(batch=3)
    assert state["overlap"].shape == (3, *streaming.state_shapes["overlap"]) == (3, 1, state_length)


@settings(max_examples=60)
@given(streams())
def test_no_sample_of_the_state_is_idle(stream):
    """Its last has been written by the last tap, and each of them is heard in what follows."""
    layer, x = integer_layer(stream)
    layer.weight.assign(tf.ones_like(layer.weight))
    streaming = lk.StreamingConvTranspose1d(layer, trim=stream.trim)
    _, state = streaming.step(np.ones_like(x), streaming.initial_state(stream.case.batch))
    overlap = np.asarray(state["overlap"])
    assert length(overlap, stream) == streaming.state_length
    assert np.all(from_sample(max(streaming.state_length - 1, 0), overlap, stream))
    silence = in_layout(np.zeros((stream.case.batch, layer.in_channels, 40), "float32"), stream.data_format)
    distinct = 1 + np.arange(overlap.size, dtype="float32").reshape(overlap.shape)
    with_it, _ = streaming.step(silence, {"overlap": overlap + distinct})
    without, _ = streaming.step(silence, state)
    changed = np.asarray(with_it - without)
    assert sorted(changed[changed != 0]) == distinct.ravel().tolist()


def test_floats_agree_within_rounding(rng):
    case = CASES["hifigan_up"]
    layer = lk.ConvTranspose1d(**case.layer_arguments)
    stream = Stream(case, (1, 3, 2, 1))
    x = rng.standard_normal((case.batch, case.in_channels, case.length)).astype("float32")
    whole = layer(x).numpy()
    streaming = lk.StreamingConvTranspose1d(layer)
    terms = case.in_channels * case.kernel_size
    error = np.abs(run(streaming.step, streaming, stream, x) - whole).max()
    assert error <= relative_tolerance("float32", terms) * np.abs(whole).max()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_states_and_samples_have_the_compute_dtype(dtype):
    layer = lk.ConvTranspose1d(2, 3, 4, stride=2, dtype=dtype)
    streaming = lk.StreamingConvTranspose1d(layer)
    state = streaming.initial_state(2)
    y, state = streaming.step(np.ones([2, 2, 3]), state)
    assert y.dtype == state["overlap"].dtype == streaming.flush(state).dtype == streaming.compute_dtype == dtype


def test_mixed_precision_streams_in_the_compute_dtype():
    streaming = lk.StreamingConvTranspose1d(lk.ConvTranspose1d(2, 3, 4, stride=2, dtype="mixed_float16"))
    state = streaming.initial_state()
    y, _ = streaming.step(tf.ones([1, 2, 3]), state)
    assert y.dtype == state["overlap"].dtype == streaming.compute_dtype == "float16"


def test_unbatched_streams():
    layer = lk.ConvTranspose1d(2, 3, 5, stride=2, padding=1)
    streaming = lk.StreamingConvTranspose1d(layer)
    chunks = np.split(integers(0, 2, 6), [1, 4], axis=1)
    state, pieces = streaming.initial_state(batch=None), []
    for chunk in chunks:
        y, state = streaming.step(chunk, state)
        pieces.append(y)
    for streamed in ([*pieces, streaming.flush(state)], list(streaming.stream(chunks))):
        y = np.concatenate(streamed, axis=1)
        np.testing.assert_allclose(y[:, y.shape[1] - 13 :], layer(np.concatenate(chunks, axis=1)), atol=1e-5)


def test_a_chunk_of_unknown_length():
    layer, x = integer_layer(Stream(Case(2, 3, 5, stride=2, batch=1, padding=2), (4,)))
    streaming = lk.StreamingConvTranspose1d(layer)
    state, pieces = streaming.initial_state(), []
    step = tf.function(streaming.step, autograph=False)
    step = step.get_concrete_function(tf.TensorSpec([1, 2, None]), state)
    for chunk in np.split(x, [0, 1, 3], axis=2):
        y, state = step(tf.constant(chunk), state)
        pieces.append(y)
    whole = np.concatenate([*pieces, streaming.flush(state)], axis=2)[:, :, streaming.latency :]
    np.testing.assert_array_equal(whole, layer(x))


@pytest.mark.parametrize("chunks", [[], [np.zeros((1, 2, 0))], [np.zeros((1, 2, 0))] * 3])
def test_an_empty_stream_has_no_output(chunks):
    streaming = lk.StreamingConvTranspose1d(lk.ConvTranspose1d(2, 3, 5, stride=2))
    assert list(streaming.stream(chunks)) == []


def test_rows_are_reset_alone():
    stream = Stream(Case(2, 3, 10, stride=5, batch=2), (2, 2), trim=5)
    layer, x = integer_layer(stream)
    streaming = lk.StreamingConvTranspose1d(layer, trim=5)
    early, late = cut(x, stream)
    _, state = streaming.step(early, streaming.initial_state(2))
    y, _ = streaming.step(late, streaming.reset(state, [False, True]))
    np.testing.assert_array_equal(y[0], layer(x)[0, :, 10:20])
    np.testing.assert_array_equal(y[1], layer(late)[1, :, :10])


def test_inside_a_keras_model_it_shares_the_weights_and_saves(tmp_path):
    layer = lk.ConvTranspose1d(2, 3, 4, stride=2, data_format="channels_last")
    streaming = lk.StreamingConvTranspose1d(layer)
    x, overlap = keras.Input((None, 2)), keras.Input((2, 3))
    model = keras.Model([x, overlap], streaming(x, overlap))
    assert streaming.layer.weight is layer.weight
    inputs = [integers(0, 1, 5, 2), integers(1, 1, 2, 3)]
    y, tail = model(inputs)
    assert y.shape == (1, 10, 3)
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    for ours, theirs in zip((y, tail), restored(inputs), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"layer": keras.layers.Dense(2)}, TypeError, "layer must be a ConvTranspose1d. Received: layer=<Dense"),
        ({"trim": -1}, ValueError, "trim must be at least 0 samples. Received: trim=-1"),
        ({"trim": 1.5}, TypeError, "trim must be an int. Received: trim=1.5"),
    ],
)
def test_refuses_what_it_cannot_wrap(arguments, error, message):
    with pytest.raises(error, match=message):
        lk.StreamingConvTranspose1d(**{"layer": lk.ConvTranspose1d(1, 1, 3)} | arguments)
