"""Subjects in LiteRT: the files that this package exports, litert-torch's, and a FULLY_CONNECTED of as much work."""

import os
import pathlib
import subprocess
import tempfile

import keras
import numpy as np

import lucid_keras as lk
from lucid_keras.bench import litert_torch_conversion
from lucid_keras.bench.prepared import Prepared, channels_last, held_bytes
from lucid_keras.bench.subjects import LITERT_TORCH
from lucid_keras.export.convert import convert
from lucid_keras.export.litert import Runner
from lucid_keras.export.recipes import recipe_named
from lucid_keras.export.signatures import signatures

CONVERSION_LIMIT = 240.0  # seconds, less than a worker has to answer


def ours(workload, arrays, threads, *, lowering="auto", recipe="float32"):
    """A file of the layer, channels last as a phone has it; int8 is calibrated on its own input."""
    arguments = workload.layer_arguments
    layer = lk.ConvTranspose1d(**arguments, lowering=lowering, data_format="channels_last")
    layer.weight.assign(arrays.weight)
    layer.bias.assign(arrays.bias)
    x = channels_last(arrays.x)
    runner, afresh = _loaded(_file(layer, x, recipe), x, threads)
    results = lambda: [channels_last(_run(runner, x))]  # noqa: E731
    return _prepared(runner, results, afresh, held_bytes(workload, arrays))


def litert_torch(workload, arrays, threads):
    """PyTorch's layer converted by litert-torch, which needs packages of its own and so an interpreter of its own."""
    with tempfile.TemporaryDirectory() as folder:
        given, made = pathlib.Path(folder) / "layer.npz", pathlib.Path(folder) / "layer.tflite"
        numbers = {"x": arrays.x, "weight": arrays.weight, "bias": arrays.bias}
        np.savez(given, **numbers, **workload.parameters)
        done = subprocess.run(
            [os.environ[LITERT_TORCH], "-I", litert_torch_conversion.__file__, str(given), str(made)],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=CONVERSION_LIMIT,
        )
        if not made.exists():
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            raise ValueError(f"litert-torch refuses it: {lines[-1] if lines else f'exit status {done.returncode}'}")
        content = made.read_bytes()
    runner, afresh = _loaded(content, arrays.x, threads)
    return _prepared(runner, lambda: [_run(runner, arrays.x)], afresh, held_bytes(workload, arrays))


def product(workload, arrays, threads, *, recipe="float32"):
    """The ceiling: one FULLY_CONNECTED."""
    rows, inner, columns = workload.product_shape
    x = np.random.default_rng(0).standard_normal((rows, inner), np.float32)
    runner, afresh = _loaded(_file(keras.layers.Dense(columns), x, recipe), x, threads)
    return _prepared(runner, None, afresh, x.nbytes + 4 * inner * columns)


def _file(layer, x, recipe):
    """The bytes of the `.tflite` file that the exporter makes of a layer for inputs like `x`; int8 inside and out."""
    recipe = recipe_named(recipe)
    model = keras.Sequential([keras.Input(x.shape[1:], name="x"), layer])
    (signature,) = signatures(model, None, batch=len(x))
    calibration = {signature.name: [{"x": x}]} if recipe.calibrated else None
    return convert(model, [signature], recipe, calibration, integer_io=recipe.calibrated)


def _loaded(content, x, threads):
    """A runner that has run the file on `x` once, and a function that loads and runs it anew."""
    runner = Runner(content, threads)
    _run(runner, x)
    return runner, lambda: _run(Runner(content, threads), x)


def _run(runner, x):
    """The one output of the one signature."""
    (name,) = runner.names
    (key,) = runner.input_shapes()[name]
    (y,) = runner(name, {key: x}).values()
    return y


def _prepared(runner, results, afresh, held):
    """Timed is the bare invocation: its input lies in the interpreter since `_loaded` ran it."""
    coverage = runner.coverage()
    delegation = {"operators": len(coverage.ops), "delegated": coverage.delegated, "partitions": coverage.partitions}
    return Prepared(runner.interpreter.invoke, results, held, afresh, {"delegation": delegation})
