"""The one definition of dB, where nothing is left to divide by or nothing is finite."""

import math

import numpy as np
import pytest

from lucid_keras.export import snr_db


@pytest.mark.parametrize(
    ("reference", "result", "expected"),
    [
        ([1.0, 2.0], [1.0, 2.0], math.inf),
        ([0.0, 0.0], [0.0, 0.0], math.inf),
        ([0.0, 0.0], [0.0, 0.5], -math.inf),
        ([1.0, 2.0], [1.0, math.nan], -math.inf),
        ([1.0, math.inf], [1.0, math.inf], -math.inf),
        ([1e-200, 0.0], [1e200, 0.0], -math.inf),
        ([1e-100, 0.0], [1e100, 0.0], -4000.0),
    ],
)
def test_the_edges(reference, result, expected):
    assert snr_db(np.array(reference), np.array(result)) == pytest.approx(expected)


def test_energies_add_up_over_a_list_whose_arrays_differ_in_length():
    reference, result = [np.ones(90), np.ones(10)], [np.ones(90), np.ones(10) * 1.1]
    assert snr_db(reference, result) == pytest.approx(30)


def test_an_offset_is_signal_and_float32_squares_in_float64():
    reference = np.full(4, 2.0**80, np.float32)
    assert snr_db(reference, reference * np.float32(1.5)) == pytest.approx(10 * math.log10(4))


@pytest.mark.parametrize(("reference", "result"), [(np.ones((2, 1)), np.ones(2)), ([np.ones(2)], [np.ones(2)] * 2)])
def test_nothing_is_broadcast(reference, result):
    with pytest.raises(ValueError, match=r"must be equal|as many arrays"):
        snr_db(reference, result)
