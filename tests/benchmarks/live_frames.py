"""A live frame of decoders that look ahead: its share of the whole decode, and what decoding its context again costs.

    PYTHONPATH=tests:examples python -m benchmarks.live_frames    writes tests/benchmarks/live_frames.json
    PYTHONPATH=tests python -m benchmarks.live_report             writes the page's table from it

Every file is proven by its export. Each decoder's files are timed in turn in a process of its own, on one thread, as an
app calls them: LiteRT's CompiledModel on buffers that stay.
"""

import dataclasses
import os
import pathlib
import sys
import tempfile
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from benchmarks.apart import measure

RESULTS = pathlib.Path(__file__).parent / "live_frames.json"
RECIPES = ("float32", "dynamic_int8", "int8")
CHUNKS = (1, 2, 4, 8)  # frames a step, in float32
ROUNDS, IN_A_ROW = 12, 12
NO_FLOOR = -50.0  # dB: random weights say nothing about what a trained voice keeps


@dataclasses.dataclass(frozen=True)
class Decoder:
    """A decoder of `hop` samples a frame; `build()` gives the Keras model and what is pointwise in it."""

    rate: int
    hop: int
    bands: int
    build: Callable


def hifigan(preset):
    """HiFi-GAN's generator of a preset."""

    def build():
        from hifigan_generator import PRESETS, Normalize, hifigan_generator

        return hifigan_generator(**PRESETS[preset]), [Normalize]

    return build


def bigvgan():
    """BigVGAN's generator, of a quarter of its width."""
    from bigvgan_generator import bigvgan_generator

    return bigvgan_generator(upsample_initial_channel=384), []


def vocos():
    """Vocos at 24 kHz."""
    from vocos_decoder import Scale, VocosConfig
    from vocos_decoder import vocos as build

    return build(VocosConfig()), [Scale]


def mimi():
    """Mimi's decoder, its transformer in it."""
    from mimi_decoder import LayerScale, mimi_decoder

    return mimi_decoder(), [LayerScale]


def live():
    """The causal decoder of EnCodec's size."""
    from live_decoder import causal_decoder

    return causal_decoder(), []


DECODERS = {
    "HiFi-GAN V1": Decoder(22_050, 256, 80, hifigan("v1")),
    "HiFi-GAN V2": Decoder(22_050, 256, 80, hifigan("v2")),
    "HiFi-GAN, SpeechT5's": Decoder(16_000, 256, 80, hifigan("speecht5")),
    "BigVGAN, a quarter as wide": Decoder(24_000, 240, 80, bigvgan),
    "Vocos": Decoder(24_000, 256, 100, vocos),
    "Mimi": Decoder(24_000, 1920, 512, mimi),
    "EnCodec's size, causal": Decoder(24_000, 320, 128, live),
}


class Call:
    """A signature of a `.tflite` file as an app calls it, by LiteRT's CompiledModel: buffers that stay.

    A state has two, which a step reads and writes in turn, so that nothing is copied between the steps.
    """

    def __init__(self, path, x):
        from ai_edge_litert.compiled_model import CompiledModel, HardwareAccelerator

        self._model = model = CompiledModel.from_file(path, hardware_accel=HardwareAccelerator.CPU)  # on one thread
        signatures = model.get_signature_list()
        signature = "step" if "step" in signatures else next(iter(signatures))
        self._index = model.get_signature_index(signature)
        names = signatures[signature]
        reads = dict(zip(names["inputs"], model.create_input_buffers(self._index), strict=True))
        writes = dict(zip(names["outputs"], model.create_output_buffers(self._index), strict=True))
        for name, detail in model.get_input_tensor_details(signature).items():
            reads[name].write(np.zeros(detail["shape"], np.float32) if name in writes else x)
        swapped = [writes | reads, reads | writes]  # a state's two buffers, and what is read or written alone
        self._turns = [
            ([inputs[name] for name in names["inputs"]], [outputs[name] for name in names["outputs"]])
            for inputs, outputs in (swapped, swapped[::-1])
        ]

    def __call__(self):
        self._model.run_by_index(self._index, *self._turns[0])
        self._turns.reverse()


def measured(decoder):
    """The latency, and by what was called the milliseconds p50 and p99, of a decoder's files."""
    import keras

    import lucid_keras as lk

    keras.utils.set_random_seed(0)
    model, pointwise = decoder.build()
    streaming = lk.StreamingModel(model, pointwise=pointwise)
    second = round(decoder.rate / decoder.hop)
    context = 2 * -(-streaming.latency // decoder.hop) + 1  # frames that a frame is decoded with, where it looks ahead
    rng = np.random.default_rng(0)
    typical = rng.standard_normal((5, second, decoder.bands)).astype("float32")
    calls = {}
    with tempfile.TemporaryDirectory() as folder:

        def file(name, export, source, positions, recipe, **options):
            calibrated = {"calibration_data": typical} if recipe == "int8" else {}
            path = f"{folder}/{name}.tflite"
            export(source, path, quantization=recipe, floor_db=NO_FLOOR, timing_seconds=0, **calibrated, **options)
            calls[name] = Call(path, rng.standard_normal((1, positions, decoder.bands)).astype("float32"))

        for recipe in RECIPES:
            tell(f"  {recipe}")
            file(f"frame {recipe}", lk.export.streaming_to_tflite, streaming, 1, recipe)
            file(f"second {recipe}", lk.export.to_tflite, model, second, recipe, length=second)
        for chunk in CHUNKS[1:]:
            file(f"chunk {chunk}", lk.export.streaming_to_tflite, streaming, chunk, "float32", chunk=chunk)
        if streaming.latency:
            file("context float32", lk.export.to_tflite, model, context, "float32", length=context)
        tell("  timing")
        times = in_turn(calls)
    return {"latency": streaming.latency, "context": context, "frames_a_second": second, "times": times,
            "states": sum(4 * int(np.prod(shape)) for shape in streaming.state_shapes.values())}  # fmt: skip


def in_turn(calls):
    """The percentiles of each call, taken in turn because a machine's speed drifts, without the first round."""
    seconds = {name: [] for name in calls}
    for number in range(ROUNDS):
        for name, call in calls.items():
            for _ in range(IN_A_ROW if name.startswith(("frame", "chunk")) else 1):
                start = time.perf_counter()
                call()
                if number:
                    seconds[name].append(time.perf_counter() - start)
    return {name: [round(1e3 * float(one), 3) for one in np.percentile(values, [50, 99])]
            for name, values in seconds.items()}  # fmt: skip


def tell(step):
    """Say on standard error what is going on."""
    print(step, file=sys.stderr, flush=True)


def main():
    """Measure the decoders, each in a process of its own, writing the results after each."""
    measure("live_frames", __doc__, DECODERS, lambda name: measured(DECODERS[name]), RESULTS)


if __name__ == "__main__":
    main()
