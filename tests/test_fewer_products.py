"""Convolutions with fewer multiplications compute what they did: to the last digit of integers, and to rounding."""

import arrays
import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from tolerances import relative_tolerance

import lucid_keras as lk
from lucid_keras.export import fewer_products
from lucid_keras.export.convert import unquantized
from lucid_keras.export.fewer_products import with_fewer_products
from lucid_keras.export.flatbuffer import contents, graphs
from lucid_keras.export.recipes import RECIPES
from lucid_keras.export.signatures import signatures

WIDE = 512  # channels for which it pays at a length of some hundred


def content_of(layer, length, channels, batch=1, recipe="float32"):
    """The bytes of a layer's file with the products that define it."""
    model = keras.Sequential([keras.Input((length, channels), batch_size=batch), layer])
    return unquantized(model, signatures(model, None, batch=batch), RECIPES[recipe])


def output(content, x):
    loaded = Interpreter(model_content=content, num_threads=2)
    loaded.allocate_tensors()
    loaded.set_tensor(loaded.get_input_details()[0]["index"], x)
    loaded.invoke()
    return loaded.get_tensor(loaded.get_output_details()[0]["index"])


def always(monkeypatch, phases):
    """Rewrite whatever can be, in one form."""
    for name, value in {"PHASES": (phases,), "MOVED": 0, "WEIGHT": 0, "OPERATOR": 0, "GAIN": 0}.items():
        monkeypatch.setattr(fewer_products, name, value)


