"""What the streaming layer and the streaming model promise alike: pure steps, checked states, `reset` and `stream`."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from decoders import DECODERS, time_axis
from streams import in_layout

import lucid_keras as lk


def layer():
    return lk.StreamingConvTranspose1d(lk.ConvTranspose1d(8, 3, 10, stride=4, padding=2), trim=1)


STREAMING = {"layer": layer, "lagging": lambda: lk.StreamingModel(DECODERS["lagging"]())}
STREAMING["first_to_last"] = lambda: lk.StreamingModel(DECODERS["first_to_last"]())
EVERYWHERE = pytest.mark.parametrize("streaming", STREAMING, indirect=True)
TAKES_A_STATE = pytest.mark.parametrize("method", ["step", "flush", "reset"])


@pytest.fixture
def streaming(request):
    return STREAMING[request.param]()


def signal(streaming, rng, positions=6, batch=2):
    return in_layout(rng.standard_normal((batch, 8, positions)).astype("float32"), streaming.data_format)


def with_state(streaming, method, state, batch=2):
    """One of the three methods that take a state."""
    if method == "step":
        return streaming.step(np.zeros(streaming.chunk_shape(batch, 1), "float32"), state)
    return streaming.flush(state) if method == "flush" else streaming.reset(state, [True] * batch)


@EVERYWHERE
def test_what_it_says_of_itself(streaming):
    assert streaming.chunk_shape(3, 5) == list(in_layout(np.zeros((3, 8, 5)), streaming.data_format).shape)
    state = streaming.initial_state(3)
    assert {name: tuple(tensor.shape[1:]) for name, tensor in state.items()} == streaming.state_shapes
    y, _ = streaming.step(np.zeros(streaming.chunk_shape(3, 5)), state)
    assert y.shape[time_axis(streaming.output_data_format)] == 5 * streaming.samples_per_position
    assert streaming.flush(state).shape[time_axis(streaming.output_data_format)] == streaming.flush_length
    assert y.dtype == streaming.compute_dtype
    assert streaming.latency > 0


@EVERYWHERE
@pytest.mark.parametrize("cuts", [[1, 1, 2], [0, 0, 3], [], [6, 6]])
def test_a_stream_is_the_whole_signals_output(streaming, cuts, rng):
    x = signal(streaming, rng)
    pieces = list(streaming.stream(iter(np.split(x, cuts, time_axis(streaming.data_format)))))
    whole = streaming.whole(x).numpy()
    y = np.concatenate(pieces, time_axis(streaming.output_data_format))
    assert y.shape == whole.shape
    np.testing.assert_allclose(y, whole, atol=1e-5)


def test_a_stream_of_chunks_shorter_than_its_latency(rng):
    """One position gives 2 samples, of which the latency takes 11, and what is left of it the flush."""
    upsampling = lk.ConvTranspose1d(8, 3, 30, stride=2, padding=11)
    streaming = lk.StreamingConvTranspose1d(upsampling)
    for positions in (1, 3, 8):
        x = signal(streaming, rng, positions)
        y = np.concatenate(list(streaming.stream(np.split(x, positions, axis=2))), axis=2)
        assert y.shape == upsampling(x).shape
        np.testing.assert_allclose(y, upsampling(x), atol=1e-5)


@EVERYWHERE
def test_no_chunk_gives_no_sample(streaming):
    assert list(streaming.stream([])) == []
    assert list(streaming.stream([np.zeros(streaming.chunk_shape(1, 0))])) == []


@EVERYWHERE
def test_one_array_is_no_chunks(streaming, rng):
    with pytest.raises(TypeError, match=r"must be an iterable of chunks.* Received: chunks of type ndarray"):
        streaming.stream(signal(streaming, rng))


@EVERYWHERE
def test_nothing_is_changed_and_a_state_may_be_used_again(streaming, rng):
    x = signal(streaming, rng)
    _, state = streaming.step(x, streaming.initial_state(2))
    before = {name: tensor.numpy() for name, tensor in state.items()}
    twice = [(streaming.step(x, state)[0], streaming.flush(state)) for _ in range(2)]
    for one, other in zip(*twice, strict=True):
        np.testing.assert_array_equal(one, other)
    streaming.reset(state, [True, False])
    assert state.keys() == before.keys()
    for name, tensor in state.items():
        np.testing.assert_array_equal(tensor, before[name])


@EVERYWHERE
def test_arrays_are_taken_for_states(streaming, rng):
    x = signal(streaming, rng)
    _, state = streaming.step(x, streaming.initial_state(2))
    arrays = {name: tensor.numpy() for name, tensor in state.items()}
    np.testing.assert_array_equal(streaming.step(x, arrays)[0], streaming.step(x, state)[0])
    np.testing.assert_array_equal(streaming.flush(arrays), streaming.flush(state))
    for name, tensor in streaming.reset(arrays, np.array([True, False])).items():
        np.testing.assert_array_equal(tensor[1], state[name][1])
        np.testing.assert_array_equal(tensor[0], np.zeros_like(arrays[name][0]))


@EVERYWHERE
def test_a_row_begun_anew_is_a_stream_of_its_own(streaming, rng):
    """With a latency too: the samples of the row's beginning are left out once more."""
    x, axis = signal(streaming, rng), time_axis(streaming.data_format)
    early, late = np.split(x, [2], axis)
    _, state = streaming.step(early, streaming.initial_state(2))
    y, state = streaming.step(late, streaming.reset(state, [False, True]))
    y = np.concatenate([y, streaming.flush(state)], time_axis(streaming.output_data_format))[1:]
    y = np.take(
        y,
        range(streaming.latency, y.shape[time_axis(streaming.output_data_format)]),
        time_axis(streaming.output_data_format),
    )
    np.testing.assert_allclose(y, streaming.whole(late[1:]), atol=1e-5)


