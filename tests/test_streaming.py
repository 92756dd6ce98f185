"""`StreamingConvTranspose1d`: every geometry and every cut gives the whole signal's samples; states and errors."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import CASES, Case
from hypothesis import given, settings
from streams import DATA_FORMATS, Stream, cut, integer_layer, integers, joined, streams, whole_output
from tolerances import relative_tolerance

import lucid_keras as lk


def run(step, streaming, stream, x):
    """The stream's chunks through `step` and the flush, joined."""
    state = streaming.initial_state(stream.case.batch)
    pieces = []
    for chunk in cut(x, stream):
        y, state = step(tf.constant(chunk), state)
        pieces.append(y)
    return joined([*pieces, streaming.flush(state)], stream)


def assert_equals_whole(stream, compiled=False):
    layer, x = integer_layer(stream)
    streaming = lk.StreamingConvTranspose1d(layer, trim=stream.trim)
    step = tf.function(streaming.step, jit_compile=True, autograph=False) if compiled else streaming.step
    np.testing.assert_array_equal(run(step, streaming, stream, x), whole_output(stream, layer, x))


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
def test_the_layer_form_lags_by_its_latency(stream):
    """Fixed shapes: `chunk * stride` samples each time, the first `latency` of which are left out."""
    layer, x = integer_layer(stream)
    streaming = lk.StreamingConvTranspose1d(layer, trim=stream.trim)
    state = streaming.initial_state(stream.case.batch)
    overlap, pieces = state.overlap, []
    for chunk in cut(x, stream):
        y, overlap = streaming(tf.constant(chunk), overlap)
        assert y.shape.num_elements() == chunk.size // layer.in_channels * layer.out_channels * layer.stride
        pieces.append(y)
    tail = streaming.flush(dataclasses.replace(state, overlap=overlap, skip=0, begun=True))
    given_out = joined([*pieces, tail], stream)
    axis = 2 if stream.data_format == "channels_first" else 1
    aligned = np.take(given_out, range(streaming.latency, given_out.shape[axis]), axis)
    np.testing.assert_array_equal(aligned, whole_output(stream, layer, x))


@settings(max_examples=40)
@given(streams(longest_chunk=3, fewest=1))
def test_latency_is_true(stream):
    """After n inputs `max(n*stride - latency, 0)` samples are out, and no more could be, whatever is to come.

    More could not be: the next sample depends on the next input, or is not there if the signal ends.
    """
    layer, x = integer_layer(stream)
    streaming = lk.StreamingConvTranspose1d(layer, trim=stream.trim)
    state, inputs, out = streaming.initial_state(stream.case.batch), 0, 0
    axis = 2 if stream.data_format == "channels_first" else 1
    for chunk in cut(x, stream):
        y, state = streaming.step(tf.constant(chunk), state)
        inputs, out = inputs + chunk.shape[axis], out + y.shape[axis]
        assert out == max(inputs * layer.stride - streaming.latency, 0)
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
    assert state.overlap.shape == (3, 1, state_length)


@settings(max_examples=60)
@given(streams())
def test_the_state_is_minimal(stream):
    """Every sample of it can still change the output: a state one sample shorter would have to drop one."""
    case, streaming = stream.case, lk.StreamingConvTranspose1d(integer_layer(stream)[0], trim=stream.trim)
    extent = case.dilation * (case.kernel_size - 1) + 1
    ahead = extent - case.stride  # written beyond the next input's first sample
    behind = streaming.plan.held  # final, but given out only if more input comes
    assert streaming.state_length == max(ahead + behind, 0)


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
def test_the_state_has_the_chunks_dtype(dtype):
    layer = lk.ConvTranspose1d(2, 3, 4, stride=2, dtype=dtype)
    streaming = lk.StreamingConvTranspose1d(layer)
    state = streaming.initial_state(2)
    y, state = streaming.step(tf.ones([2, 2, 3], dtype), state)
    assert y.dtype == state.overlap.dtype == streaming.flush(state).dtype == dtype


def test_mixed_precision_streams_in_the_compute_dtype():
    streaming = lk.StreamingConvTranspose1d(lk.ConvTranspose1d(2, 3, 4, stride=2, dtype="mixed_float16"))
    state = streaming.initial_state()
    y, _ = streaming.step(tf.ones([1, 2, 3], "float16"), state)
    assert y.dtype == state.overlap.dtype == "float16"


def test_unbatched_streams():
    layer = lk.ConvTranspose1d(2, 3, 5, stride=2, padding=1)
    streaming = lk.StreamingConvTranspose1d(layer)
    x = integers(0, 2, 6)
    state, pieces = streaming.initial_state(batch=None), []
    for chunk in np.split(x, [1, 4], axis=1):
        y, state = streaming.step(chunk, state)
        pieces.append(y)
    streamed = np.concatenate([*pieces, streaming.flush(state)], axis=1)
    np.testing.assert_allclose(streamed, layer(x), atol=1e-5)


