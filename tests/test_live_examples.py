"""Every example live in every form that it is written in: each file is proven by its export, and wholly delegated."""

import keras
import pytest
from small_examples import LIVE
from tolerances import SNR_FLOOR

from lucid_keras.export import streaming_to_saved_model, streaming_to_tflite

POSITIONS = 24
FORMS = [
    (recipe, states)
    for recipe in ("float32", "dynamic_int8", "int8")
    for states in ("explicit", "variables")
    if (recipe, states) != ("int8", "variables")  # refused: the converter cannot calibrate variables
]
pytestmark = pytest.mark.sweep


@pytest.fixture(params=LIVE)
def streaming(request):
    keras.utils.set_random_seed(0)
    return LIVE[request.param]()


def signals(streaming, rng, count):
    """Typical ones, laid out as the inputs are."""
    shapes = {name: spec.shape for name, spec in streaming.chunk_specs(count, POSITIONS).items()}
    return streaming.chunk_of({name: rng.standard_normal(shape).astype("float32") for name, shape in shapes.items()})


@pytest.mark.parametrize(("recipe", "states"), FORMS)
def test_as_a_file(streaming, recipe, states, tmp_path, rng):
    options = {"calibration_data": signals(streaming, rng, 10)} if recipe == "int8" else {}
    report = streaming_to_tflite(
        streaming, tmp_path / "live.tflite", quantization=recipe, states=states, timing_seconds=0, **options
    )
    assert report.snr_db >= SNR_FLOOR[recipe]
    assert report.delegated == report.total - (states == "variables")  # CALL_ONCE, which makes them zeros
    assert report.partitions == 1


def test_as_a_saved_model(streaming, tmp_path):
    report = streaming_to_saved_model(streaming, tmp_path / "live", timing_seconds=0)
    assert report.snr_db >= SNR_FLOOR["float32"]
