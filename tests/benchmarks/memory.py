"""What LiteRT keeps of named layers and of a live decoder: `python -m benchmarks.memory`, into `memory.json`.

Whole decoders are measured with their speed (`python -m benchmarks.models run`), and
`python -m benchmarks.memory_report` writes the page from both.
"""

import json
import os
import pathlib
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks import footprint
from benchmarks.model_subjects import LITERT_TORCH
from benchmarks.named import NAMED
from lucid_keras.bench.machine import machine

RESULTS = pathlib.Path(__file__).parent / "memory.json"
LAYERS = ("hifi_up1", "hifi_up3", "encodec_up2", "dac_up", "grouped", "bigvgan_up")
RECIPES = ("float32", "dynamic_int8")
OTHER = "litert-torch"


def of_layer(workload, path):
    """The footprints of a layer's files, ours by recipe and litert-torch's."""
    from lucid_keras.bench import in_litert

    arrays, found = workload.arrays(), {}
    makers = {recipe: lambda recipe=recipe: in_litert.ours_file(workload, arrays, recipe=recipe) for recipe in RECIPES}
    if LITERT_TORCH in os.environ:
        makers[OTHER] = lambda: in_litert.litert_torch_file(workload, arrays)
    for name, make in makers.items():
        path.write_bytes(make())
        found[name] = {"bytes": path.stat().st_size, **footprint.of(path)}
    return found


def of_live_decoder(path):
    """The footprints of EnCodec's decoder, live, a frame a step: what one call of `step` takes."""
    import encodec_decoder

    import lucid_keras as lk

    streaming = lk.StreamingModel(encodec_decoder.encodec_decoder(padding="zeros"))
    found = {}
    for recipe in RECIPES:
        report = lk.export.streaming_to_tflite(streaming, path, quantization=recipe, floor_db=0, timing_seconds=0)
        found[recipe] = {"bytes": report.bytes, **footprint.of(path)}
    return found


def main():
    """Measure, and write the results."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "file.tflite"
        layers = {name: of_layer(NAMED[name], path) for name in LAYERS}
        results = {"machine": machine(footprint.THREADS), "layers": layers, "live": of_live_decoder(path)}
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
