"""Signals of any lengths in a call: each is what it is alone, whatever the artefact looks ahead at."""

import keras
import numpy as np
import pytest
from ragged_models import (
    causal,
    channels_first,
    far_apart,
    looking_ahead,
    mirrored,
    of_symbols,
    over_all,
    rounding,
)

import lucid_keras as lk
from lucid_keras.runtimes import Ragged, open_artefact
from lucid_keras.runtimes.ragged import decoded_or_why

LENGTHS = (27, 61, 64, 90, 90, 200, 33, 120)


MODELS = {
    "causal": (causal, "does not look ahead"),
    "looking ahead": (looking_ahead, "their last 32 positions another"),
    "channels first": (channels_first, "their last 16 positions another"),
    "over all": (over_all, "signals of one length share a call"),
    "rounding": (rounding, "signals of one length share a call"),
    "far apart": (far_apart, "signals of one length share a call"),
    "symbols": (of_symbols, "signals of one length share a call"),
    "mirrored": (mirrored, "their last 64 positions another"),
}


class Counting:
    """An artefact, and how many calls it has had."""

    def __init__(self, artefact):
        self.artefact, self.shapes = artefact, []

    @property
    def signatures(self):
        return self.artefact.signatures

    def run(self, name, inputs):
        self.shapes.append(next(iter(inputs.values())).shape)
        return self.artefact.run(name, inputs)


def signals(model, lengths=LENGTHS):
    rng = np.random.default_rng(1)
    if len(model.inputs[0].shape) == 2:
        return [rng.integers(0, 9, length, "int32") for length in lengths]
    last = model.inputs[0].shape[-1] is not None
    drawn = [rng.standard_normal((length, 4)).astype("float32") for length in lengths]
    return drawn if last else [signal.T for signal in drawn]


@pytest.mark.parametrize("name", MODELS)
def test_each_is_what_it_is_alone(name, tmp_path):
    keras.utils.set_random_seed(3)
    make, described = MODELS[name]
    model = make()
    counting = Counting(open_artefact(lk.export.to_saved_model(model, tmp_path / "served", timing_seconds=0).path))
    ragged = Ragged(counting)
    assert described in ragged.describe()
    counting.shapes.clear()
    given = signals(model)
    found = ragged.decode(given)
    for signal, y in zip(given, found, strict=True):
        expected = model(signal[np.newaxis])[0].numpy()
        assert y.shape == expected.shape
        np.testing.assert_allclose(y, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    assert len(counting.shapes) < len(given)


def test_calls_are_filled_and_no_larger_than_is_wanted(tmp_path):
    model = causal()
    counting = Counting(open_artefact(lk.export.to_saved_model(model, tmp_path / "served", timing_seconds=0).path))
    ragged = Ragged(counting, most=2)
    counting.shapes.clear()
    ragged.decode(signals(model, [100, 10, 99, 98, 500]))
    assert sorted(counting.shapes) == [(1, 10, 4), (1, 100, 4), (1, 500, 4), (2, 99, 4)]


@pytest.mark.parametrize("quantization", ["float32", "dynamic_int8"])
def test_a_file_of_open_length(quantization, tmp_path):
    keras.utils.set_random_seed(3)
    model = looking_ahead()
    path = tmp_path / "file.tflite"
    lk.export.to_tflite(model, path, length="dynamic", quantization=quantization, timing_seconds=0)
    alone = open_artefact(path)
    ((name, signature),) = alone.signatures.items()
    (x,) = signature.inputs
    given = signals(model)
    for signal, y in zip(given, Ragged(open_artefact(path)).decode(given), strict=True):
        (expected,) = alone.run(name, {x: signal[np.newaxis]}).values()
        np.testing.assert_allclose(y, expected[0], rtol=0, atol=1e-5 * np.abs(expected).max())


def test_nothing_is_decoded_where_one_does_not_fit(tmp_path):
    model = causal()
    counting = Counting(open_artefact(lk.export.to_saved_model(model, tmp_path / "served", timing_seconds=0).path))
    ragged = Ragged(counting)
    counting.shapes.clear()
    (good,) = signals(model, [20])
    for bad, message in (
        (good[:, :3], r"float32\[None, 4\] .* Received: float32\[20, 3\]"),
        (good[:0], r"any length from 1\). Received: float32\[0, 4\]"),
        (np.where(good > 1, np.nan, good), "must be finite. Received: 5 numbers"),
        (good.astype("int32"), r"Received: int32\[20, 4\]"),
    ):
        with pytest.raises(ValueError, match=message):
            ragged.decode([good, bad])
    assert not counting.shapes


def test_a_fixed_length_or_several_inputs_are_refused(tmp_path):
    path = tmp_path / "fixed.tflite"
    lk.export.to_tflite(causal(), path, length=20, timing_seconds=0)
    with pytest.raises(ValueError, match="must leave its length open"):
        Ragged(open_artefact(path))
    a, b = keras.Input((None, 4), name="a"), keras.Input((None, 4), name="b")
    two = lk.export.to_saved_model(keras.Model([a, b], a + b), tmp_path / "two", timing_seconds=0)
    with pytest.raises(ValueError, match=r"one input and one output. Received: \['a', 'b'\]"):
        Ragged(open_artefact(two.path))


@pytest.mark.parametrize("most", [0, 1.5])
def test_a_call_has_a_signal_at_least(most, tmp_path):
    served = lk.export.to_saved_model(causal(), tmp_path / "served", timing_seconds=0)
    with pytest.raises((TypeError, ValueError), match="most must be"):
        Ragged(open_artefact(served.path), most=most)


def test_recordings_in_the_layouts_there_are(tmp_path):
    rng = np.random.default_rng(0)
    recording = rng.standard_normal((40, 4)).astype("float32")
    for make, as_given in ((causal, recording), (channels_first, recording.T)):
        served = lk.export.to_saved_model(make(), tmp_path / make.__name__, timing_seconds=0)
        ragged = Ragged(open_artefact(served.path))
        np.testing.assert_array_equal(ragged.of_recording(recording), as_given)
        (y,) = ragged.decode([as_given])
        assert ragged.to_recording(y).shape == (max(y.shape), 2)
    samples = keras.Input((None,))
    without = keras.Model(samples, lk.ConvTranspose1d(1, 1, 4, 2, 1)(samples[:, None])[:, 0])
    ragged = Ragged(open_artefact(lk.export.to_saved_model(without, tmp_path / "without", timing_seconds=0).path))
    assert ragged.of_recording(recording[:, :1]).shape == (40,)
    assert ragged.to_recording(ragged.decode([recording[:, 0]])[0]).shape == (80, 1)
    with pytest.raises(ValueError, match=r"must have one channel\. Received: 4"):
        ragged.of_recording(recording)


def test_one_that_fails_costs_the_others_nothing():
    def decode(signals):
        if "bad" in signals:
            raise RuntimeError("a runtime's own words")
        return [signal.upper() for signal in signals]

    found = decoded_or_why(decode, ["one", "bad", "two"])
    assert found == [("ONE", None), (None, "a runtime's own words"), ("TWO", None)]
    assert decoded_or_why(decode, []) == []
