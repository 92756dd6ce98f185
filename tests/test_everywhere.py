"""Every recipe on every runtime: the registry's cases, the golden files and live files, each at its floor or refused.

`make runtimes` runs this and makes a page of what it leaves in `saved_models/runtimes/`.
"""

import dataclasses
import json
import pathlib

import keras
import numpy as np
import pytest
from refused import refusal
from small_examples import LIVE
from test_export_registry import CALIBRATED, exportable, floor_of, model_of, report_of

import lucid_keras as lk
from lucid_keras.export.elsewhere import tried
from lucid_keras.export.proof import Floor
from lucid_keras.export.recipes import RECIPES
from lucid_keras.export.report import finite
from lucid_keras.export.verify import opened
from lucid_keras.runtimes import RUNTIMES, kind_of

pytestmark = pytest.mark.runtimes

ROOT = pathlib.Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "saved_models" / "golden"
RESULTS = ROOT / "saved_models" / "runtimes"
STREAMS = [name for name, recipe in RECIPES.items() if recipe.streams]


def check(kind, recipe, path, model, data):
    """Run a file everywhere, keep what came of it, and raise where a runtime is neither right nor known to refuse."""
    _, model, claims = opened(path, model, data)
    floor = Floor(floor_of(recipe), yields=False, recipe=recipe, written=True)
    names = [name for name, runtime in RUNTIMES.items() if runtime.kind == kind_of(path)]
    proofs = [tried(model, claims, path, name, floor, seconds=0.05) for name in names]
    RESULTS.mkdir(exist_ok=True)
    rows = [finite(dataclasses.asdict(one) | {"conditions": None}) for one in proofs]
    (RESULTS / f"{kind}-{recipe}.json").write_text(json.dumps(rows, indent=1) + "\n")
    known = {name: sentence for name in names if (sentence := refusal(kind, recipe, name)) is not None}
    refused = {one.name: one.refusal for one in proofs if one.refusal}
    assert set(refused) == set(known), refused
    assert not [(name, said) for name, said in refused.items() if known[name] not in said]


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_case(recipe, tmp_path, rng):
    cases = exportable()
    path = report_of(cases, recipe, tmp_path / "all.tflite", rng).path
    keras.utils.set_random_seed(20260)
    model = model_of(cases)
    check("layers", recipe, path, model, {x.name: rng.uniform(-1, 1, [2, *x.shape[1:]]) for x in model.inputs})


@pytest.fixture
def decoder():
    return keras.models.load_model(GOLDEN / "whole" / "decoder.keras")


@pytest.fixture
def mel():
    return np.load(GOLDEN / "whole" / "outputs.npz")["mel"]


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_golden_decoder(recipe, decoder, mel):
    check("decoder", recipe, GOLDEN / "whole" / f"{recipe}.tflite", decoder, {"mel": mel})


@pytest.mark.parametrize(("kind", "name"), [("SavedModel", "saved_model"), ("StableHLO", "decoder.stablehlo")])
def test_the_golden_decoder_for_servers(kind, name, decoder, mel):
    check(kind, "float32", GOLDEN / "whole" / name, decoder, {"mel": mel})


def test_an_open_length(decoder, mel, tmp_path):
    path = lk.export.to_tflite(decoder, tmp_path / "open.tflite", length="dynamic", timing_seconds=0).path
    check("open length", "float32", path, decoder, {"mel": mel})


@pytest.mark.parametrize("recipe", CALIBRATED)
def test_integers_in_and_out(recipe, decoder, mel, rng, tmp_path):
    data = {"mel": rng.uniform(-1, 1, (50, *mel.shape[1:])).astype("float32")}
    options = {"length": mel.shape[2], "calibration_data": data, "integer_io": True, "timing_seconds": 0}
    path = lk.export.to_tflite(decoder, tmp_path / "integers.tflite", quantization=recipe, **options).path
    check("integers in and out", recipe, path, decoder, {"mel": mel})


@pytest.fixture(scope="module")
def live_decoder():
    return keras.models.load_model(GOLDEN / "live" / "decoder.keras")


@pytest.fixture(scope="module")
def codes():
    return np.load(GOLDEN / "live" / "outputs.npz")["codes"]


@pytest.mark.parametrize("recipe", STREAMS)
def test_a_live_file(recipe, live_decoder, codes, tmp_path):
    data = {"calibration_data": codes} if recipe in CALIBRATED else {}
    report = lk.export.streaming_to_tflite(
        lk.StreamingModel(live_decoder), tmp_path / "live.tflite", chunk=4, quantization=recipe, **data
    )
    check("live", recipe, report.path, live_decoder, codes)


def test_a_live_file_that_keeps_its_states(live_decoder, codes, tmp_path):
    streaming = lk.StreamingModel(live_decoder)
    report = lk.export.streaming_to_tflite(streaming, tmp_path / "live.tflite", chunk=4, states="variables")
    check("live with variables", "float32", report.path, live_decoder, codes)


@pytest.mark.parametrize("recipe", ["float32", "dynamic_int8", "int8"])
def test_a_live_vocoder_that_looks_ahead(recipe, rng, tmp_path):
    keras.utils.set_random_seed(20260)
    streaming = LIVE["hifigan"]()
    mel = rng.standard_normal((6, 24, 80)).astype("float32")
    data = {"calibration_data": mel[1:]} if recipe in CALIBRATED else {}
    report = lk.export.streaming_to_tflite(
        streaming, tmp_path / "live.tflite", chunk=2, quantization=recipe, timing_seconds=0, **data
    )
    check("live vocoder", recipe, report.path, streaming, mel[:1])


@pytest.mark.parametrize(("name", "recipe"), [("explicit", "float32"), ("variables", "float32"), ("dynamic_int8",) * 2])
def test_yesterdays_live_file(name, recipe, live_decoder, codes):
    check(f"golden live {name}", recipe, GOLDEN / "live" / f"{name}.tflite", live_decoder, codes)
