"""The smallest file that holds: recipes in turn for a device, from Python and from the command line."""

import itertools

import keras
import numpy as np
import pytest
from test_culprits import LENGTH, residual

from lucid_keras import cli
from lucid_keras.export import BelowFloorError, convert, selection, smallest, smallest_tflite
from lucid_keras.export.flatbuffer import read
from lucid_keras.export.ladders import LADDERS
from lucid_keras.export.recipes import RECIPES
from lucid_keras.runtimes.litert import interpreter

DATA = np.random.default_rng(0).standard_normal((10, LENGTH, 8)).astype("f")
OPTIONS = {"length": LENGTH, "timing_seconds": 0}


@pytest.fixture(autouse=True)
def _names_count_from_here():
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return residual()


@pytest.mark.parametrize("device", LADDERS)
def test_each_device_gets_the_first_recipe_that_holds(device, model, tmp_path):
    report = smallest_tflite(model, tmp_path / "x.tflite", device=device, floor_db=28, calibration_data=DATA, **OPTIONS)
    assert report.snr_db >= 28
    assert report.quantization == report.curve[-1].recipe
    assert all(one.snr_db < 28 for one in report.curve[:-1])
    order = list(dict.fromkeys(name for name, _ in LADDERS[device]))
    assert list(dict.fromkeys(one.recipe for one in report.curve)) == order[: len({one.recipe for one in report.curve})]
    assert report.bytes == (tmp_path / "x.tflite").stat().st_size


@pytest.mark.parametrize("device", ["npu", "micro"])
def test_devices_of_integers_are_given_integers(device, model, tmp_path):
    smallest_tflite(model, tmp_path / "x.tflite", device=device, calibration_data=DATA, **OPTIONS)
    loaded = interpreter((tmp_path / "x.tflite").read_bytes())
    assert {one["dtype"] for one in loaded.get_input_details() + loaded.get_output_details()} == {np.int8}


def test_what_integers_hold_badly_stays_in_float32_before_layers_are_looked_for(tmp_path):
    layers = [keras.layers.Dense(16), keras.layers.LayerNormalization(name="norm"), keras.layers.Dense(4)]
    model = keras.Sequential([keras.Input((LENGTH, 8)), *layers])
    options = {"device": "npu", "floor_db": 36, "calibration_data": DATA, "timing_seconds": 0}
    report = smallest_tflite(model, tmp_path / "x.tflite", **options)
    assert [(one.recipe, one.kept) for one in report.curve] == [
        ("int8", ()),
        ("int16x8", ()),
        ("int16x8", ("norm",)),
    ]
    assert report.float_layers == ("norm",)


def test_recipes_for_activations_are_left_out_without_data(model, tmp_path):
    report = smallest_tflite(model, tmp_path / "x.tflite", floor_db=60, **OPTIONS)
    assert not [one.recipe for one in report.curve if RECIPES[one.recipe].calibrated]
    with pytest.raises(ValueError, match="'npu' takes integers alone, whose ranges need calibration_data"):
        smallest_tflite(model, tmp_path / "y.tflite", device="npu", **OPTIONS)


def test_some_layers_stay_in_float_before_twice_the_size_is_written(model, tmp_path):
    report = smallest_tflite(model, tmp_path / "x.tflite", floor_db=45, **OPTIONS)
    assert report.quantization == "dynamic_int8"
    assert report.float_layers
    assert [one.recipe for one in report.curve[:3]] == ["weight_only_int4", "dynamic_int8", "weight_only_int8"]


def test_one_conversion_serves_all_recipes_of_integers(model, tmp_path, monkeypatch):
    converted, calls = convert._converted, []
    monkeypatch.setattr(convert, "_converted", lambda *given: calls.append(given[2].name) or converted(*given))
    with pytest.raises(BelowFloorError):
        smallest_tflite(model, tmp_path / "x.tflite", floor_db=300, calibration_data=DATA, **OPTIONS)
    assert calls == ["weight_only_int4", "float16"]


def test_a_floor_that_nothing_reaches_names_the_best_and_writes_nothing(model, tmp_path):
    with pytest.raises(BelowFloorError, match=r"for 'phone-gpu' must reach 300 dB .* float32, of 2 files tried"):
        smallest_tflite(model, tmp_path / "x.tflite", device="phone-gpu", floor_db=300, **OPTIONS)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def _slow(monkeypatch):
    """As if each recipe took longer than the limit of `LATE`."""
    clock = itertools.count(step=10)
    monkeypatch.setattr(smallest.time, "monotonic", lambda: next(clock))
    assert selection.time is smallest.time


LATE = {"floor_db": 60, "time_limit": 5}


@pytest.mark.usefixtures("_slow")
def test_after_the_limit_floating_point_is_left(model, tmp_path):
    report = smallest_tflite(model, tmp_path / "x.tflite", **LATE, **OPTIONS)
    assert [one.recipe for one in report.curve] == ["weight_only_int4", "float16"]
    assert report.snr_db >= 60
    told = "time_limit: it had passed before all was tried of dynamic_int8, weight_only_int8"
    assert report.warnings == (told,)


@pytest.mark.usefixtures("_slow")
def test_after_the_limit_nothing_is_left_for_a_device_of_integers(model, tmp_path):
    told = r"of 1 files tried; time_limit: it had passed before all was tried of int16x8, int8$"
    with pytest.raises(BelowFloorError, match=told):
        smallest_tflite(model, tmp_path / "x.tflite", device="npu", calibration_data=DATA, **LATE, **OPTIONS)


WRONG = {
    "device": ({"device": "toaster"}, ValueError, "device must be one of 'phone-cpu'"),
    "floor": ({"floor_db": "loud"}, TypeError, "floor_db must be a number"),
    "limit": ({"time_limit": -1}, ValueError, "time_limit must be finite and at least 0"),
    "runtime": ({"prove_on": ["moon"]}, ValueError, "runtime must be one of"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_arguments_are_refused(kind, model, tmp_path):
    options, error, message = WRONG[kind]
    with pytest.raises(error, match=message):
        smallest_tflite(model, tmp_path / "x.tflite", **OPTIONS | options)


def test_from_the_command_line(model, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model.save("m.keras")
    np.save("data.npy", DATA)
    assert lucid_keras("export m.keras x.tflite --quantization auto --floor 28 --for browser --length 24") == 0
    assert "tried" in capsys.readouterr().out
    assert read(tmp_path / "x.tflite").operators
    assert lucid_keras("export m.keras x.tflite --for npu --length 24") == 1
    assert "--for and --time-limit go with --quantization auto" in capsys.readouterr().err
    in_int8 = "export m.keras y.tflite --quantization int8 --calibration data.npy --length 24 --float-layers"
    assert lucid_keras(f"{in_int8} auto --floor 30") == 0
    assert "tried" in capsys.readouterr().out
    assert lucid_keras(f"{in_int8} up,first") == 0
    assert "up, first" in capsys.readouterr().out


def lucid_keras(words):
    return cli.main(words.split())
