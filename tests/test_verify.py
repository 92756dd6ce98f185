"""`lucid-keras verify`: every kind of artefact, also where the model calls its inputs otherwise than the artefact."""

import keras
import numpy as np
import pytest

import lucid_keras as lk
from lucid_keras.export import to_saved_model, to_stablehlo, to_tflite
from lucid_keras.export.verify import verified


def two_inputs(names=(None, None), shapes=((4, 8), (6, 8))):
    """A model that tells its inputs apart."""
    keras.utils.set_random_seed(4)
    first, second = (keras.Input(shape, name=name) for shape, name in zip(shapes, names, strict=True))
    up = [lk.ConvTranspose1d(shape[0], 2, 4, stride=2) for shape in shapes]
    return keras.Model([first, second], up[0](first) - 2 * up[1](second))


def one_input():
    keras.utils.set_random_seed(4)
    return keras.Sequential([keras.Input((4, 8)), lk.ConvTranspose1d(4, 2, 4, stride=2)])


def reloaded(model, folder):
    model.save(folder / "model.keras")
    return keras.models.load_model(folder / "model.keras")


ARTEFACTS = {
    "a.tflite": lambda model, path: to_tflite(model, path, timing_seconds=0),
    "saved": lambda model, path: to_saved_model(model, path, timing_seconds=0),
    "a.stablehlo": lambda model, path: to_stablehlo(model, path, vjp=True, batch=2, timing_seconds=0),
}


@pytest.mark.parametrize("kind", ARTEFACTS)
@pytest.mark.parametrize("build", [one_input, two_inputs])
def test_an_artefact_made_from_memory_is_verified_after_reloading(kind, build, tmp_path):
    model = build()
    ARTEFACTS[kind](model, tmp_path / kind)
    again = reloaded(model, tmp_path)
    assert {one.name for one in again.inputs} != {one.name for one in model.inputs}  # or this shows nothing
    proof = verified(tmp_path / kind, again)
    assert min(one.snr_db for one in proof.outputs) > 110
    assert {one.signature for one in proof.outputs} >= ({"forward", "vjp"} if kind == "a.stablehlo" else set())


@pytest.mark.parametrize("kind", ARTEFACTS)
def test_inputs_of_one_shape_are_told_by_name(kind, tmp_path):
    shapes = ((4, 8), (4, 8))
    ARTEFACTS[kind](two_inputs(("left", "right"), shapes), tmp_path / kind)
    assert min(one.snr_db for one in verified(tmp_path / kind, two_inputs(("left", "right"), shapes)).outputs) > 110
    assert min(one.snr_db for one in verified(tmp_path / kind, two_inputs(("right", "left"), shapes)).outputs) < 10
    with pytest.raises(ValueError, match=r"must have the model's inputs, .* by name or each of a shape of its own."):
        verified(tmp_path / kind, two_inputs(("one", "other"), shapes))


@pytest.mark.parametrize("kind", ARTEFACTS)
def test_another_number_of_inputs_is_refused(kind, tmp_path):
    ARTEFACTS[kind](two_inputs(), tmp_path / kind)
    with pytest.raises(ValueError, match=r"must have the model's inputs"):
        verified(tmp_path / kind, one_input())


def test_data_go_by_the_models_names(tmp_path):
    model = two_inputs()
    to_tflite(model, tmp_path / "a.tflite", timing_seconds=0)
    again = reloaded(model, tmp_path)
    data = {one.name: np.random.default_rng(1).standard_normal((3, *one.shape[1:])) for one in again.inputs}
    (one,) = verified(tmp_path / "a.tflite", again, data).outputs
    assert one.samples == 3


def test_there_must_be_an_artefact(tmp_path):
    with pytest.raises(FileNotFoundError, match="The artefact must exist"):
        verified(tmp_path / "nothing", one_input())
    (tmp_path / "a.stablehlo").mkdir()
    (tmp_path / "a.stablehlo" / "manifest.json").write_text("{}")
    with pytest.raises(ValueError, match="must hold whole StableHLO programs"):
        verified(tmp_path / "a.stablehlo", one_input())
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="must hold a whole SavedModel"):
        verified(tmp_path / "empty", one_input())
