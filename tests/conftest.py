"""Settings of every test run: quiet TensorFlow, reproducible random numbers, deterministic Hypothesis."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import hypothesis
import keras
import numpy as np
import pytest
import tensorflow as tf

# Two logical devices, before TensorFlow looks at its devices: what tf.distribute is tried on.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)

hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def _seed():
    keras.utils.set_random_seed(20260)


@pytest.fixture
def rng():
    return np.random.default_rng(20260)
