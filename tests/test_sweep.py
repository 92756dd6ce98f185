"""Random configurations over the whole legal space, in every dtype: the long sweep and a short draw."""

import pathlib

import arrays
import keras
import numpy as np
import pytest
from cases import random_case
from sweep import CONFIGURATIONS, MODES, PARTS, POLICIES, value_and_gradients
from test_lowerings import assert_exact, in_a_process_of_its_own

from lucid_keras._lowering.lowerings import LOWER

SWEEP = pathlib.Path(__file__).parent / "sweep.py"


@pytest.mark.sweep
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("policy", POLICIES)
def test_random_configurations(policy, part):
    """Every lowering in every mode, forward and gradients, exactly, none excluded."""
    assert f"{CONFIGURATIONS} configurations agree" in in_a_process_of_its_own(str(SWEEP), policy, str(part))


@pytest.mark.parametrize("policy", POLICIES)
def test_random_configurations_eagerly(policy):
    """A short draw from the same space; the sweep above is the long one."""
    rng, policy = np.random.default_rng(99), keras.DTypePolicy(policy)
    for _ in range(20):
        case = random_case(rng)
        data = arrays.integers(case, rng, policy.compute_dtype)
        for lowering in LOWER:
            assert_exact(case, data, value_and_gradients(case, data, lowering, policy, MODES["eager"]))