@EVERYWHERE
def test_a_traced_step_flush_and_reset(streaming, rng):
    x, state = signal(streaming, rng), streaming.initial_state(2)
    y, following = tf.function(streaming.step, autograph=False)(x, state)
    np.testing.assert_allclose(y, streaming.step(x, state)[0], atol=1e-5)
    np.testing.assert_allclose(
        tf.function(streaming.flush, autograph=False)(following), streaming.flush(following), atol=1e-5
    )
    begun = tf.function(streaming.reset, autograph=False)(following, tf.constant([True, True]))
    assert not any(np.any(tensor) for tensor in begun.values())


@EVERYWHERE
@TAKES_A_STATE
@pytest.mark.parametrize("state", [None, []])
def test_refuses_what_is_no_dict(streaming, method, state):
    with pytest.raises(TypeError, match=r"state must be a dict of tensors by name.* Received: a state of type "):
        with_state(streaming, method, state)


@EVERYWHERE
@TAKES_A_STATE
def test_refuses_states_of_other_names(streaming, method):
    state = streaming.initial_state(2)
    for other in ({}, state | {"more": tf.zeros([2, 1])}, {f"other_{name}": value for name, value in state.items()}):
        with pytest.raises(ValueError, match=r"must hold exactly what initial_state\(\) names: \['.*Received: \["):
            with_state(streaming, method, other)


@EVERYWHERE
@TAKES_A_STATE
def test_refuses_states_of_another_model(streaming, method):
    """Of the same names, as two models of one code have them."""
    state = {name: tf.zeros([2, *shape[:-1], shape[-1] + 1]) for name, shape in streaming.state_shapes.items()}
    with pytest.raises(ValueError, match=r"must have the shape \[.*Received: \w+ of shape \["):
        with_state(streaming, method, state)


@EVERYWHERE
@TAKES_A_STATE
def test_refuses_states_of_another_dtype(streaming, method):
    state = {name: np.asarray(tensor, "float64") for name, tensor in streaming.initial_state(2).items()}
    with pytest.raises(TypeError, match=r"must have the dtype float32. Received: \w+ of dtype float64"):
        with_state(streaming, method, state)


@EVERYWHERE
@TAKES_A_STATE
def test_refuses_a_state_that_is_no_tensor(streaming, method):
    with pytest.raises(TypeError, match=r"must be a tensor or an array. Received: \w+ of type NoneType"):
        with_state(streaming, method, dict.fromkeys(streaming.state_shapes))


@TAKES_A_STATE
def test_refuses_states_of_several_batches(method):
    streaming = STREAMING["lagging"]()
    first, second = streaming.initial_state(2), streaming.initial_state(1)
    name = list(first)[-1]
    with pytest.raises(ValueError, match=r"shape \[2, .*one batch for a chunk and all states. Received: .* \[1, "):
        with_state(streaming, method, first | {name: second[name]})


@EVERYWHERE
def test_refuses_a_state_of_another_batch_than_the_chunks(streaming):
    with pytest.raises(ValueError, match=r"one batch for a chunk and all states. Received: \w+ of shape \[1, "):
        streaming.step(np.zeros(streaming.chunk_shape(2, 1), "float32"), streaming.initial_state(1))


@EVERYWHERE
@pytest.mark.parametrize("rows", [[True], [True, False, True], [[True, False]]])
def test_refuses_rows_of_another_batch(streaming, rows):
    with pytest.raises(ValueError, match=r"must have one entry for each stream of the batch. Received: rows of sh"):
        streaming.reset(streaming.initial_state(2), rows)


@EVERYWHERE
def test_refuses_rows_that_are_numbers(streaming):
    with pytest.raises(TypeError, match=r"rows must be boolean. Received: rows of dtype int32"):
        streaming.reset(streaming.initial_state(2), [1, 0])


def test_refuses_rows_without_a_batch():
    streaming = layer()
    with pytest.raises(ValueError, match=r"must have the shape \[None, 3, \d\].*Received: overlap of shape \[3, "):
        streaming.reset(streaming.initial_state(None), [True, False, True])