def drawn(seed):
    """A convolution, ordinary or transposed, and the shape of its input."""
    rng = np.random.default_rng(seed)
    channels, out_channels = map(int, rng.integers(1, 12, 2))
    taps, dilation = int(rng.integers(3, 13)), int(rng.integers(1, 4))
    if seed % 3:
        padding = str(rng.choice(["same", "causal", "valid"]))
        activation = str(rng.choice(["linear", "relu", "relu6"]))
        layer = keras.layers.Conv1D(out_channels, taps, padding=padding, dilation_rate=dilation, activation=activation)
    else:
        layer = lk.ConvTranspose1d(
            channels, out_channels, taps, stride=int(rng.integers(1, -(-taps // 2) + 1)), dilation=dilation,
            data_format="channels_last",
        )  # fmt: skip
    length = int(rng.integers(1, 60)) + (taps - 1) * dilation
    return layer, (int(rng.integers(1, 4)), length, channels)


def compared_exactly(seed, phases):
    layer, shape = drawn(seed)
    rng = np.random.default_rng(seed)
    layer.build(shape)
    for one in layer.weights:
        one.assign(rng.integers(-8, 9, one.shape))
    before = content_of(layer, *shape[1:], batch=shape[0])
    after, saved = with_fewer_products(before)
    x = rng.integers(-8, 9, shape).astype("float32")
    np.testing.assert_array_equal(output(after, x), output(before, x))
    return saved


@pytest.mark.parametrize("phases", [2, 4])
@pytest.mark.parametrize("seed", range(12))
def test_integers_to_the_last_digit(seed, phases, monkeypatch):
    always(monkeypatch, phases)
    saved = compared_exactly(seed, phases)
    assert saved or not seed % 3, "an ordinary convolution of three taps and more has another form"


@pytest.mark.sweep
@pytest.mark.parametrize(("phases", "least"), [(2, 150), (4, 150), (8, 120)])  # 8 phases want five taps
def test_integers_at_random(phases, least, monkeypatch):
    always(monkeypatch, phases)
    assert sum(bool(compared_exactly(seed, phases)) for seed in range(100, 300)) > least


@pytest.mark.parametrize("dilation", [1, 2])
def test_a_product_of_shifts(dilation, monkeypatch, rng):
    """What the polyphase lowering makes of a wide layer: one FULLY_CONNECTED, whose taps go backwards in time."""
    always(monkeypatch, 2)
    layer = lk.ConvTranspose1d(800, 400, 7, stride=2, padding=2, data_format="channels_last")
    if dilation > 1:  # apart by two blocks
        layer = lk.ConvTranspose1d(800, 800, 3, stride=1, dilation=2, data_format="channels_last")
    for one in layer.weights:
        one.assign(rng.integers(-4, 5, one.shape))
    before = content_of(layer, 21, 800)
    after, (saved,) = with_fewer_products(before)
    assert "FULLY_CONNECTED" in contents(before).counts()
    assert "FULLY_CONNECTED" not in contents(after).counts()
    assert saved.after < saved.before
    x = rng.integers(-4, 5, (1, 21, 800)).astype("float32")
    np.testing.assert_array_equal(output(after, x), output(before, x))


@pytest.mark.parametrize("shifts", [(0, 0), (0, 3, 4), (1, 2)], ids=str)
def test_other_products_of_slices_are_no_convolutions(shifts, monkeypatch, rng):
    """Slices of one signal that are no taps: the same twice, unevenly apart, not from the beginning."""
    always(monkeypatch, 2)
    x = keras.Input((1, 12, 8), batch_size=1)
    side_by_side = keras.ops.concatenate([x[:, :, first : 8 + first] for first in shifts], axis=3)
    model = keras.Model(x, keras.layers.Dense(5)(side_by_side))
    content = unquantized(model, signatures(model, None, batch=1), RECIPES["float32"])
    assert "FULLY_CONNECTED" in contents(content).counts()
    assert with_fewer_products(content) == (content, ())


@pytest.mark.parametrize("phases", [2, 4])
@pytest.mark.parametrize(("channels", "taps", "dilation"), [(64, 3, 1), (64, 7, 1), (128, 11, 5), (512, 2, 1)])
def test_the_error_is_that_of_rounding(channels, taps, dilation, phases, monkeypatch, rng):
    """Within the tolerance of every float32 computation of this package."""
    if phases >= 2 * taps:
        pytest.skip("two taps have no form of four phases")
    always(monkeypatch, phases)
    layer = keras.layers.Conv1D(channels, taps, dilation_rate=dilation)
    layer.build((None, None, channels))
    before = content_of(layer, 200, channels)
    after, _ = with_fewer_products(before)
    kernel = np.asarray(layer.kernel, np.float64)
    count = 200 - (taps - 1) * dilation
    for x in arrays.hard_to_subtract(rng, 200, channels):
        x = x.astype("float32")
        exact = sum(x[0, k * dilation :][:count].astype(np.float64) @ kernel[k] for k in range(taps))
        error = np.abs(output(after, x)[0] - exact).max() / np.abs(exact).max()
        assert error < relative_tolerance("float32", taps * channels)


def test_it_is_chosen_where_it_pays(rng):
    wide = keras.layers.Conv1D(WIDE, 7, padding="same")
    (saved,) = with_fewer_products(content_of(wide, 400, WIDE))[1]
    assert saved.after < 0.65 * saved.before


@pytest.mark.parametrize(
    ("layer", "length", "channels"),
    [
        (keras.layers.Conv1D(16, 7), 400, 16),  # the sums would cost more than the products
        (keras.layers.Conv1D(WIDE, 7, padding="same"), 4, WIDE),  # the weights are read for few positions
        (keras.layers.Conv1D(WIDE, 1), 400, WIDE),
        (keras.layers.Conv1D(WIDE, 7, strides=2), 400, WIDE),
        (keras.layers.Conv1D(WIDE, 7, groups=8), 400, WIDE),
        (keras.layers.Conv2D(64, 7), 40, 64),
    ],
    ids=["narrow", "short", "one tap", "strided", "grouped", "2d"],
)
def test_it_is_left_where_it_does_not(layer, length, channels):
    if isinstance(layer, keras.layers.Conv2D):
        model = keras.Sequential([keras.Input((length, length, channels)), layer])
        content = unquantized(model, signatures(model, None, batch=1), RECIPES["float32"])
    else:
        content = content_of(layer, length, channels)
    assert with_fewer_products(content) == (content, ())


@pytest.mark.parametrize("recipe", ["float16"])
def test_weights_of_fewer_bits_keep_their_products(recipe):
    """A sum of two float16 numbers is none."""
    content = content_of(keras.layers.Conv1D(WIDE, 7, padding="same"), 400, WIDE, recipe=recipe)
    assert with_fewer_products(content) == (content, ())


def test_a_large_file_is_not_made_larger_still(monkeypatch):
    """Of what would save multiplications that is taken which saves the most a byte."""
    model = keras.Sequential(
        [
            keras.Input((100, WIDE)),
            keras.layers.Conv1D(WIDE, 7, padding="same"),
            keras.layers.UpSampling1D(8),
            keras.layers.Conv1D(128, 7, padding="same", name="late"),
        ]
    )
    content = unquantized(model, signatures(model, None, batch=1), RECIPES["float32"])
    larger, both = with_fewer_products(content)
    assert len(both) == 2
    monkeypatch.setattr(fewer_products, "LARGEST", (len(content) + len(larger)) // 2)
    smaller, (one,) = with_fewer_products(content)
    assert "late" in one.name
    assert len(smaller) < fewer_products.LARGEST < len(larger)
    monkeypatch.setattr(fewer_products, "LARGEST", len(content))
    assert with_fewer_products(content) == (content, ())


def test_an_open_length_keeps_its_products(tmp_path):
    model = keras.Sequential([keras.Input((None, WIDE)), keras.layers.Conv1D(WIDE, 3, padding="same")])
    report = lk.export.to_tflite(model, tmp_path / "a.tflite", length="dynamic", timing_seconds=0)
    assert not report.fewer_products


def vocoder_like():
    return keras.Sequential(
        [
            keras.Input((None, WIDE)),
            keras.layers.Conv1D(WIDE, 7, padding="same", name="wide"),
            keras.layers.LeakyReLU(0.1),
            keras.layers.Conv1D(8, 3, padding="same", name="narrow"),
        ]
    )


def test_an_export_says_what_it_saved(tmp_path):
    model = vocoder_like()
    report = lk.export.to_tflite(model, tmp_path / "a.tflite", length=400, timing_seconds=0)
    exact = lk.export.to_tflite(model, tmp_path / "b.tflite", length=400, timing_seconds=0, exact_products=True)
    (saved,) = report.fewer_products
    assert saved.name == "wide"
    assert not exact.fewer_products
    assert report.bytes > exact.bytes
    assert report.partitions == exact.partitions == 1
    assert report.delegated == report.total
    assert f"of {saved.before:,} multiplications" in str(report)
    assert f"{saved.after:,}" in report.as_html()
    x = np.random.default_rng(0).standard_normal((1, 400, WIDE)).astype("float32")
    np.testing.assert_allclose(output(report.path.read_bytes(), x), output(exact.path.read_bytes(), x), atol=1e-4)


def test_several_lengths_share_their_sums(tmp_path):
    model = vocoder_like()
    one = lk.export.to_tflite(model, tmp_path / "a.tflite", length=400, timing_seconds=0)
    two = lk.export.to_tflite(model, tmp_path / "b.tflite", length=[400, 300], timing_seconds=0)
    assert len(two.fewer_products) == 2
    assert two.bytes < 1.01 * one.bytes
    few = lk.export.to_tflite(model, tmp_path / "c.tflite", length=[400, 4], timing_seconds=0)
    assert len(few.fewer_products) == 1, "the short one keeps its products, and both kernels are there"


def test_a_file_that_would_be_refused_keeps_its_products(tmp_path):
    """Asked for more than rounding leaves, the export tries the products that define the layer before it refuses."""
    model = vocoder_like()
    exact = lk.export.to_tflite(model, tmp_path / "a.tflite", length=400, timing_seconds=0, exact_products=True)
    fewer = lk.export.to_tflite(model, tmp_path / "b.tflite", length=400, timing_seconds=0)
    assert fewer.snr_db < exact.snr_db
    between = (fewer.snr_db + exact.snr_db) / 2
    report = lk.export.to_tflite(model, tmp_path / "c.tflite", length=400, timing_seconds=0, floor_db=between)
    assert report.bytes == exact.bytes
    assert any(one.startswith("exact_products: ") for one in report.warnings)


def test_a_live_file_has_them_too(tmp_path):
    model = keras.Sequential([keras.Input((None, WIDE)), keras.layers.Conv1D(WIDE, 7, padding="causal", name="wide")])
    streaming = lk.StreamingModel(model)
    report = lk.export.streaming_to_tflite(streaming, tmp_path / "a.tflite", chunk=400, timing_seconds=0)
    assert {one.name for one in report.fewer_products} == {"wide"}
    exact = lk.export.streaming_to_tflite(
        streaming, tmp_path / "b.tflite", chunk=400, timing_seconds=0, exact_products=True
    )
    assert not exact.fewer_products


def test_nothing_is_left_of_what_it_replaced(tmp_path):
    model = keras.Sequential([keras.Input((400, WIDE)), keras.layers.Conv1D(WIDE, 7, padding="same")])
    report = lk.export.to_tflite(model, tmp_path / "a.tflite", timing_seconds=0)
    content = report.path.read_bytes()
    (graph,) = graphs(content)
    read = {name for one in graph for name in one.inputs}
    assert all(one.output in read for one in graph[:-1])
    weights = sum(np.prod(one.shape) for one in contents(content).tensors if one.constant and len(one.shape) == 4)
    assert 4 * weights < report.bytes < 4.04 * weights
