"""Settings of every test run: quiet TensorFlow, reproducible random numbers, deterministic Hypothesis."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import hypothesis
import keras
import numpy as np
import pytest

hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def _seed():
    keras.utils.set_random_seed(20260)


@pytest.fixture
def rng():
    return np.random.default_rng(20260)
