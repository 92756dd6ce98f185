"""What `from_torch` makes of other people's decoders, of their official sizes: `python -m benchmarks.imports`.

Each in a process of its own, into `imports.json`: how long the import took and what it gave, how near it is at three
lengths, what its files lose and leave to the processor, and whether it streams.
"""

import pathlib
import tempfile
import time

from benchmarks.apart import measure

RESULTS = pathlib.Path(__file__).parent / "imports.json"
RECIPES = ("float32", "dynamic_int8", "int8")
SECONDS = 0.5  # of audio in a call of a file
DRAWN = 10  # inputs that int8 is calibrated on
LIMIT = 1800  # seconds a decoder


def measured(name):
    """A decoder's facts; where it is refused, why."""
    import numpy as np
    import torch
    from torch_decoders import DECODERS

    import lucid_keras as lk
    from lucid_keras.interop.translation.model import translated

    decoder = DECODERS[name]
    torch.manual_seed(0)
    module, inputs = decoder.example(small=False)
    began = time.perf_counter()
    try:
        model, compared = translated(module, inputs, "channels_last", None, None)
    except ValueError as reason:
        return {"refused": str(reason).partition("Received: ")[2][:300]}
    facts = {
        "seconds": round(time.perf_counter() - began, 1),
        "layers": len(model.layers),
        "weights": model.count_params(),
    }
    facts |= {
        "errors": [error for _, error in compared],
        "operations": sorted({type(one).__name__ for one in model.operations}),
    }
    try:
        live = lk.StreamingModel(model)
        facts["latency"] = live.latency / live.samples_per_position * decoder.hop / decoder.rate
    except ValueError as reason:
        facts["not_live"] = str(reason).partition(" Received")[0]
    frames = max(round(SECONDS * decoder.rate / decoder.hop), 2)
    longer = module_inputs(decoder, module, frames)
    names = [one.name for one in model.inputs]
    lengths = {one: x.shape[1] for one, x in zip(names, longer, strict=True)}
    rng = np.random.default_rng(0)
    drawn = [
        rng.standard_normal((DRAWN, *x.shape[1:])).astype("float32") if x.dtype.kind == "f"
        else rng.integers(0, 16, (DRAWN, *x.shape[1:]), "int32")
        for x in longer
    ]  # fmt: skip
    data = drawn[0] if len(drawn) == 1 else dict(zip(names, drawn, strict=True))
    facts |= {"audio_seconds": frames * decoder.hop / decoder.rate, "files": {}}
    with tempfile.TemporaryDirectory() as folder:
        for recipe in RECIPES:
            options = {"calibration_data": data} if recipe == "int8" else {}
            facts["files"][recipe] = exported(lk, model, f"{folder}/x.tflite", lengths, recipe, options)
    return facts


def module_inputs(decoder, module, frames):
    """Inputs of so many frames as the model takes them, the length second."""
    turned = []
    for short, x in zip(decoder.inputs(module, 2), decoder.inputs(module, frames), strict=True):
        axis = next(axis for axis in range(1, x.ndim) if short.shape[axis] != x.shape[axis])
        turned.append(x.movedim(axis, 1).numpy())
    return turned


def exported(lk, model, path, lengths, recipe, options):
    """What a file is, whatever it loses: a floor below every file's."""
    try:
        report = lk.export.to_tflite(model, path, length=lengths, quantization=recipe, floor_db=-100.0,
                                     timing_seconds=1.0, **options)  # fmt: skip
    except ValueError as reason:
        return {"refused": str(reason).partition(" Received")[0][:200]}
    outside = report.total - report.delegated
    return {"snr_db": report.snr_db, "bytes": report.bytes, "outside": outside, "total": report.total,
            "partitions": report.partitions, "milliseconds": report.milliseconds}  # fmt: skip


def main():
    """Measure the decoders, writing the results after each; those of others stay."""
    from torch_decoders import DECODERS

    measure("imports", __doc__, DECODERS, measured, RESULTS, LIMIT)


if __name__ == "__main__":
    main()
