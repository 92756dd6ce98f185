"""`StreamingModel`: causal decoders chunk by chunk equal the whole decode; what looks ahead is refused by name."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from decoders import DECODERS, encodec, time_axis, upsampling
from streams import in_layout
from tolerances import relative_tolerance

import lucid_keras as lk

layers = keras.layers


CUTS = [[1], [0, 1, 1, 4], [1, 2, 3, 4, 5, 6], []]


def streamed(step, streaming, x, cuts):
    """The chunks between `cuts` through `step`, and the flush, less the latency."""
    states, pieces = streaming.initial_state(x.shape[0]), []
    for chunk in np.split(x, cuts, axis=time_axis(streaming.data_format)):
        y, states = step(tf.constant(chunk), states)
        pieces.append(y)
    axis = time_axis(streaming.output_data_format)
    tail = streaming.flush(states)
    assert tail.shape[axis] == streaming.flush_length
    y = np.concatenate([*pieces, tail], axis)
    return np.take(y, range(streaming.latency, y.shape[axis]), axis)


def assert_close(y, whole):
    assert y.shape == whole.shape
    assert np.abs(y - whole).max() <= relative_tolerance("float32", 1000) * np.abs(whole).max()


@pytest.mark.parametrize("cuts", CUTS)
@pytest.mark.parametrize("name", DECODERS)
def test_chunks_and_flush_are_the_whole_decode(name, cuts, rng):
    decoder = DECODERS[name]()
    streaming = lk.StreamingModel(decoder)
    x = in_layout(rng.standard_normal((2, 8, 7)).astype("float32"), streaming.data_format)
    assert_close(streamed(streaming.step, streaming, x, cuts), decoder(x).numpy())
    axes = time_axis(streaming.data_format), time_axis(streaming.output_data_format)
    pieces = streaming.stream(iter(np.split(x, cuts, axes[0])))
    assert_close(np.concatenate(list(pieces), axes[1]), streaming.whole(x).numpy())


@pytest.mark.parametrize("name", DECODERS)
def test_jitted_chunks_are_the_whole_decode(name, rng):
    decoder = DECODERS[name]()
    streaming = lk.StreamingModel(decoder)
    x = in_layout(rng.standard_normal((1, 8, 4)).astype("float32"), streaming.data_format)
    step = tf.function(streaming.step, jit_compile=True, autograph=False)
    assert_close(streamed(step, streaming, x, [2]), decoder(x).numpy())


def test_chunks_of_unknown_length_are_the_whole_decode(rng):
    decoder = encodec()
    x = rng.standard_normal((1, 6, 8)).astype("float32")
    streaming = lk.StreamingModel(decoder)
    step = tf.function(streaming.step, autograph=False)
    states = {name: tf.TensorSpec([1, *shape]) for name, shape in streaming.state_shapes.items()}
    step = step.get_concrete_function(tf.TensorSpec([1, None, 8]), states)
    assert_close(streamed(step, streaming, x, [1, 4]), decoder(x).numpy())


def test_a_long_chunk_loops_over_its_recurrence(rng):
    decoder = encodec()
    x = rng.standard_normal((1, 40, 8)).astype("float32")
    streaming = lk.StreamingModel(decoder)
    assert_close(streamed(streaming.step, streaming, x, [3, 30]), decoder(x).numpy())


def test_rates_latency_and_flush_of_a_decoder():
    found = {}
    for name, build in DECODERS.items():
        streaming = lk.StreamingModel(build())
        found[name] = (streaming.samples_per_position, streaming.latency, streaming.flush_length)
    assert found == {
        "encodec": (12, 0, 0),
        "tail": (6, 0, 15),
        "lagging": (4, 2, 2),
        "nested": (2, 0, 0),
        "channels_first": (3, 0, 0),
        "first_to_last": (4, 2, 2),
    }


def test_rows_are_reset_alone(rng):
    decoder = encodec()
    x = rng.standard_normal((2, 6, 8)).astype("float32")
    streaming = lk.StreamingModel(decoder)
    _, states = streaming.step(x[:, :2], streaming.initial_state(2))
    y, _ = streaming.step(x[:, 2:], streaming.reset(states, [False, True]))
    assert_close(y[:1].numpy(), decoder(x[:1])[:, 24:].numpy())
    assert_close(y[1:].numpy(), decoder(x[1:, 2:]).numpy())


def test_it_shares_the_decoders_weights():
    decoder = encodec()
    streaming = lk.StreamingModel(decoder)
    assert [id(weight) for weight in streaming.weights] == [id(weight) for weight in decoder.weights]


def test_states_have_legal_names_of_their_own(rng):
    """A dot, a dash and a digit at the beginning; two layers called alike, one of them in a model of its own."""
    x = keras.Input((None, 6))
    inner = keras.Sequential([keras.Input((None, 6)), layers.Dense(6, name="out")], name="block")
    y = layers.Conv1D(6, 3, padding="causal", name="1.decoder-conv")(x)
    y = layers.GRU(6, return_sequences=True, name="decoder.1")(inner(y))
    decoder = keras.Model(x, layers.Dense(6, name="block_out")(y))
    streaming = lk.StreamingModel(decoder)
    assert list(streaming.state_shapes) == ["input_1_decoder_conv_history", "decoder_1_hidden"]
    signal = rng.standard_normal((1, 5, 6)).astype("float32")
    assert_close(streamed(streaming.step, streaming, signal, [1, 3]), decoder(signal).numpy())


def test_refuses_two_states_of_one_name():
    x = keras.Input((None, 6))
    y = layers.Conv1D(6, 3, padding="causal", name="up.1")(x)
    decoder = keras.Model(x, layers.Conv1D(6, 3, padding="causal", name="up-1")(y))
    with pytest.raises(
        ValueError, match=r"'up-1' cannot stream: its state up_1_history would be named as that of 'up.1' is"
    ):
        lk.StreamingModel(decoder)


def test_mixed_precision_streams_in_each_layers_dtype(rng):
    x = keras.Input((None, 8))
    y = layers.Conv1D(6, 3, padding="causal", dtype="mixed_float16")(x)
    y = layers.GRU(6, return_sequences=True)(y)
    decoder = keras.Model(x, upsampling(4, 2, dtype="mixed_float16")(y))
    streaming = lk.StreamingModel(decoder)
    assert [state.dtype for state in streaming.initial_state().values()] == ["float16", "float32", "float16"]
    signal = rng.standard_normal((1, 5, 8))
    y = np.concatenate(list(streaming.stream(np.split(signal, [1, 3], axis=1))), axis=1)
    np.testing.assert_allclose(y, decoder(signal), atol=2e-2)


def test_own_pointwise_layers_are_named():
    class Snake(layers.Layer):
        def call(self, x):
            return x + keras.ops.square(keras.ops.sin(x))

    decoder = keras.Sequential([keras.Input((None, 8)), Snake(name="snake")])
    with pytest.raises(ValueError, match="'snake' cannot stream: it may look ahead"):
        lk.StreamingModel(decoder)
    assert lk.StreamingModel(decoder, pointwise=[Snake]).latency == 0


REFUSED = {
    "same": (lambda: layers.Conv1D(6, 3, padding="same", name="ahead"), 'padding="same" looks ahead'),
    "valid": (lambda: layers.Conv1D(6, 3, name="ahead"), 'padding="valid" looks ahead'),
    "strided": (lambda: layers.Conv1D(6, 3, 2, padding="causal", name="ahead"), "its strides must be 1, not 2"),
    "bidirectional": (
        lambda: layers.Bidirectional(layers.LSTM(3, return_sequences=True), name="ahead"),
        "it may look ahead",
    ),
    "backwards": (
        lambda: layers.GRU(6, return_sequences=True, go_backwards=True, name="ahead"),
        "go_backwards must be False: it would begin at the end",
    ),
    "time_normalization": (lambda: layers.LayerNormalization(axis=1, name="ahead"), "it works along axis"),
    "groups_over_time": (lambda: layers.GroupNormalization(2, name="ahead"), "it may look ahead"),
    "attention": (lambda: layers.GlobalAveragePooling1D(name="ahead", keepdims=True), "it may look ahead"),
    "beginning": (lambda: layers.Cropping1D((1, 0), name="ahead"), "it cuts samples at the beginning"),
    "end": (
        lambda: layers.Cropping1D((0, 1), name="ahead"),
        "it cuts 1 samples of which 1 have been given out by then",
    ),
    "activation": (
        lambda: layers.Dense(6, activation=lambda x: keras.ops.cumsum(x, axis=1), name="ahead"),
        "its activation does not see one position at a time",
    ),
    "channels_first": (
        lambda: lk.ConvTranspose1d(7, 6, 4, 2, name="ahead"),
        'its input is in the format "channels_last", but it takes "channels_first"; put .*Permute',
    ),
    "channels_first_convolution": (
        lambda: layers.Conv1D(6, 3, padding="causal", data_format="channels_first", name="ahead"),
        'its input is in the format "channels_last", but it takes "channels_first"; put .*Permute',
    ),
    "turned_the_wrong_way": (lambda: layers.Permute((1, 2), name="ahead"), r"its dims must be \(2, 1\), not \(1, 2\)"),
}

REFUSED_CHANNELS_FIRST = {
    "channels_last": (
        lambda: upsampling(4, 2, name="ahead"),
        'its input is in the format "channels_first", but it takes "channels_last"; put .*Permute',
    ),
    "dense": (lambda: layers.Dense(6, name="ahead"), 'but it takes "channels_last"; put .*Permute'),
    "recurrence": (lambda: layers.GRU(6, return_sequences=True, name="ahead"), 'but it takes "channels_last"'),
    "crop": (lambda: layers.Cropping1D((0, 1), name="ahead"), 'but it takes "channels_last"'),
    "time_normalization": (lambda: layers.LayerNormalization(axis=-1, name="ahead"), "it works along axis"),
    "slopes": (lambda: layers.PReLU(shared_axes=[1], name="ahead"), r"use shared_axes=\[2\]"),
    "activation": (
        lambda: layers.Activation("softmax", name="ahead"),
        "its activation does not see one position at a time",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refuses_by_name(kind):
    build, message = REFUSED[kind]
    decoder = keras.Sequential([keras.Input((7, 6)), build()])
    with pytest.raises(ValueError, match=f"'ahead' cannot stream: .*{message}.*Received: .* named 'ahead'"):
        lk.StreamingModel(decoder)


@pytest.mark.parametrize("kind", REFUSED_CHANNELS_FIRST)
def test_refuses_by_name_in_channels_first(kind):
    build, message = REFUSED_CHANNELS_FIRST[kind]
    decoder = keras.Sequential([keras.Input((6, 6)), build()])
    with pytest.raises(ValueError, match=f"'ahead' cannot stream: .*{message}.*Received: .* named 'ahead'"):
        lk.StreamingModel(decoder, data_format="channels_first")


def test_the_open_axis_is_the_time():
    formats = [
        lk.StreamingModel(keras.Sequential([keras.Input(shape), layers.ReLU()])).data_format
        for shape in [(6, None), (None, 6), (6, 6), (None, None)]
    ]
    assert formats == ["channels_first", "channels_last", "channels_last", "channels_last"]


def test_own_pointwise_layers_of_a_channels_first_decoder_see_channels_first(rng):
    class Snake(layers.Layer):
        def build(self, shape):
            self.frequency = self.add_weight(shape=(shape[1], 1), initializer="uniform")

        def call(self, x):
            return x + keras.ops.square(keras.ops.sin(self.frequency * x))

    decoder = keras.Sequential([keras.Input((8, None)), lk.ConvTranspose1d(8, 6, 4, 2), Snake()])
    streaming = lk.StreamingModel(decoder, pointwise=[Snake])
    x = rng.standard_normal((2, 8, 5)).astype("float32")
    assert_close(streamed(streaming.step, streaming, x, [1, 3]), decoder(x).numpy())


def test_refuses_an_unknown_data_format():
    decoder = keras.Sequential([keras.Input((6, None)), layers.ReLU()])
    with pytest.raises(ValueError, match=r"data_format must be one of .*Received: data_format='NCL'"):
        lk.StreamingModel(decoder, data_format="NCL")


def test_refuses_a_layer_with_a_format_of_its_own_used_twice():
    x = keras.Input((6, None))
    shared = layers.LayerNormalization(axis=1, name="shared")
    with pytest.raises(ValueError, match="'shared' cannot stream: it is used twice"):
        lk.StreamingModel(keras.Model(x, shared(shared(x))))


def test_refuses_a_memory_after_a_latency():
    decoder = keras.Sequential(
        [keras.Input((None, 6)), upsampling(8, 4, padding=2), layers.Conv1D(6, 3, padding="causal", name="post")]
    )
    with pytest.raises(ValueError, match="'post' cannot stream: it remembers, and hears 2 samples that precede"):
        lk.StreamingModel(decoder)


def test_refuses_inputs_out_of_step():
    x = keras.Input((None, 6))
    late = layers.Cropping1D((0, 4))(upsampling(8, 4)(x))
    decoder = keras.Model(x, layers.Add(name="sum")([late, upsampling(4, 4, padding=0)(x), upsampling(4, 4)(x)]))
    assert lk.StreamingModel(decoder).latency == 0
    early = keras.Model(x, layers.Add(name="sum")([upsampling(6, 4, padding=1)(x), upsampling(4, 4)(x)]))
    with pytest.raises(ValueError, match="'sum' cannot stream: its inputs arrive out of step"):
        lk.StreamingModel(early)


def test_refuses_a_layer_with_a_memory_used_twice():
    x = keras.Input((None, 6))
    shared = layers.Conv1D(6, 3, padding="causal", name="shared")
    with pytest.raises(ValueError, match="'shared' cannot stream: it is used twice"):
        lk.StreamingModel(keras.Model(x, shared(shared(x))))


def test_refuses_a_state_from_elsewhere():
    x = keras.Input((7, 6))
    recurrent = layers.GRU(6, return_sequences=True, name="begun")(x, initial_state=keras.ops.zeros((1, 6)))
    with pytest.raises(ValueError, match="'begun' cannot stream: it is called with more than its input"):
        lk.StreamingModel(keras.Model(x, recurrent))


def test_refuses_a_class_that_may_do_something_else():
    class Derived(layers.Dense):
        def call(self, x):
            return keras.ops.flip(super().call(x), axis=1)

    with pytest.raises(ValueError, match="'derived' cannot stream: it may look ahead"):
        lk.StreamingModel(keras.Sequential([keras.Input((None, 6)), Derived(6, name="derived")]))


def test_refuses_what_is_no_graph():
    with pytest.raises(
        TypeError, match=r"decoder must be a built Sequential or functional keras.Model. Received: .*Dense"
    ):
        lk.StreamingModel(layers.Dense(2))


def test_refuses_two_inputs():
    inputs = [keras.Input((None, 6)), keras.Input((None, 6))]
    with pytest.raises(ValueError, match=r"must have one input and one output. Received: 2 inputs and 1 outputs"):
        lk.StreamingModel(keras.Model(inputs, layers.Add()(inputs)))
