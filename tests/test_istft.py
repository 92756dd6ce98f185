"""`ISTFT` with `padding="same"`, and few frames, against the definition; `test_torch.py` compares it with torch."""

import keras
import numpy as np
import pytest
import reference
import tensorflow as tf
from tolerances import relative_tolerance

import lucid_keras as lk

SHAPES = {
    "vocos": (32, 8, 32, "hann"),
    "a hop that does not divide": (32, 6, 32, "hann"),
    "an odd rest": (16, 5, 16, "hamming"),
    "a short window": (32, 8, 24, "hann"),
    "no overlap": (8, 8, 8, "rectangular"),
}


def window_of(name, length):
    turn = 2 * np.pi * np.arange(length) / length
    offset = {"hann": 0.5, "hamming": 0.54, "rectangular": 1}[name]
    return offset - (1 - offset) * np.cos(turn)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("frames", [1, 2, 11])
@pytest.mark.parametrize("shape", SHAPES)
def test_each_frame_gives_a_hop(shape, frames, known, rng):
    n_fft, hop, win, window = SHAPES[shape]
    bins = n_fft // 2 + 1
    parts = rng.standard_normal((2, 2 * bins, frames))
    parts[:, [bins, -1]] = 0  # what has no imaginary part
    layer = lk.ISTFT(n_fft, hop, win, window, padding="same", dtype="float64")
    missing = n_fft - win
    padded = np.pad(window_of(window, win), (missing // 2, missing - missing // 2))
    want = reference.istft(parts[:, :bins] + 1j * parts[:, bins:], padded, hop, (n_fft - hop) // 2)
    shape = [None, 2 * bins, frames if known else None]
    got = tf.function(layer, input_signature=[tf.TensorSpec(shape, tf.float64)], autograph=False)(parts)
    assert got.shape == want.shape == layer.compute_output_shape(parts.shape)
    assert want.shape[1] == frames * hop + (n_fft - hop) % 2
    assert abs(got - want).numpy().max() <= relative_tolerance("float64", n_fft * bins) * abs(want).max()


def test_the_padding_is_part_of_the_config():
    layer = lk.ISTFT(16, 4, padding="same")
    copy = lk.ISTFT.from_config(layer.get_config())
    assert copy.padding == "same"
    assert keras.Sequential([keras.Input((18, 10)), copy]).output_shape == (None, 40)


def test_too_few_frames_are_refused():
    """Which leave a sample to windows that are zero there, though in the midst of frames others cover it."""
    layer = lk.ISTFT(4, 1, window=[1.0, 0.0, 0.0, 1.0], center=False)
    with pytest.raises(ValueError, match=r"no sample uncovered.*Received: 0 at sample 2 of 2 frames of 4 samples"):
        layer(np.zeros((1, 6, 2), "float32"))


def test_a_stored_kernel_is_not_loaded(tmp_path):
    """It follows from the arguments; that of a file from before the division was part of it would not fit."""
    old, new = (keras.Sequential([keras.Input((34, 9)), lk.ISTFT(32, name="istft")]) for _ in range(2))
    spectrum = np.random.default_rng(0).standard_normal((1, 34, 9)).astype("float32")
    want = np.asarray(new(spectrum))
    old.layers[0].synthesis.weight.assign(2 * old.layers[0].synthesis.weight)
    old.save_weights(tmp_path / "old.weights.h5")
    new.load_weights(tmp_path / "old.weights.h5")
    np.testing.assert_array_equal(np.asarray(new(spectrum)), want)
