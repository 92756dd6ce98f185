"""Every case of the registry in every recipe: all of them are the outputs of one model, exported and compared at once."""

import keras
import numpy as np
import pytest
from cases import CASES, Case
from tolerances import SNR_FLOOR

import lucid_keras as lk
from lucid_keras.export import to_tflite
from lucid_keras.export.recipes import RECIPES

NO_SAMPLES = {"empty_output"}  # LiteRT has no tensor without elements; the export refuses it
CALIBRATED = ("int8", "int16x8")


def model_of(cases):
    """One model with an input and an output for each case, named after it."""
    inputs, outputs = {}, {}
    for name, case in cases.items():
        inputs[f"in_{name}"] = keras.Input((case.in_channels, case.length), name=f"in_{name}")
        outputs[name] = lk.ConvTranspose1d(**case.layer_arguments, name=name)(inputs[f"in_{name}"])
    return keras.Model(inputs, outputs)


def data_for(model, rng, count=120):
    """Samples of uniform numbers, whose range calibration can know."""
    return {name: rng.uniform(-1, 1, [count, *tensor.shape[1:]]).astype("float32")
            for name, tensor in zip(model.input_names_in_order, model.inputs, strict=True)}  # fmt: skip


def exported(cases, quantization, path, rng):
    model = model_of(cases)
    data = {tensor.name: rng.uniform(-1, 1, [120, *tensor.shape[1:]]).astype("float32") for tensor in model.inputs}
    calibration = {"calibration_data": data} if quantization in CALIBRATED else {"verification_data": first(data)}
    return to_tflite(model, path, quantization=quantization, floor_db=-100, timing_seconds=0, **calibration)


def first(data, count=4):
    return {name: array[:count] for name, array in data.items()}
def test_x(tmp_path, rng, capsys):
    import time
    cases={k:v for k,v in CASES.items() if k not in NO_SAMPLES}
    for q in RECIPES:
        t=time.time()
        r=exported(cases,q,tmp_path/"a.tflite",rng)
        print(q, time.time()-t, r.total,r.delegated,r.bytes, sorted((round(o.snr_db,1),o.name) for o in r.outputs)[:8])
