"""What the engines serve: artefacts of one small upsampler, made once, and what it makes of a signal."""

import dataclasses
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest
from ragged_models import channels_first, looking_ahead

import lucid_keras as lk

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHUNK = 4


@dataclasses.dataclass(frozen=True)
class Served:
    """The model, its artefacts, and the samples that a stream is late."""

    model: keras.Model
    saved_model: pathlib.Path | None
    tflite: pathlib.Path | None
    live: tuple[pathlib.Path, ...]
    latency: int

    def expected(self, signal):
        return self.model(signal[np.newaxis])[0].numpy()

    def is_right(self, signal, y):
        expected = self.expected(signal)
        return y.shape == expected.shape and np.abs(y - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.fixture(scope="session")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    keras.utils.set_random_seed(3)
    model = looking_ahead()
    saved_model = lk.export.to_saved_model(model, folder / "upsampler" / "1", timing_seconds=0).path
    tflite = lk.export.to_tflite(model, folder / "upsampler.tflite", length="dynamic", timing_seconds=0).path
    return Served(model, saved_model, tflite, *live(model, folder, (1, 4)))


@pytest.fixture(scope="session")
def served_channels_first(tmp_path_factory):
    """Live alone."""
    keras.utils.set_random_seed(3)
    model = channels_first()
    return Served(model, None, None, *live(model, tmp_path_factory.mktemp("channels_first"), (2,)))


def live(model, folder, rows):
    """Live artefacts, and the latency."""
    streaming = lk.StreamingModel(model)
    options = {"chunk": CHUNK, "timing_seconds": 0}
    paths = [folder / f"live_{count}.tflite" for count in rows]
    for count, path in zip(rows, paths, strict=True):
        lk.export.streaming_to_tflite(streaming, path, batch=count, **options)
    return tuple(paths), streaming.latency


def drawn(lengths, seed=0):
    """Signals of these lengths."""
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((length, 4)).astype("float32") for length in lengths]
