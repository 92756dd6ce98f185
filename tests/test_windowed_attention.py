"""`WindowedAttention` against its definition and transformers' Mimi, whole and streamed for longer than its window."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
import transformers
from live import litert_signatures, streamed
from tolerances import SNR_FLOOR, relative_tolerance

import lucid_keras as lk

layers = keras.layers


def defined(query, key, value, heads, window, key_heads=None, rotary_base=10_000.0):
    """The definition in float64, each position turned by its own angle: planes as complex numbers."""
    (batch, length, channels), key_heads = query.shape, key_heads or heads
    size, positions = channels // heads, np.arange(length)
    query, key, value = (np.reshape(x, (batch, length, -1, size)).astype("float64") for x in (query, key, value))
    key, value = (np.repeat(x, heads // key_heads, axis=2) for x in (key, value))
    if rotary_base is None:
        scores = np.einsum("nihc,njhc->nhij", query, key)
    else:
        turns = np.exp(1j * np.outer(positions, rotary_base ** (-np.arange(size // 2) / (size / 2))))[:, np.newaxis]
        query, key = ((x[..., : size // 2] + 1j * x[..., size // 2 :]) * turns for x in (query, key))
        scores = np.einsum("nihc,njhc->nhij", query, key.conj()).real
    behind = np.subtract.outer(positions, positions)
    scores = np.where((behind >= 0) & (behind < window), scores / np.sqrt(size), -np.inf)
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    shares /= shares.sum(axis=-1, keepdims=True)
    return np.einsum("nhij,njhc->nihc", shares, value).reshape(batch, length, channels)


def drawn(rng, length, arguments, size=4, batch=2):
    """Queries, keys and values for a layer of these arguments."""
    heads, key_heads = arguments["heads"], arguments.get("key_heads") or arguments["heads"]
    return [rng.standard_normal((batch, length, count * size)) for count in (heads, key_heads, key_heads)]


CASES = {
    "as Mimi": ({"heads": 2, "window": 5}, 12),
    "a window longer than the signal": ({"heads": 1, "window": 100}, 9),
    "one position": ({"heads": 2, "window": 3}, 1),
    "a window of one": ({"heads": 2, "window": 1}, 5),
    "shared keys": ({"heads": 6, "window": 4, "key_heads": 2}, 11),
    "in pieces": ({"heads": 4, "window": 7, "key_heads": 2}, 300),
    "in pieces as long as the window": ({"heads": 2, "window": 90}, 271),
    "no positions": ({"heads": 2, "window": 70, "rotary_base": None}, 150),
    "another base": ({"heads": 2, "window": 30, "rotary_base": 100}, 140),
}


@pytest.mark.parametrize("mode", ["eager", "graph", "open length", "xla"])
@pytest.mark.parametrize("case", CASES)
def test_the_layer_is_its_definition(case, mode, rng):
    arguments, length = CASES[case]
    given = drawn(rng, length, arguments)
    call = lk.WindowedAttention(**arguments, dtype="float64")
    if mode != "eager":
        opened = [tf.TensorSpec([None, None, one.shape[2]], tf.float64) for one in given]
        signature = opened if mode == "open length" else None
        call = tf.function(call, signature, autograph=False, jit_compile=mode == "xla")
    expected = defined(*given, **arguments)
    assert np.abs(call(*map(tf.constant, given)) - expected).max() <= relative_tolerance("float64", 300)


def test_a_length_of_nothing():
    attention = lk.WindowedAttention(2, 3)
    opened = tf.function(attention, [tf.TensorSpec([None, None, 8])] * 3, autograph=False)
    for call in (attention, opened):
        assert call(*[tf.zeros([2, 0, 8])] * 3).shape == (2, 0, 8)


def test_a_long_signal_loses_no_precision(rng):
    """Of a signal of 200,000 positions, whose angles float32 would hold to a hundredth."""
    given = [rng.standard_normal((1, 200_000, 8)).astype("float32") for _ in range(3)]
    end = lk.WindowedAttention(1, 64)(*given)[:, -100:]
    expected = defined(*(one[:, -200:] for one in given), heads=1, window=64)[:, -100:]
    assert np.abs(end - expected).max() <= relative_tolerance("float32", 64)


@pytest.mark.parametrize("dtype", ["float16", "mixed_float16", "bfloat16"])
def test_it_computes_in_few_bits(dtype, rng):
    given = drawn(rng, 150, {"heads": 2})
    y = lk.WindowedAttention(2, 10, dtype=dtype)(*given)
    assert y.dtype == dtype.removeprefix("mixed_")
    assert np.abs(tf.cast(y, "float64") - defined(*given, heads=2, window=10)).max() < 0.05


def test_gradients_are_those_of_the_definition(rng):
    arguments = {"heads": 2, "window": 5}
    given = [tf.Variable(one) for one in drawn(rng, 150, arguments, batch=1)]
    attention = lk.WindowedAttention(**arguments, dtype="float64")
    with tf.GradientTape() as tape:
        y = attention(*given)[0, 100, 3]
    step = 1e-6
    for index, found in enumerate(tape.gradient(y, given)):
        for position in (94, 95, 96, 99, 100, 101):
            moved = [one.numpy() for one in given]
            moved[index][0, position, 2] += step
            slope = (defined(*moved, **arguments)[0, 100, 3] - y) / step
            np.testing.assert_allclose(found[0, position, 2], slope, atol=1e-6)


def test_it_is_transformers_mimi(rng):
    """What the attention of each layer is given and gives, within a transformer of random weights."""
    sizes = {
        "hidden_size": 32,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "num_hidden_layers": 2,
        "head_dim": 8,
    }
    config = transformers.MimiConfig(**sizes, intermediate_size=16, sliding_window=7, upsample_groups=32, num_filters=2)
    torch.manual_seed(0)
    transformer = transformers.MimiModel(config).eval().decoder.decoder_transformer
    attention = lk.WindowedAttention(4, config.sliding_window, 2, config.rope_parameters["rope_theta"])
    for layer in transformer.layers:
        seen, own = {}, layer.self_attn
        for part in (own.q_proj, own.k_proj, own.v_proj, own.o_proj):
            torch.nn.init.normal_(part.weight, std=0.3)
            part.register_forward_hook(
                lambda part, given, y, seen=seen: seen.update({part: (given[0].numpy(), y.numpy())})
            )
        with torch.no_grad():
            transformer(torch.from_numpy(rng.standard_normal((2, 40, 32)).astype("float32")))
        y = attention(*(seen[part][1] for part in (own.q_proj, own.k_proj, own.v_proj)))
        expected = seen[own.o_proj][0]
        assert np.abs(y - expected).max() <= relative_tolerance("float32", 100) * np.abs(expected).max()


# ---- streamed --------------------------------------------------------------------------------------------------------


def decoder(window=5, late=False, dtype="float32", heads=4, key_heads=2, channels=8):
    """Two transformer layers; where `late`, after a convolution that looks ahead, and before one that is a stride."""
    frames = x = keras.Input((None, channels), name="frames", dtype=dtype)
    if late:
        x = layers.Conv1D(channels, 5, padding="same", bias_initializer="normal", dtype=dtype)(x)
    for _ in range(2):
        y = layers.LayerNormalization(dtype=dtype)(x)
        query = layers.Dense(4 * heads, dtype=dtype)(y)
        key, value = (layers.Dense(4 * key_heads, bias_initializer="normal", dtype=dtype)(y) for _ in range(2))
        y = lk.WindowedAttention(heads, window, key_heads, dtype=dtype)(query, key, value)
        x = layers.Add(dtype=dtype)([x, layers.Dense(channels, dtype=dtype)(y)])
    if late:
        x = lk.ConvTranspose1d(channels, 3, 6, stride=2, padding=2, data_format="channels_last", dtype=dtype)(x)
    return keras.Model(frames, x)


CHUNKS = {"ones": [1] * 23, "mixed": [2, 1, 7, 3, 10], "whole": [23]}


def cut(x, chunks):
    return np.split(x, np.cumsum(chunks)[:-1], axis=1)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("window", [1, 2, 5, 40])
@pytest.mark.parametrize("chunks", CHUNKS)
def test_a_stream_is_the_whole(chunks, window, late, rng):
    model = decoder(window, late, "float64")
    streaming = lk.StreamingModel(model)
    x = rng.standard_normal((2, 23, 8))
    y = np.concatenate(list(streaming.stream(cut(x, CHUNKS[chunks]))), axis=1)
    whole = model(x).numpy()
    assert y.shape == whole.shape
    assert np.abs(y - whole).max() <= relative_tolerance("float64", 300)
    assert bool(streaming.latency) == bool(streaming.flush_length) == late


@pytest.mark.parametrize("mode", ["graph of any length", "xla"])
def test_a_graph_streams_the_whole(mode, rng):
    model = decoder(late=True, dtype="float64")
    streaming, x = lk.StreamingModel(model), rng.standard_normal((2, 300, 8))
    step = tf.function(streaming.step, autograph=False, jit_compile=mode == "xla")
    if mode != "xla":
        state = {name: tf.TensorSpec([None, *shape], tf.float64) for name, shape in streaming.state_shapes.items()}
        state |= {name: tf.TensorSpec(spec.shape, tf.float32) for name, spec in state.items() if "present_" in name}
        step = step.get_concrete_function(streaming.chunk_specs(None, None)["x"], state)
    state, pieces = streaming.initial_state(batch=2), []
    for chunk in cut(x, [1, 200, 99]) if mode != "xla" else cut(x, [100] * 3):
        y, state = step(tf.constant(chunk), state)
        pieces.append(y)
    y = np.concatenate([*pieces, streaming.flush(state)], axis=1)[:, streaming.latency :]
    assert np.abs(y - model(x)).max() <= relative_tolerance("float64", 300)


def test_a_row_begun_anew_hears_nothing_of_before(rng):
    model = decoder(late=True, dtype="float64")
    streaming, x = lk.StreamingModel(model), rng.standard_normal((2, 20, 8))
    state = streaming.initial_state(batch=2)
    before, state = streaming.step(x[:, :9], state)
    after, state = streaming.step(x[:, 9:], streaming.reset(state, [False, True]))
    after = np.concatenate([after, streaming.flush(state)], axis=1)
    went_on = np.concatenate([before[:1], after[:1]], axis=1)[:, streaming.latency :]
    assert np.abs(went_on - model(x[:1])).max() <= relative_tolerance("float64", 300)
    assert np.abs(after[1:, streaming.latency :] - model(x[1:, 9:])).max() <= relative_tolerance("float64", 300)


def test_queries_keys_and_values_may_come_late_each_by_its_own(rng):
    """After convolutions that look ahead differently far; and zeros of padding are attended to."""
    frames = keras.Input((None, 4), name="frames", dtype="float64")
    key, value = (layers.Conv1D(4, taps, padding="same", dtype="float64")(frames) for taps in (3, 5))
    y = lk.WindowedAttention(2, 7, dtype="float64")(frames, key, value)
    y = layers.ZeroPadding1D((3, 0), dtype="float64")(y)
    model = keras.Model(frames, lk.WindowedAttention(2, 7, dtype="float64")(y, y, y))
    streaming, x = lk.StreamingModel(model), rng.standard_normal((2, 30, 4))
    y = np.concatenate(list(streaming.stream(cut(x, [1, 1, 1, 7, 20]))), axis=1)
    assert np.abs(y - model(x)).max() <= relative_tolerance("float64", 300)


def test_what_precedes_the_signal_is_not_attended_to(rng):
    """Even where every key of the signal fits badly, and zeros would fit better."""
    inputs = [keras.Input((None, 4), name=name) for name in ("key", "query", "value")]
    attention = lk.WindowedAttention(1, 6, rotary_base=None, name="attention")
    model = keras.Model(inputs, attention(inputs[1], value=inputs[2], key=inputs[0]))
    streaming = lk.StreamingModel(model)
    given = {
        "key": np.full((1, 9, 4), -50.0),
        "query": np.full((1, 9, 4), 50.0),
        "value": rng.standard_normal((1, 9, 4)),
    }
    chunks = [{name: one[:, first : first + 3] for name, one in given.items()} for first in (0, 3, 6)]
    y = np.concatenate(list(streaming.stream(chunks)), axis=1)
    means = [given["value"][:, max(last - 5, 0) : last + 1].mean(axis=1) for last in range(9)]
    np.testing.assert_allclose(y, np.stack(means, axis=1), rtol=1e-5, atol=1e-5)
    assert streaming.state_shapes["attention_keys"] == (5, 4)


def test_a_streaming_model_with_it_is_saved_and_loaded(rng, tmp_path):
    streaming, x = lk.StreamingModel(decoder()), rng.standard_normal((1, 12, 8)).astype("float32")
    streaming.save(tmp_path / "live.keras")
    loaded = keras.models.load_model(tmp_path / "live.keras")
    np.testing.assert_array_equal(loaded.whole(x), streaming.whole(x))
    np.testing.assert_array_equal(loaded.step(x, loaded.initial_state())[0], streaming.whole(x))


def test_what_cannot_stream_is_refused():
    frames, constant = keras.Input((None, 4), name="frames"), keras.Input((7, 4), name="given")
    attention = lk.WindowedAttention(1, 3, name="attention")
    with pytest.raises(ValueError, match="'attention' cannot stream: its queries, keys and values must depend on time"):
        lk.StreamingModel(keras.Model([frames, constant], attention(frames, constant, constant)))
    first = keras.Input((4, None))
    turned = keras.layers.Permute((2, 1))(first)
    streaming = lk.StreamingModel(keras.Model(first, attention(turned, turned, turned)))
    assert streaming.output_data_format == "channels_last"


# ---- in files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chunk", "late", "states"),
    [(1, False, "explicit"), (1, True, "variables"), (4, True, "explicit"), (150, False, "explicit")],
)
def test_a_file_streams_the_whole(chunk, late, states, rng, tmp_path):
    model = decoder(late=late)
    x = rng.standard_normal((1, max(2 * chunk, 24), 8)).astype("float32")
    options = {"chunk": chunk, "states": states, "verification_data": x, "timing_seconds": 0}
    report = lk.export.streaming_to_tflite(lk.StreamingModel(model), tmp_path / "live.tflite", **options)
    assert report.snr_db > SNR_FLOOR["float32"]
    assert report.delegated == report.total - (states == "variables")  # CALL_ONCE, which makes them zeros
    if states == "explicit":
        signatures = litert_signatures(report.path.read_bytes())
        y = streamed(signatures, np.split(x, x.shape[1] // chunk, axis=1), lk.StreamingModel(model).latency, 1)
        assert lk.export.snr_db(model(x).numpy(), y) > SNR_FLOOR["float32"]


def test_two_streams_in_a_file(rng, tmp_path):
    """Begun anew amid the other, which the proof does."""
    x = rng.standard_normal((2, 24, 8)).astype("float32")
    options = {"chunk": 2, "batch": 2, "verification_data": x, "timing_seconds": 0}
    report = lk.export.streaming_to_tflite(lk.StreamingModel(decoder(late=True)), tmp_path / "live.tflite", **options)
    assert report.delegated == report.total


@pytest.mark.parametrize("quantization", ["dynamic_int8", "int8"])
def test_a_quantized_file_is_near_the_whole(quantization, rng, tmp_path):
    """In int8 the products of activations stay in float32, and with them what hides positions."""
    model = decoder()
    options = {"quantization": quantization, "timing_seconds": 0}
    if quantization == "int8":
        options["calibration_data"] = rng.standard_normal((20, 24, 8)).astype("float32")
    report = lk.export.streaming_to_tflite(lk.StreamingModel(model), tmp_path / "live.tflite", **options)
    assert report.snr_db > SNR_FLOOR[quantization]
    assert report.delegated == report.total


@pytest.mark.parametrize("length", [3, 200, "dynamic"])
def test_a_whole_file(length, rng, tmp_path):
    x = rng.standard_normal((1, 200 if length == "dynamic" else length, 8)).astype("float32")
    options = {"length": length, "verification_data": x, "timing_seconds": 0}
    report = lk.export.to_tflite(decoder(), tmp_path / "whole.tflite", **options)
    assert report.snr_db > SNR_FLOOR["float32"]
    assert report.delegated == report.total or length == "dynamic"


# ---- arguments -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"heads": 0, "window": 3}, "heads must be at least 1. Received: heads=0"),
        ({"heads": 2, "window": 0}, "window must be at least 1 position. Received: window=0"),
        (
            {"heads": 4, "window": 2, "key_heads": 3},
            "heads must be a multiple of key_heads. Received: heads=4, key_heads=3",
        ),
        (
            {"heads": 2, "window": 2, "rotary_base": 0.5},
            "rotary_base must be finite and at least 1. Received: rotary_base=0.5",
        ),
    ],
)
def test_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        lk.WindowedAttention(**arguments)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([(1, 5, 8), (1, 5, 8), (5, 8)], r"must have the shape \[batch, length, channels\]"),
        ([(1, 5, 8), (1, 6, 8), (1, 6, 8)], "must have one batch and one length"),
        ([(1, 5, 8), (1, 5, 8), (1, 5, 4)], "must have one batch and one length, key and value as many channels"),
        ([(1, 5, 7), (1, 5, 7), (1, 5, 7)], "The channels must be heads=2 heads of queries"),
        ([(1, 5, 8), (1, 5, 4), (1, 5, 4)], "The channels must be heads=2 .* key_heads=2 heads of keys"),
        ([(1, 5, 6), (1, 5, 6), (1, 5, 6)], "A head must have an even number of channels"),
    ],
)
def test_inputs(shapes, message):
    attention = lk.WindowedAttention(2, 3)
    with pytest.raises(ValueError, match=f"{message}.* Received: query of shape"):
        attention(*map(np.zeros, shapes))
    with pytest.raises(ValueError, match=message):
        attention(*(keras.Input(shape[1:]) for shape in shapes))


def test_what_it_is_made_of_comes_back():
    attention = lk.WindowedAttention(4, 3, key_heads=2, rotary_base=None, name="attention", dtype="float16")
    again = lk.WindowedAttention.from_config(attention.get_config())
    assert again.get_config() == attention.get_config()
    assert attention.compute_output_shape((2, None, 8), (2, None, 4), (2, None, 4)) == (2, None, 8)
    assert attention.count_params() == 0