@EVERYWHERE
def test_refuses_chunks_of_another_shape(streaming, rng):
    state = streaming.initial_state(1)
    for x in (np.zeros([*streaming.chunk_shape(1, 1), 1]), np.zeros(8), signal(streaming, rng, 8)[:, :7, :7]):
        with pytest.raises(ValueError, match=r"A chunk must have the shape \[batch, .*Received: a chunk of shape \["):
            streaming.step(x, state)


@EVERYWHERE
def test_refuses_chunks_that_hold_no_numbers(streaming):
    with pytest.raises(TypeError, match=r"must hold real numbers. Received: a chunk of dtype string"):
        streaming.step(np.full(streaming.chunk_shape(1, 1), "a"), streaming.initial_state(1))


@EVERYWHERE
def test_refuses_a_batch_that_is_none(streaming):
    with pytest.raises(TypeError, match=r"batch must be an int. Received: batch=1.5"):
        streaming.initial_state(1.5)
    with pytest.raises(ValueError, match=r"batch must be at least 0 streams. Received: batch=-1"):
        streaming.initial_state(-1)


@keras.saving.register_keras_serializable(package="lucid_keras_tests")
class Registered(keras.layers.Layer):
    def call(self, x):
        return x + keras.ops.square(keras.ops.sin(x))


class Unregistered(Registered):
    pass


def decoder_with(pointwise):
    x = keras.Input((None, 8))
    y = keras.layers.GRU(6, return_sequences=True, name="decoder.gru")(x)
    y = lk.ConvTranspose1d(6, 2, 8, stride=4, padding=2, data_format="channels_last")(y)
    return lk.StreamingModel(keras.Model(x, pointwise(name="snake")(y)), pointwise=[pointwise])


def assert_streams_alike(one, other, rng):
    x = signal(one, rng)
    assert one.name == other.name
    assert (one.state_shapes, one.latency, one.flush_length) == (other.state_shapes, other.latency, other.flush_length)
    pieces = [list(streaming.stream(np.split(x, [1, 3], time_axis(one.data_format)))) for streaming in (one, other)]
    for ours, theirs in zip(*pieces, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", DECODERS)
def test_a_model_is_saved_and_loaded(name, tmp_path, rng):
    streaming = lk.StreamingModel(DECODERS[name](), name="live")
    streaming.save(tmp_path / "live.keras")
    assert_streams_alike(streaming, keras.models.load_model(tmp_path / "live.keras"), rng)


def test_weights_are_saved_and_loaded(tmp_path, rng):
    streaming = lk.StreamingModel(DECODERS["nested"](), name="live")
    streaming.save_weights(tmp_path / "live.weights.h5")
    config = streaming.get_config()
    other = lk.StreamingModel.from_config(config)
    other.load_weights(tmp_path / "live.weights.h5")
    assert_streams_alike(streaming, other, rng)


def test_own_pointwise_layers_are_loaded(tmp_path, rng):
    streaming = decoder_with(Registered)
    streaming.save(tmp_path / "live.keras")
    assert_streams_alike(streaming, keras.models.load_model(tmp_path / "live.keras"), rng)


def test_keras_own_pointwise_layers_are_loaded(tmp_path, rng):
    streaming = decoder_with(keras.layers.UnitNormalization)
    streaming.save(tmp_path / "live.keras")
    assert_streams_alike(streaming, keras.models.load_model(tmp_path / "live.keras"), rng)


def test_a_step_of_a_model_in_a_keras_model(tmp_path, rng):
    streaming = lk.StreamingModel(DECODERS["lagging"](), name="live")
    x = keras.Input((None, 8))
    state = {name: keras.Input(shape, name=name) for name, shape in streaming.state_shapes.items()}
    model = keras.Model([x, state], streaming(x, state))
    inputs = tf.constant(signal(streaming, rng)), streaming.initial_state(2)
    model.save(tmp_path / "step.keras")
    expected, expected_state = streaming.step(*inputs)
    for one in (model, keras.models.load_model(tmp_path / "step.keras")):
        y, following = one(list(inputs))
        np.testing.assert_allclose(y, expected, atol=1e-6)
        for name, tensor in expected_state.items():
            np.testing.assert_allclose(following[name], tensor, atol=1e-6)


def test_unregistered_pointwise_layers_are_named_at_loading(tmp_path, rng):
    streaming = decoder_with(Unregistered)
    streaming.save(tmp_path / "live.keras")
    with pytest.raises(
        ValueError, match=r"known to Keras.*custom_objects=.*Received: the unknown class or function 'Unregistered'"
    ):
        keras.models.load_model(tmp_path / "live.keras")
    loaded = keras.models.load_model(tmp_path / "live.keras", custom_objects={"Unregistered": Unregistered})
    assert_streams_alike(streaming, loaded, rng)
