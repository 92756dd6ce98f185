"""What `from_torch` makes of other people's decoders, of their official sizes: `python -m benchmarks.imports`.

Each in a process of its own, into `imports.json`: what the import gave, how near it is at three lengths, what its files
lose and leave to the processor, and whether it streams. `python -m benchmarks.imports_speed` times it and the files,
which stay in `.cache/imports`.
"""

import os
import pathlib
import re
import shutil
import subprocess
import time

from benchmarks.apart import measure
from benchmarks.model_cases import ROOT, without_weight_norm
from benchmarks.model_subjects import LITERT_TORCH

RESULTS = pathlib.Path(__file__).parent / "imports.json"
FILES = ROOT / ".cache/imports"
OTHER = "litert-torch"  # and its file, beside those of the recipes
RECIPES = ("float32", "dynamic_int8", "int8")
SECONDS = 0.5  # of audio in a call of a file
DRAWN = 10  # inputs that int8 is calibrated on
RAISED = re.compile(r"[\w.]+(Error|Exception|Unsupported): ")  # the line of a traceback that says what happened
LIMIT, OTHER_LIMIT = 3600, 300  # seconds a decoder, and of them for litert-torch


def measured(name):
    """A decoder's facts; where it is refused, why."""
    import torch
    from torch_decoders import DECODERS

    from lucid_keras.interop.translation.model import translated

    decoder = DECODERS[name]
    torch.manual_seed(0)
    module, inputs = decoder.example(small=False)
    try:
        model, compared = translated(module, inputs, "channels_last", None, None)
    except ValueError as reason:
        return {"refused": str(reason).partition("Received: ")[2]}
    frames = max(round(SECONDS * decoder.rate / decoder.hop), 2)
    inputs = decoder.inputs(module, frames)
    folder = FILES / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return {
        "layers": len(model.layers),
        "weights": model.count_params(),
        "errors": [error for _, error in compared],
        "operations": sorted({type(one).__name__ for one in model.operations}),
        **live(model, decoder),
        "audio_seconds": frames * decoder.hop / decoder.rate,
        "files": files(model, channels_last(decoder, module, inputs), folder),
        OTHER: of_litert_torch(module, inputs, folder),
    }


def live(model, decoder):
    """The latency in seconds of a model that streams, or why it does not."""
    import lucid_keras as lk

    try:
        streaming = lk.StreamingModel(model)
    except ValueError as reason:
        return {"not_live": str(reason)}
    return {"latency": streaming.latency / streaming.samples_per_position * decoder.hop / decoder.rate}


def channels_last(decoder, module, inputs):
    """The module's inputs as the model takes them, the length second."""
    turned = []
    for short, x in zip(decoder.inputs(module, 1), inputs, strict=True):
        axis = next(axis for axis in range(1, x.ndim) if short.shape[axis] != x.shape[axis])
        turned.append(x.movedim(axis, 1).numpy())
    return turned


def files(model, inputs, folder):
    """The facts of the model's file in each recipe, at inputs as long as these, proven at its floor."""
    import numpy as np

    rng = np.random.default_rng(0)
    names = [one.name for one in model.inputs]
    drawn = {
        name: rng.standard_normal((DRAWN, *x.shape[1:])).astype("float32") if x.dtype.kind == "f"
        else rng.integers(0, 16, (DRAWN, *x.shape[1:]), "int32")
        for name, x in zip(names, inputs, strict=True)
    }  # fmt: skip
    data = drawn if len(drawn) > 1 else drawn[names[0]]
    np.savez(folder / "inputs.npz", **dict(zip(names, inputs, strict=True)))
    np.savez(folder / "outputs.npz", model(inputs if len(inputs) > 1 else inputs[0]))
    lengths = {name: x.shape[1] for name, x in drawn.items()}
    return {
        recipe: exported(model, folder / f"{recipe}.tflite", recipe, length=lengths,
                         **({"calibration_data": data} if recipe == "int8" else {}))
        for recipe in RECIPES
    }  # fmt: skip


def exported(model, path, recipe, **options):
    """What a file is; where whole integers stay below their floor, the fewest layers in float32 that lift it there."""
    import lucid_keras as lk

    try:
        report = lk.export.to_tflite(model, path, quantization=recipe, timing_seconds=0, **options)
    except lk.export.BelowFloorError as below:
        if recipe == "float32":
            return {"refused": str(below)}
        try:
            report = below.retry(float_layers="auto")
        except ValueError as reason:
            return {"refused": str(reason)}
    except ValueError as reason:
        return {"refused": str(reason)}
    return {
        "snr_db": report.snr_db,
        "floor_db": report.floor_db,
        "float_layers": len(report.float_layers),
        "bytes": report.bytes,
        "outside": report.total - report.delegated,
        "total": report.total,
        "partitions": report.partitions,
        "warnings": [str(one) for one in report.warnings],
    }


def of_litert_torch(module, inputs, folder):
    """Seconds that litert-torch takes to its file, in the environment that has it, or why there is none."""
    import numpy as np
    import torch

    names = [f"args_{index}" for index in range(len(inputs))]
    np.savez(folder / "native_inputs.npz", **dict(zip(names, (one.numpy() for one in inputs), strict=True)))
    with torch.no_grad():
        np.savez(folder / "native_outputs.npz", module(*inputs).numpy())
    program, made = folder / "program.pt2", folder / f"{OTHER}.tflite"
    made.unlink(missing_ok=True)
    script = pathlib.Path(__file__).with_name("convert_with_litert_torch.py")
    command = [os.environ[LITERT_TORCH], str(script), str(program), str(made)]
    began = time.perf_counter()
    try:
        torch.export.save(torch.export.export(without_weight_norm(module), inputs), program)
    except RuntimeError as reason:
        return {"refused": f"torch.export: {str(reason).strip().partition(chr(10))[0]}"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=OTHER_LIMIT)
    except subprocess.TimeoutExpired:
        return {"refused": f"not in {OTHER_LIMIT} s"}
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if RAISED.match(line)]
        return {"refused": re.sub(r"\S*/site-packages/", "", (said or done.stderr.strip().splitlines())[-1])}
    return {"seconds": round(time.perf_counter() - began, 1), "bytes": made.stat().st_size}


def main():
    """Measure the decoders, writing the results after each; those of others stay."""
    from torch_decoders import DECODERS

    if LITERT_TORCH not in os.environ:
        raise SystemExit(f"{LITERT_TORCH} must name a Python that has litert-torch")
    measure("imports", __doc__, DECODERS, measured, RESULTS, LIMIT)


if __name__ == "__main__":
    main()
