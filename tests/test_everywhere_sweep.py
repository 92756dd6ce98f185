"""Random configurations, half of them grouped, on runtimes that had those wrong: many side by side in a file."""

import dataclasses

import keras
import numpy as np
import pytest
from cases import random_case
from test_export_registry import floor_of, model_of

import lucid_keras as lk

pytestmark = pytest.mark.sweep
IN_A_FILE = 25
# How many files, so that there are 500 configurations on the GPU and 200 on two cores of ARM64.
FILES = {"gpu": 20, "arm64-a53": 8, "arm64-max": 8}


def configurations(part):
    """Configurations by name, each second one grouped and wider than the registry's; none with an empty output."""
    rng, found = np.random.default_rng([14, part]), {}
    while len(found) < IN_A_FILE:
        case = random_case(rng)
        if len(found) % 2:
            groups = int(rng.choice([2, 3, 4, 5, 8]))
            channels = {end: groups * int(rng.integers(1, 9)) for end in ("in_channels", "out_channels")}
            case = dataclasses.replace(case, groups=groups, **channels)
        if case.output_length > 0:  # with a bias, none is silent, of which nothing could be told
            found[f"case_{len(found)}"] = dataclasses.replace(case, bias=True)
    return found


@pytest.mark.parametrize(("runtime", "part"), [(name, part) for name, files in FILES.items() for part in range(files)])
def test_random_configurations(runtime, part, tmp_path):
    keras.utils.set_random_seed(part)
    cases = configurations(part)
    report = lk.export.to_tflite(
        model_of(cases), tmp_path / "all.tflite", floor_db=floor_of("float32"), timing_seconds=0, prove_on=[runtime]
    )
    (there,) = report.elsewhere
    if runtime == "gpu":
        assert there.coverage == f"{report.total} of {report.total} on the GPU", cases