def test_a_chunk_of_unknown_length():
    layer, x = integer_layer(Stream(Case(2, 3, 5, stride=2, batch=1), (4,)))
    streaming = lk.StreamingConvTranspose1d(layer)
    state, pieces = dataclasses.replace(streaming.initial_state(), begun=True), []
    step = tf.function(streaming.step, autograph=False)
    step = step.get_concrete_function(tf.TensorSpec([1, 2, None]), state)
    for chunk in np.split(x, [0, 1, 3], axis=2):
        y, state = step(tf.constant(chunk), state)
        pieces.append(y)
    np.testing.assert_array_equal(np.concatenate([*pieces, streaming.flush(state)], axis=2), layer(x))


def test_an_empty_stream_has_an_empty_output():
    streaming = lk.StreamingConvTranspose1d(lk.ConvTranspose1d(2, 3, 5, stride=2))
    y, state = streaming.step(np.zeros((1, 2, 0), "float32"), streaming.initial_state())
    assert y.shape == streaming.flush(state).shape == (1, 3, 0)


def test_a_step_leaves_its_state_alone():
    streaming = lk.StreamingConvTranspose1d(lk.ConvTranspose1d(2, 3, 5, stride=2))
    _, state = streaming.step(integers(0, 1, 2, 3), streaming.initial_state())
    first, _ = streaming.step(integers(1, 1, 2, 3), state)
    again, _ = streaming.step(integers(1, 1, 2, 3), state)
    np.testing.assert_array_equal(first, again)


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


@pytest.fixture
def streaming():
    return lk.StreamingConvTranspose1d(lk.ConvTranspose1d(2, 3, 4, stride=2, padding=1))


def test_refuses_a_spent_state(streaming):
    state = streaming.initial_state()
    streaming.flush(state)
    with pytest.raises(ValueError, match="stream has ended: its state was flushed"):
        streaming.step(np.zeros((1, 2, 1), "float32"), state)
    with pytest.raises(ValueError, match="stream has ended: its state was flushed"):
        streaming.flush(state)


def test_refuses_another_layers_state(streaming):
    twin = lk.StreamingConvTranspose1d(streaming.layer)
    with pytest.raises(ValueError, match=r"belongs to another layer.*Received: a state of"):
        streaming.step(np.zeros((1, 2, 1), "float32"), twin.initial_state())


def test_refuses_what_is_no_state(streaming):
    with pytest.raises(TypeError, match=r"state must be what initial_state\(\) or step\(\) gave. Received: state=None"):
        streaming.step(np.zeros((1, 2, 1), "float32"), None)


def test_refuses_a_state_of_the_wrong_shape(streaming):
    with pytest.raises(
        ValueError, match=r"state must have the shape \[2, 3, 2\].*Received: a state of shape \[1, 3, 2\]"
    ):
        streaming.step(np.zeros((2, 2, 1), "float32"), streaming.initial_state(1))


def test_refuses_a_state_of_the_wrong_dtype(streaming):
    with pytest.raises(
        TypeError, match=r"must have one dtype. Received: a chunk of dtype float32, a state of dtype float16"
    ):
        streaming.step(np.zeros((1, 2, 1), "float32"), streaming.initial_state(1, "float16"))


def test_refuses_a_chunk_of_the_wrong_channels(streaming):
    with pytest.raises(ValueError, match=r"must have in_channels=2 channels. Received: a chunk of shape \[1, 3, 1\]"):
        streaming.step(np.zeros((1, 3, 1), "float32"), streaming.initial_state(1))


def test_refuses_a_chunk_of_the_wrong_rank(streaming):
    with pytest.raises(ValueError, match=r"must be 2D \(unbatched\) or 3D \(batched\). Received: a chunk of rank 1"):
        streaming.step(np.zeros(2, "float32"), streaming.initial_state(1))


def test_refuses_an_unknown_chunk_length_while_samples_are_left_out(streaming):
    step = tf.function(streaming.step, autograph=False)
    with pytest.raises(
        ValueError, match="chunk's length must be known at the beginning of a stream with a latency of 1"
    ):
        step.get_concrete_function(tf.TensorSpec([1, 2, None]), streaming.initial_state())


def test_refuses_to_reset_rows_of_a_layer_that_lags(streaming):
    with pytest.raises(ValueError, match=r"only where the latency is 0.*Received: a stream with latency=1"):
        streaming.reset(streaming.initial_state(2), [True, False])


def test_refuses_a_reset_of_another_batch():
    streaming = lk.StreamingConvTranspose1d(lk.ConvTranspose1d(2, 3, 4, stride=2))
    with pytest.raises(ValueError, match=r"one entry for each stream of the batch. Received: rows of shape \[3\]"):
        streaming.reset(streaming.initial_state(2), [True, False, True])


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
