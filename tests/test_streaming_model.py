"""`StreamingModel`: causal decoders chunk by chunk equal the whole decode; what looks ahead is refused by name."""

from fractions import Fraction

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
    axis = streaming.output_time_axis
    tail = streaming.flush(states)
    assert tail.shape[axis] == streaming.flush_length
    y = np.concatenate([*pieces, tail], axis)
    return np.take(y, range(streaming.latency, y.shape[axis]), axis)


def assert_close(y, whole):
    assert y.shape == whole.shape
    assert np.abs(y - whole).max() <= relative_tolerance("float32", 1000) * np.abs(whole).max()


def assert_streams(decoder, x, **options):
    streaming = lk.StreamingModel(decoder, **options)
    positions = x.shape[time_axis(streaming.data_format)]
    for cuts in (range(1, positions), [positions // 2]):
        assert_close(streamed(streaming.step, streaming, x, cuts), decoder(x).numpy())


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
    "bidirectional": (
        lambda: layers.Bidirectional(layers.LSTM(3, return_sequences=True), name="ahead"),
        "one of its recurrences begins at the end; use a recurrence that goes forward alone",
    ),
    "backwards": (
        lambda: layers.GRU(6, return_sequences=True, go_backwards=True, name="ahead"),
        "go_backwards must be False: it would begin at the end",
    ),
    "time_normalization": (lambda: layers.LayerNormalization(axis=1, name="ahead"), "it works along axis"),
    "groups_over_time": (
        lambda: layers.GroupNormalization(2, name="ahead"),
        "it normalizes over the whole signal; use LayerNormalization",
    ),
    "mean": (lambda: layers.GlobalAveragePooling1D(name="ahead", keepdims=True), "it is a mean of the whole signal"),
    "maximum": (lambda: layers.GlobalMaxPooling1D(name="ahead"), "it is the maximum of the whole signal"),
    "pool": (lambda: layers.MaxPooling1D(2, 1, "same", name="ahead"), "what it gives for a position depends on others"),
    "flat": (lambda: layers.Flatten(name="ahead"), "what it gives for a position depends on others"),
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

REFUSED_OPERATIONS = {
    "Pad": (lambda x: keras.ops.pad(x, [[0, 0], [2, 2], [0, 0]], mode="reflect"), 'mode="reflect"'),
    "Cumsum": (lambda x: keras.ops.cumsum(x, axis=1), "what it gives for a position depends on others"),
    "Mean": (lambda x: x - keras.ops.mean(x, axis=1, keepdims=True), "what it gives for a position depends on others"),
    "Flip": (lambda x: keras.ops.flip(x, axis=1), "what it gives for a position depends on others"),
    "GetItem": (lambda x: x[:, ::2], "what it gives for a position depends on others, or on how many there are"),
    "Softmax": (lambda x: keras.ops.softmax(x, axis=1), "what it gives for a position depends on others"),
    "Add": (lambda x: x + np.zeros((7, 1), "float32") + np.arange(7.0, dtype="float32")[:, None],
            "what it gives for a position depends on others"),
}  # fmt: skip

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


@pytest.mark.parametrize("kind", REFUSED_OPERATIONS)
def test_refuses_operations_that_see_more_than_one_position(kind):
    operation, message = REFUSED_OPERATIONS[kind]
    x = keras.Input((7, 6))
    with pytest.raises(ValueError, match=f"cannot stream: {message}.*Received: {kind} named"):
        lk.StreamingModel(keras.Model(x, operation(x)))


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


def test_a_layer_with_a_format_of_its_own_is_used_twice(rng):
    x = keras.Input((8, None))
    shared = layers.LayerNormalization(axis=1)
    decoder = keras.Model(x, shared(lk.ConvTranspose1d(8, 8, 4, 2)(shared(x))))
    assert_streams(decoder, rng.standard_normal((2, 8, 5)).astype("float32"))


def test_a_layer_with_a_memory_is_used_twice(rng):
    """Each use has a state of its own."""
    x = keras.Input((None, 6))
    shared = layers.Conv1D(6, 3, padding="same", name="shared")
    decoder = keras.Model(x, shared(shared(x)))
    assert list(lk.StreamingModel(decoder).state_shapes)[:2] == ["shared_history", "shared_use_2_history"]
    assert_streams(decoder, rng.standard_normal((2, 5, 6)).astype("float32"))


def test_a_memory_after_a_latency_hears_silence_before_the_signal(rng):
    """A convolution's bias would fill what precedes the signal, and the recurrence's gates their states."""
    x = keras.Input((None, 6))
    y = upsampling(8, 4, padding=2, bias=True, bias_initializer="ones")(x)
    y = layers.Conv1D(6, 5, padding="same", bias_initializer="ones")(y)
    for kind in (layers.GRU, layers.LSTM):
        y = kind(6, return_sequences=True, bias_initializer="ones")(y)
    decoder = keras.Model(x, y)
    assert lk.StreamingModel(decoder).latency == 4
    for positions in (1, 2, 7):
        assert_streams(decoder, rng.standard_normal((2, positions, 6)).astype("float32"))


@pytest.mark.parametrize("chunk", [1, 20])
def test_what_is_not_finite_before_the_signal_is_silenced_too(chunk, rng):
    """The logarithm of the zeros before the signal."""
    x = keras.Input((None, 6))
    y = keras.ops.log(layers.ReLU()(layers.Conv1D(6, 3, padding="same")(x)) + 1e-9 * 0)
    y = layers.GRU(6, return_sequences=True)(layers.Conv1D(6, 3, padding="same")(keras.ops.clip(y, -9, 9)))
    decoder = keras.Model(x, y)
    signal = rng.standard_normal((1, 20, 6)).astype("float32")
    y = streamed(lk.StreamingModel(decoder).step, lk.StreamingModel(decoder), signal, range(chunk, 20, chunk))
    assert_close(y, decoder(signal).numpy())


def test_branches_are_aligned_and_share_their_delays(rng):
    x = keras.Input((None, 6))
    y = layers.Conv1D(6, 3, padding="same", name="pre")(x)
    ends = [layers.Conv1D(6, taps, padding="same", name=f"taps_{taps}")(y) for taps in (3, 7, 11)]
    decoder = keras.Model(x, layers.Average()([*ends, y]))
    streaming = lk.StreamingModel(decoder)
    states = {name: shape for name, shape in streaming.state_shapes.items() if not name.startswith("present")}
    assert streaming.latency == 6
    of_delays = {"taps_3_late_4_delay": (4, 6), "taps_7_late_2_delay": (2, 6)}
    # What `pre` gives is remembered once: for the windows of 3, 7 and 11 taps over it, and for its way around them.
    assert states == {"pre_history": (2, 6), "pre_line_kept": (10, 6)} | of_delays
    assert_streams(decoder, rng.standard_normal((2, 9, 6)).astype("float32"))


@pytest.mark.parametrize(("activation", "kept"), [(layers.LeakyReLU, {"pre_line_kept"}), (layers.ELU, set())])
def test_an_activation_is_computed_of_a_line_where_that_costs_no_more_than_a_copy(activation, kept, rng):
    x = keras.Input((None, 6))
    y = layers.Conv1D(6, 3, padding="same", name="pre")(x)
    z = layers.Conv1D(6, 5, dilation_rate=2, padding="same", name="behind")(activation(name="act")(y))
    streaming = lk.StreamingModel(keras.Model(x, [y + z]))
    assert {name for name in streaming.state_shapes if "line" in name} == kept
    assert ("behind_history" in streaming.state_shapes) == (not kept)
    assert_streams(streaming.decoder, rng.standard_normal((2, 9, 6)).astype("float32"))


def test_rates_that_differ_do_not_meet():
    x = keras.Input((None, 6))
    both = [upsampling(4, 2, padding=1)(x), layers.UpSampling1D(4)(x)]
    with pytest.raises(ValueError, match="'sum' cannot stream: its inputs differ in rate: 2, 4"):
        lk.StreamingModel(keras.Model(x, layers.Add(name="sum")(both)))


def test_lengths_that_differ_do_not_meet():
    x = keras.Input((None, 6))
    decoder = keras.Model(x, layers.Add(name="sum")([upsampling(6, 4, padding=1)(x), upsampling(8, 4)(x)]))
    with pytest.raises(ValueError, match="'sum' cannot stream: its inputs differ in length, by 4 samples"):
        lk.StreamingModel(decoder)


def test_an_encoder_streams_in_chunks_of_whole_samples(rng):
    x = keras.Input((None, 1))
    y = layers.Conv1D(4, 7, padding="same")(x)
    for stride in (2, 3):
        y = layers.Conv1D(6, 2 * stride, strides=stride, padding="same", activation="elu")(y)
    encoder = keras.Model(x, layers.AveragePooling1D(2, 1, "same")(y))
    streaming = lk.StreamingModel(encoder)
    assert (streaming.samples_per_position, streaming.granularity) == (Fraction(1, 6), 6)
    signal = rng.standard_normal((2, 42, 1)).astype("float32")
    pieces = list(streaming.stream(np.split(signal, [1, 2, 17, 36], axis=1)))
    assert_close(np.concatenate(pieces, axis=1), encoder(signal).numpy())
    with pytest.raises(ValueError, match=r"A chunk must have a multiple of 6 positions.*Received: a chunk of 7"):
        streaming.step(signal[:, :7], streaming.initial_state(2))
    with pytest.raises(ValueError, match=r"A stream must have a multiple of 6 positions.*Received: 1 positions more"):
        list(streaming.stream([signal[:, :7]]))


def conditioned():
    """Codes of two codebooks and a speaker, who stays the same."""
    codes = [keras.Input((None,), dtype="int32", name=f"codes.{level}") for level in range(2)]
    speaker = keras.Input((5,), name="speaker")
    embedded = [layers.Embedding(16, 6)(one) for one in codes]
    style = keras.ops.expand_dims(layers.Dense(6, activation="tanh")(speaker), 1)
    x = (embedded[0] + embedded[1]) * style
    x = layers.Conv1D(6, 3, padding="same")(x) + style
    return keras.Model([*codes, speaker], upsampling(4, 2, padding=1)(x))


@pytest.mark.parametrize("cuts", CUTS)
def test_several_inputs_and_one_that_stays_the_same(cuts, rng):
    decoder = conditioned()
    streaming = lk.StreamingModel(decoder)
    whole = {f"codes_{level}": rng.integers(0, 16, (2, 7)) for level in range(2)}
    speaker = rng.standard_normal((2, 5)).astype("float32")
    assert streaming.chunk_shape(2, 7) == {"codes_0": [2, 7], "codes_1": [2, 7], "speaker": [2, 5]}
    chunks = zip(*(np.split(codes, cuts, axis=1) for codes in whole.values()), strict=True)
    chunks = [dict(zip(whole, chunk, strict=True)) | {"speaker": speaker} for chunk in chunks]
    y = np.concatenate(list(streaming.stream(chunks)), axis=1)
    assert_close(y, streaming.whole(whole | {"speaker": speaker}).numpy())
    assert_close(y, decoder([*whole.values(), speaker]).numpy())


def test_several_inputs_are_checked():
    streaming = lk.StreamingModel(conditioned())
    codes = {f"codes_{level}": np.zeros((2, 3), "int32") for level in range(2)}
    state = streaming.initial_state(2)
    with pytest.raises(ValueError, match=r"A chunk must be a dict of the inputs \['codes_0', 'codes_1', 'speaker'\]"):
        streaming.step(codes, state)
    with pytest.raises(ValueError, match=r"The input speaker must have the shape \[batch, 5\]. Received: .*\[2, 4\]"):
        streaming.step(codes | {"speaker": np.zeros((2, 4))}, state)
    with pytest.raises(ValueError, match="All inputs must have one batch"):
        streaming.step(codes | {"speaker": np.zeros((1, 5))}, state)
    uneven = codes | {"codes_1": np.zeros((2, 4), "int32"), "speaker": np.zeros((2, 5))}
    with pytest.raises(ValueError, match="All inputs must have one number of positions"):
        streaming.step(uneven, state)


def test_a_constant_does_not_stream():
    inputs = [keras.Input((6,)), keras.Input((3,))]
    with pytest.raises(ValueError, match="Of several inputs one at least must have an open length"):
        lk.StreamingModel(keras.Model(inputs, layers.Concatenate()(inputs)))


TRANSFORMS = {
    "center": {"n_fft": 16, "hop_length": 4},
    "same": {"n_fft": 16, "hop_length": 4, "padding": "same"},
    "uneven": {"n_fft": 15, "hop_length": 4, "win_length": 12, "padding": "same"},
    "nothing_cut": {"n_fft": 16, "hop_length": 4, "center": False, "window": "hamming"},
}


@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
@pytest.mark.parametrize("kind", TRANSFORMS)
def test_inverse_transforms_stream(kind, data_format, rng):
    """With the frames that are missing at both ends, behind a convolution that looks ahead."""
    transform = lk.ISTFT(**TRANSFORMS[kind], data_format=data_format)
    bins = 2 * (TRANSFORMS[kind]["n_fft"] // 2 + 1)
    x = keras.Input((None, 6) if data_format == "channels_last" else (6, None))
    y = layers.Conv1D(bins, 3, padding="same", data_format=data_format, bias_initializer="ones")(x)
    decoder = keras.Model(x, transform(y))
    for positions in (4, 9):
        signal = in_layout(rng.standard_normal((2, 6, positions)).astype("float32"), data_format)
        assert_streams(decoder, signal)


def test_time_distributed_layers_see_one_position(rng):
    x = keras.Input((None, 6))
    y = layers.TimeDistributed(layers.Dense(4, activation="softmax"))(layers.Conv1D(6, 3, padding="same")(x))
    assert_streams(keras.Model(x, y), rng.standard_normal((2, 5, 6)).astype("float32"))


@keras.saving.register_keras_serializable(package="test")
def doubled(x):
    return 2 * x


def test_pointwise_by_class_name_and_function(rng):
    class Own(layers.Layer):
        def call(self, x):
            return x * x

    x = keras.Input((None, 6))
    y = layers.Lambda(doubled)(Own(name="squared")(Own(name="own")(x)))
    decoder = keras.Model(x, layers.Conv1D(2, 3, padding="same")(y))
    with pytest.raises(ValueError, match=r"'own' cannot stream: it may look ahead; .*`pointwise`.*streaming_stage"):
        lk.StreamingModel(decoder)
    for pointwise in ([Own, doubled], ["squared", "own", doubled]):
        assert_streams(decoder, rng.standard_normal((2, 5, 6)).astype("float32"), pointwise=pointwise)


def test_what_is_named_pointwise_is_tried():
    class Backwards(layers.Layer):
        def call(self, x):
            return keras.ops.flip(x, axis=1)

    decoder = keras.Sequential([keras.Input((None, 6)), Backwards(name="backwards")])
    with pytest.raises(ValueError, match="'backwards' cannot stream: `pointwise` names it, but"):
        lk.StreamingModel(decoder, pointwise=[Backwards])


@keras.saving.register_keras_serializable(package="test")
class Echo(layers.Layer):
    """`x` and what was three positions ago."""

    def call(self, x):
        return x + keras.ops.pad(x, [[0, 0], [3, 0], [0, 0]])[:, :-3]

    def streaming_stage(self):
        return EchoStage()


class EchoStage(lk.Stage):
    def __init__(self):
        self.state_shapes = {"past": (3, 6)}

    def step(self, x, states, moment):
        heard = tf.concat([states["past"], x], axis=1)
        return x + heard[:, :-3], {"past": heard[:, -3:]}


def test_a_layer_of_ones_own_brings_its_stage(rng):
    x = keras.Input((None, 6))
    y = Echo()(layers.Conv1D(6, 3, padding="same", bias_initializer="ones")(x))
    assert_streams(
        keras.Model(x, layers.Conv1D(2, 3, padding="same")(y)), rng.standard_normal((2, 8, 6)).astype("float32")
    )


def test_dtypes_may_differ_from_layer_to_layer(rng):
    x = keras.Input((None, 3))
    y = layers.ZeroPadding1D((1, 1), dtype="mixed_bfloat16")(layers.Cropping1D((1, 1), dtype="float16")(x))
    y = layers.UpSampling1D(2, dtype="float16")(layers.Add(dtype="float64")([y, x]))
    assert_streams(
        keras.Model(x, layers.Conv1D(3, 3, padding="same")(y) + y), rng.standard_normal((2, 9, 3)).astype("float32")
    )


def test_one_signal_is_added_to_several_channels(rng):
    """Of as many samples as channels: Keras takes that for a bias of the channels."""
    x = keras.Input((None, 4))
    signal = rng.standard_normal((1, 8, 4)).astype("float32")
    mono = layers.Dense(1)(x)
    for total in (x + mono, layers.Add()([x, mono])):
        streaming = lk.StreamingModel(keras.Model(x, total))
        y = np.concatenate(list(streaming.stream(np.split(signal, 2, axis=1))), axis=1)
        assert_close(y, streaming.whole(signal).numpy())


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


def test_refuses_a_state_that_nothing_can_address():
    convolution = layers.Conv1D(1, 2, padding="causal", dilation_rate=2**20, name="far")
    with pytest.raises(ValueError, match=r"at most 2147483647 bytes.* Received: the state far_history of shape"):
        lk.StreamingModel(keras.Sequential([keras.Input((None, 512)), convolution]))
    with pytest.raises(ValueError, match=r"at most 2147483647 bytes.* Received: the state overlap of shape"):
        lk.StreamingConvTranspose1d(lk.ConvTranspose1d(1, 2**10, kernel_size=2, dilation=2**19))


def test_refuses_what_is_no_graph():
    with pytest.raises(
        TypeError, match=r"decoder must be a built Sequential or functional keras.Model. Received: .*Dense"
    ):
        lk.StreamingModel(layers.Dense(2))


def test_refuses_two_outputs():
    x = keras.Input((None, 6))
    with pytest.raises(ValueError, match=r"decoder must have one output. Received: 2 outputs"):
        lk.StreamingModel(keras.Model(x, [layers.ReLU()(x), layers.ELU()(x)]))
