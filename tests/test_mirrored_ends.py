"""Ends that are mirrored: NumPy's numbers, one partition in a file, and an error where the signal is too short."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import lucid_keras as lk
from lucid_keras.export.flatbuffer import contents
from lucid_keras.layers.mirrored_ends import FEW, MirroredEnds
from lucid_keras.layers.repeated_ends import RepeatedEnds

ENDS = [(6, 0), (0, 3), (2, 5), (0, 0), (FEW, FEW)]


@pytest.mark.parametrize("ends", ENDS, ids=str)
@pytest.mark.parametrize("shape", [(2, 20, 3), (None, 20, 3), (2, None, 3), (None, None, 3)], ids=str)
def test_as_numpy(ends, shape, rng):
    x = rng.standard_normal((2, 20, 3)).astype("float32")
    layer = MirroredEnds(*ends)
    compute = tf.function(layer, input_signature=[tf.TensorSpec(shape)], autograph=False)
    want = np.pad(x, [(0, 0), ends, (0, 0)], mode="reflect")
    np.testing.assert_array_equal(compute(x), want)
    assert layer(keras.Input(shape[1:], batch_size=shape[0])).shape == (
        shape[0], shape[1] and want.shape[1], 3,
    )  # fmt: skip


@pytest.mark.parametrize("ends", [(5, 0), (0, 5), (FEW + 1, 0)], ids=str)
def test_a_signal_that_is_too_short(ends):
    with pytest.raises(
        ValueError, match=r"mirrored of a signal that has more. Received: an input of shape \[1, 5, 2\]"
    ):
        MirroredEnds(*ends)(tf.ones([1, 5, 2]))
    compute = tf.function(MirroredEnds(*ends), input_signature=[tf.TensorSpec([1, None, 2])], autograph=False)
    with pytest.raises(tf.errors.InvalidArgumentError):
        compute(tf.ones([1, 5, 2]))


@pytest.mark.parametrize("kind", [MirroredEnds, RepeatedEnds])
def test_one_partition_and_saved(kind, tmp_path, rng):
    model = keras.Sequential([keras.Input((None, 8)), kind(6, 6), keras.layers.Conv1D(4, 7)])
    report = lk.export.to_tflite(model, tmp_path / "ends.tflite", length=40, timing_seconds=0)
    assert (report.delegated, report.partitions) == (report.total, 1)
    assert "MIRROR_PAD" not in contents((tmp_path / "ends.tflite").read_bytes()).counts()
    model.save(tmp_path / "ends.keras")
    x = rng.standard_normal((1, 40, 8)).astype("float32")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "ends.keras")(x), model(x))


def test_it_does_not_stream():
    with pytest.raises(ValueError, match='mode="reflect" repeats the signal beyond its ends'):
        lk.StreamingModel(keras.Sequential([keras.Input((None, 8)), MirroredEnds(6, 0), keras.layers.Conv1D(4, 7)]))
