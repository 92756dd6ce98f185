"""Subjects in LiteRT: the files that this package exports, litert-torch's, and a FULLY_CONNECTED of as much work."""

import json
import os
import pathlib
import subprocess
import tempfile

import keras
import numpy as np

from lucid_keras.bench import litert_torch_conversion
from lucid_keras.bench.prepared import Prepared, channels_last
from lucid_keras.bench.subjects import LITERT_TORCH
from lucid_keras.export.convert import convert
from lucid_keras.export.fewer_products import with_fewer_products
from lucid_keras.export.recipes import recipe_named
from lucid_keras.export.signatures import signatures
from lucid_keras.layers.conv_transpose1d import ConvTranspose1d
from lucid_keras.runtimes import LiteRT

CONVERSION_LIMIT = 240.0  # seconds, less than a worker has to answer


def ours(workload, arrays, threads, *, lowering="auto", recipe="float32"):
    """A file of the layer."""
    content = ours_file(workload, arrays, lowering=lowering, recipe=recipe)
    return _prepared(content, channels_last(arrays.x), threads, lambda y: [channels_last(y)])


def ours_file(workload, arrays, *, lowering="auto", recipe="float32"):
    """The bytes of a file of the layer, channels last as a phone has it; int8 is calibrated on its own input."""
    layer = ConvTranspose1d(**workload.layer_arguments, lowering=lowering, data_format="channels_last")
    layer.weight.assign(arrays.weight)
    layer.bias.assign(arrays.bias)
    return _file(layer, channels_last(arrays.x), recipe)


def litert_torch(workload, arrays, threads):
    """PyTorch's layer converted by litert-torch."""
    return _prepared(litert_torch_file(workload, arrays), arrays.x, threads, lambda y: [y])


def litert_torch_file(workload, arrays):
    """The bytes of litert-torch's file, which needs packages of its own and so an interpreter of its own."""
    with tempfile.TemporaryDirectory() as folder:
        given, made = pathlib.Path(folder) / "layer.npz", pathlib.Path(folder) / "layer.tflite"
        np.savez(given, x=arrays.x, weight=arrays.weight, bias=arrays.bias)
        script, described = litert_torch_conversion.__file__, json.dumps(workload.layer_arguments)
        done = subprocess.run(
            [os.environ[LITERT_TORCH], "-I", script, described, str(given), str(made)],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=CONVERSION_LIMIT,
        )
        if not made.exists():
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            raise ValueError(f"litert-torch refuses it: {lines[-1] if lines else f'exit status {done.returncode}'}")
        return made.read_bytes()


def product(workload, arrays, threads, *, recipe="float32"):
    """The ceiling: one FULLY_CONNECTED."""
    rows, inner, columns = workload.product_shape
    x = np.random.default_rng(0).standard_normal((rows, inner), np.float32)
    return _prepared(_file(keras.layers.Dense(columns), x, recipe), x, threads, None)


def _file(layer, x, recipe):
    """The bytes of the `.tflite` file that the exporter makes of a layer for inputs like `x`; int8 inside and out."""
    recipe = recipe_named(recipe)
    model = keras.Sequential([keras.Input(x.shape[1:], name="x"), layer])
    (signature,) = signatures(model, None, batch=len(x))
    calibration = {signature.name: [{"x": x}]} if recipe.calibrated else None
    content = convert(model, [signature], recipe, calibration, integer_io=recipe.calibrated).written()
    return content if recipe.integers else with_fewer_products(content)[0]


def _prepared(content, x, threads, judged):
    """A file that is invoked barely: its input lies in the interpreter since the run that comes before.

    `judged` makes results of the output; None for nothing to judge. The file is held; what the interpreter takes
    besides, its input among it, is seen when the file is loaded and run afresh.
    """
    runner = LiteRT(content, threads)
    _run(runner, x)
    coverage = runner.coverage()
    delegation = {"operators": len(coverage.ops), "delegated": coverage.delegated, "partitions": coverage.partitions}
    return Prepared(
        call=runner.interpreter.invoke,
        results=None if judged is None else lambda: judged(_run(runner, x)),
        held=len(content),
        afresh=lambda: _load_and_invoke(content, threads),
        facts={"delegation": delegation},
    )


def _load_and_invoke(content, threads):
    """A new interpreter's run of a file on zeros, its output left where it is."""
    fresh = LiteRT(content, threads).interpreter
    (source,) = fresh.get_input_details()
    fresh.set_tensor(source["index"], np.zeros(source["shape"], source["dtype"]))
    fresh.invoke()


def _run(runner, x):
    """The one output of the one signature."""
    ((name, signature),) = runner.signatures.items()
    (key,) = signature.inputs
    (y,) = runner.run(name, {key: x}).values()
    return y
