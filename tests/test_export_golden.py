"""Today's code reads the committed artefacts and computes the committed outputs."""

import hashlib
import importlib.util
import json
import pathlib

import keras
import numpy as np
import pytest
from tolerances import SNR_FLOOR, relative_tolerance

import lucid_keras as lk
from lucid_keras.export.artefact import verified
from lucid_keras.export.litert import Runner
from lucid_keras.export.recipes import RECIPES
from lucid_keras.export.saved_model import SavedModelRunner
from lucid_keras.export.stablehlo import StableHloRunner
from lucid_keras.export.verify import compare

ROOT = pathlib.Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "saved_models" / "golden"
TERMS = 256  # multiply-adds behind one output sample, rounded up


@pytest.fixture(scope="module")
def outputs():
    return dict(np.load(GOLDEN / "outputs.npz"))


def same(given, expected):
    np.testing.assert_allclose(given, expected, rtol=0, atol=relative_tolerance("float32", TERMS) * abs(expected).max())


def test_every_file_is_the_one_of_the_manifest():
    manifest = json.loads((GOLDEN / "manifest.json").read_text())
    files = {path for path in GOLDEN.rglob("*") if path.is_file() and path.name != "manifest.json"}
    files |= {GOLDEN / "decoder.stablehlo" / "manifest.json"}
    found = {str(path.relative_to(GOLDEN)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    assert found == manifest["sha256"]
    assert sum(path.stat().st_size for path in files) < 3_000_000


def test_the_keras_file_loads(outputs):
    model = keras.models.load_model(GOLDEN / "decoder.keras")
    assert sum(isinstance(layer, lk.ConvTranspose1d) for layer in model.layers) == 4
    same(model(outputs["mel"]).numpy(), outputs["keras"])


def test_the_saved_model_loads(outputs):
    same(SavedModelRunner(GOLDEN / "saved_model")("serving_default", {"mel": outputs["mel"]})["wave"], outputs["keras"])


def test_the_stablehlo_program_runs(outputs):
    program = json.loads((GOLDEN / "decoder.stablehlo" / "manifest.json").read_text())["programs"]["forward"]
    described = [[tuple(one.values()) for one in program[kind]] for kind in ("parameters", "results")]
    run = StableHloRunner((GOLDEN / "decoder.stablehlo" / program["file"]).read_bytes(), *described)
    same(run({"mel": outputs["mel"]})["wave"], outputs["keras"])


@pytest.mark.parametrize("quantization", RECIPES)
def test_the_tflite_file_runs(quantization, outputs):
    run = Runner((GOLDEN / f"{quantization}.tflite").read_bytes())
    given = run("serving_default", {"mel": outputs["mel"]})["wave"]
    assert compare([outputs["keras"]], [given])[0] >= SNR_FLOOR.get(quantization, RECIPES[quantization].floor_db)
    # The machine that made it may round a sum otherwise; a step of the output's scale is far below 60 dB only in int8.
    assert compare([outputs[quantization]], [given])[0] >= (40 if quantization == "int8" else 60)


def test_todays_layers_agree_with_yesterdays_file():
    outputs = verified(GOLDEN / "float32.tflite", keras.models.load_model(GOLDEN / "decoder.keras"))
    assert min(one.snr_db for one in outputs) >= SNR_FLOOR["float32"]


def test_the_builder_plans_what_is_there():
    spec = importlib.util.spec_from_file_location("build_saved_models", ROOT / "export" / "build_saved_models.py")
    builder = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(builder)
    assert sorted([*builder.planned(), "manifest.json"]) == sorted(path.name for path in GOLDEN.iterdir())
