"""The ranges of a file's activations: what they are of, and that they lose less than the extremes do."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.lite.python.convert import mlir_quantize

import lucid_keras as lk
from lucid_keras.export.accuracy import snr_db
from lucid_keras.export.convert import convert
from lucid_keras.export.flatbuffer import contents
from lucid_keras.export.flatbuffer_edits import with_ranges
from lucid_keras.export.ranges import Distribution, clipped, ranges, statistics
from lucid_keras.export.recipes import RECIPES
from lucid_keras.export.signatures import Signature
from lucid_keras.runtimes import LiteRT


def distribution_of(*arrays):
    found = Distribution()
    for array in arrays:
        found.add(np.asarray(array, np.float32))
    return found


def squared_error(values, low, high):
    step = (high - low) / 255
    zero = np.round(-low / step)
    return np.sum(np.square((np.clip(np.round(values / step) + zero, 0, 255) - zero) * step - values))


def heavy_tailed(rng, count=20_000):
    return rng.standard_t(2, count).astype(np.float32)


def test_parts_add_up_to_the_whole(rng):
    values = heavy_tailed(rng)
    whole, parts = distribution_of(values), distribution_of(values[:99]) + distribution_of(values[99:])
    np.testing.assert_array_equal(parts.counts, whole.counts)
    assert parts.extremes == whole.extremes == (values.min(), values.max())
    assert whole.counts.sum() == values.size


def test_zero_is_within_and_what_is_not_finite_left_out():
    assert distribution_of([2, np.inf, 3, np.nan]).extremes == (0, 3)
    assert distribution_of([-2, -3], []).extremes == (-3, 0)
    assert distribution_of(np.zeros(9)).extremes == (0, 0)


def test_of_both_ends_the_least_squared_error(rng):
    for values in (heavy_tailed(rng), np.abs(heavy_tailed(rng)), np.maximum(heavy_tailed(rng), -0.1)):
        one = distribution_of(values)
        low, high = ranges({(0, 0): one})[0, 0]
        ends = [np.outer(np.geomspace(1, 0.02, 40), end).ravel() for end in one.extremes]
        best = min(squared_error(values, a, b) for a in np.unique(ends[0]) for b in np.unique(ends[1]))
        assert one.extremes[0] <= low <= 0 <= high <= one.extremes[1]
        assert squared_error(values, low, high) < 1.05 * best


def test_one_loud_value_of_many_is_clipped(rng):
    values = np.append(rng.standard_normal(1_000_000), 20).astype(np.float32)
    one = distribution_of(values)
    _, high = ranges({(0, 0): one})[0, 0]
    assert high < 12
    assert squared_error(values, *ranges({(0, 0): one})[0, 0]) < squared_error(values, *one.extremes) / 1.5


def test_a_constant_has_its_own_range():
    assert ranges({(0, 0): distribution_of(np.zeros(9)), (0, 1): distribution_of(np.full(9, -3.0))}) == {
        (0, 0): (0, 0),
        (0, 1): (-3, 0),
    }


def test_the_share_outside_the_range(rng):
    values = rng.uniform(-1, 1, 10_000)
    chosen = {(0, 0): (-0.5, 2.0)}
    assert clipped(chosen, {(0, 0): distribution_of(values)})[0, 0] == pytest.approx(0.25, abs=0.02)
    assert clipped(chosen, {(0, 0): distribution_of(values.clip(-0.5, None))})[0, 0] == 0


@pytest.fixture(scope="module")
def decoder():
    """A file of two lengths around a loop, with its calibration data."""
    frames = keras.Input((None, 8), name="x")
    x = keras.layers.LSTM(16, return_sequences=True)(frames)
    x = lk.ConvTranspose1d(16, 8, 8, stride=4, data_format="channels_last")(keras.layers.LeakyReLU()(x))
    model = keras.Model(frames, keras.layers.Conv1D(2, 3, activation="tanh")(x))
    rng = np.random.default_rng(5)
    signatures = [Signature(f"of_{n}", {"x": tf.TensorSpec((1, n, 8), "float32")}) for n in (20, 7)]
    samples = {f"of_{n}": [{"x": rng.standard_normal((1, n, 8)).astype(np.float32)} for _ in range(4)] for n in (20, 7)}
    return convert(model, signatures, RECIPES["float32"]).written(), samples


def test_every_signature_has_its_statistics_and_no_loop(decoder):
    content, samples = decoder
    found = statistics(content, samples)
    assert {graph for graph, _ in found} == {0, 1}  # the loops' bodies come after the signatures
    of_inputs = [one.extremes for (_, tensor), one in found.items() if tensor == 0]
    for given in samples.values():
        values = np.concatenate([sample["x"].ravel() for sample in given])
        assert (values.min(), values.max()) in of_inputs


def test_of_the_wanted_tensors_alone(decoder):
    content, samples = decoder
    found = statistics(content, samples)
    wanted = set(list(found)[::3])
    some = statistics(content, samples, wanted)
    assert set(some) == wanted
    assert all(some[tensor].extremes == found[tensor].extremes for tensor in wanted)


def test_a_loop_stays_in_float_beside_int8(decoder):
    content, samples = decoder
    quantized = bytes(mlir_quantize(with_ranges(content, ranges(statistics(content, samples)))))
    dtypes = {(one.name, one.dtypes[0]) for one in contents(quantized).operators}
    assert ("CONV_2D", "int8") in dtypes
    assert ("CONV_2D", "float32") not in dtypes
    for signature, given in samples.items():
        exact, rounded = (next(iter(LiteRT(one).run(signature, given[0]).values())) for one in (content, quantized))
        assert snr_db(exact, rounded) > 20
