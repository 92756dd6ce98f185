"""Today's code reads the committed artefacts and computes the committed outputs."""

import hashlib
import importlib.util
import json
import pathlib

import keras
import numpy as np
import pytest
from live import litert_signatures, streamed
from packaging.version import Version
from tolerances import SNR_FLOOR, relative_tolerance

import lucid_keras as lk
from lucid_keras.export import snr_db
from lucid_keras.export.recipes import RECIPES
from lucid_keras.export.verify import verified
from lucid_keras.runtimes import RUNTIMES, LiteRT, SavedModel

ROOT = pathlib.Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "saved_models" / "golden" / "whole"
LIVE = ROOT / "saved_models" / "golden" / "live"
TERMS = 256  # multiply-adds behind one output sample, rounded up


@pytest.fixture(scope="module")
def outputs():
    return dict(np.load(GOLDEN / "outputs.npz"))


def same(given, expected):
    np.testing.assert_allclose(given, expected, rtol=0, atol=relative_tolerance("float32", TERMS) * abs(expected).max())


@pytest.mark.parametrize("folder", [GOLDEN, LIVE])
def test_every_file_is_the_one_of_the_manifest(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    files = {path for path in folder.rglob("*") if path.is_file() and path != folder / "manifest.json"}
    found = {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    assert found == manifest["sha256"]
    assert sum(path.stat().st_size for path in files) < 3_000_000


def test_the_keras_file_loads(outputs):
    model = keras.models.load_model(GOLDEN / "decoder.keras")
    assert sum(isinstance(layer, lk.ConvTranspose1d) for layer in model.layers) == 4
    same(model(outputs["mel"]).numpy(), outputs["keras"])


def test_the_saved_model_loads(outputs):
    same(SavedModel(GOLDEN / "saved_model").run("serving_default", {"mel": outputs["mel"]})["wave"], outputs["keras"])


@pytest.mark.parametrize("runtime", ["stablehlo", "pjrt"])
def test_the_stablehlo_program_runs(runtime, outputs):
    opened = RUNTIMES[runtime](GOLDEN / "decoder.stablehlo")
    same(opened.run("forward", {"mel": outputs["mel"]})["wave"], outputs["keras"])


@pytest.mark.parametrize("quantization", RECIPES)
def test_the_tflite_file_runs(quantization, outputs):
    run = LiteRT(GOLDEN / f"{quantization}.tflite").run
    given = run("serving_default", {"mel": outputs["mel"]})["wave"]
    assert snr_db(outputs["keras"], given) >= SNR_FLOOR[quantization]
    # The machine that made it may round a sum otherwise; a step of the output's scale is far below 60 dB only in int8.
    assert snr_db(outputs[quantization], given) >= (40 if quantization == "int8" else 60)


def test_todays_layers_agree_with_yesterdays_file():
    proof = verified(GOLDEN / "float32.tflite", keras.models.load_model(GOLDEN / "decoder.keras"))
    assert min(one.snr_db for one in proof.outputs) >= SNR_FLOOR["float32"]


@pytest.fixture(scope="module")
def live():
    return dict(np.load(LIVE / "outputs.npz"))


@pytest.fixture(scope="module")
def live_decoder():
    """The streaming decoder of the `.keras` file; Keras promises to read what an older one wrote, not a newer one."""
    wrote = json.loads((LIVE / "manifest.json").read_text())["versions"]["keras"]
    if Version(keras.__version__) < Version(wrote):
        pytest.skip(f"written by Keras {wrote}, whose configurations {keras.__version__} does not know")
    return lk.StreamingModel(keras.models.load_model(LIVE / "decoder.keras"))


def test_the_streaming_layers_file_loads(live):
    model = keras.models.load_model(LIVE / "layer.keras")
    assert any(isinstance(layer, lk.StreamingConvTranspose1d) for layer in model.layers)
    samples, following = model([live["layer_chunk"], live["layer_overlap"]])
    same(samples.numpy(), live["layer_samples"])
    same(following.numpy(), live["layer_following"])


def test_todays_streaming_model_is_yesterdays_whole_decode(live, live_decoder):
    states, pieces = live_decoder.initial_state(), []
    for chunk in chunks_of(live["codes"]):
        y, states = live_decoder.step(chunk, states)
        pieces.append(y)
    y = np.concatenate([*pieces, live_decoder.flush(states)], axis=1)[:, live_decoder.latency :]
    same(y, live["keras"])


@pytest.mark.parametrize("name", ["explicit", "variables", "dynamic_int8"])
def test_the_live_file_runs(name, live, live_decoder):
    step, latency = litert_signatures((LIVE / f"{name}.tflite").read_bytes()), live_decoder.latency
    given = streamed(step, chunks_of(live["codes"]), latency, 1)
    same(given, live[name])
    recipe = "dynamic_int8" if name == "dynamic_int8" else "float32"
    assert snr_db(live["keras"], given) >= SNR_FLOOR[recipe]


@pytest.mark.parametrize("name", ["explicit", "variables"])
def test_a_live_file_is_verified(name, live_decoder):
    """Streams begun anew among them; the rows of this `variables` are boolean, those of today's are integers."""
    proof = verified(LIVE / f"{name}.tflite", live_decoder)
    assert {one.signature for one in proof.outputs} == {"stream", "reset"}
    assert min(one.snr_db for one in proof.outputs) >= SNR_FLOOR["float32"]


def chunks_of(codes):
    """A signal in chunks of 1 and 3 in turn."""
    return np.split(codes, sorted([*range(1, codes.shape[1], 4), *range(4, codes.shape[1], 4)]), axis=1)


def test_the_builder_leaves_what_is_there(capsys):
    spec = importlib.util.spec_from_file_location("build_saved_models", ROOT / "export" / "build_saved_models.py")
    builder = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(builder)
    assert set(builder.FOLDERS) == {path.name for path in GOLDEN.parent.iterdir()}
    builder.main()
    assert capsys.readouterr().out == ""
