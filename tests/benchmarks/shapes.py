"""Layers of shapes drawn at random in LiteRT, each beside a matrix product of as many multiplications.

    PYTHONPATH=tests python -m benchmarks.shapes           writes tests/benchmarks/shapes.json
    PYTHONPATH=tests python -m benchmarks.shapes_report    writes the page's lines and its picture from it

Both files are called in turn in one process, on two threads; a shape's number is the median of their ratios. What each
file computes is proven elsewhere: the layers' tests draw their configurations at random too.
"""

import argparse
import json
import math
import pathlib
import sys
import time

RESULTS = pathlib.Path(__file__).parent / "shapes.json"
RECIPES = ("float32", "dynamic_int8", "int8")
COUNT, THREADS = 300, 2
# Wide layers of decoders, in float32, which multiply less than the product: in, out, taps, stride, padding; length.
WIDE = {
    "DAC's first upsampler": ((1536, 768, 16, 8, 4), 400),
    "768 to 384 channels": ((768, 384, 16, 8, 4), 512),
    "HiFi-GAN's first": ((512, 256, 16, 8, 4), 100),
    "EnCodec's first": ((512, 256, 16, 8), 75),
    "Oobleck's first": ((2048, 1024, 16, 8, 4), 64),
}
LEAST, MOST = 1e6, 1.5e9  # multiplications of a call
LARGEST = 192 << 20  # bytes of a weight, an input or an output
SECONDS, ROUNDS = 0.4, 9  # of a shape, at least so many


def drawn(seed):
    """A workload and a recipe: sizes on a logarithmic scale, of those that cost neither too little nor too much."""
    import numpy as np

    from lucid_keras.bench.workload import Workload

    rng = np.random.default_rng(seed)
    size = lambda low, high: round(float(np.exp(rng.uniform(np.log(low), np.log(high)))))  # noqa: E731
    while True:
        groups = 1 if rng.random() < 0.7 else size(2, 64)
        channels = [max(size(16, 2048) // groups, 1) * groups for _ in range(2)]
        if rng.random() < 0.1:  # depthwise
            groups = channels[0] = channels[1] = size(16, 1024)
        kernel_size, stride = size(2, 32), size(1, 16)
        one = Workload(*channels, kernel_size, stride, max(kernel_size - stride, 0) // 2, groups=groups,
                       dilation=size(1, 4) if rng.random() < 0.2 else 1,
                       length=size(16, 32768), batch=8 if rng.random() < 0.2 else 1)  # fmt: skip
        if LEAST <= multiplications(one) <= MOST and max(bytes_of(one).values()) <= LARGEST:
            return one, RECIPES[rng.integers(len(RECIPES))]


def wide():
    """What is measured of each of `WIDE`."""
    from lucid_keras.bench.workload import Workload

    return {name: measured(Workload(*sizes, length=length), "float32") for name, (sizes, length) in WIDE.items()}


def multiplications(workload):
    """Of a call."""
    return math.prod(workload.product_shape)


def bytes_of(workload):
    """Of input, weight and output, in float32."""
    shapes = workload.shapes
    return {name: 4 * math.prod(getattr(shapes, name)) for name in ("x", "weight", "dy")}


def measured(workload, recipe):
    """A shape's share of the ceiling, its milliseconds, and how the file is delegated."""
    import numpy as np

    from lucid_keras.bench import in_litert

    arrays = workload.arrays()
    ours = in_litert.ours(workload, arrays, THREADS, recipe=recipe)
    ceiling = in_litert.product(workload, arrays, THREADS, recipe=recipe)
    times = []
    for warmed in (ours, ceiling):
        warmed.call()
    while len(times) < ROUNDS or sum(map(sum, times)) < SECONDS:
        times.append((_seconds(ours.call), _seconds(ceiling.call)))
    of_ours, of_ceiling = np.transpose(times)
    return {
        **workload.layer_arguments, "length": workload.length, "batch": workload.batch, "recipe": recipe,
        "share": round(float(np.median(of_ceiling / of_ours)), 3),
        "milliseconds": round(1e3 * float(np.median(of_ours)), 4),
        "multiplications": multiplications(workload),
        "bytes": sum(bytes_of(workload).values()),
        **ours.facts["delegation"],
    }  # fmt: skip


def _seconds(call):
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def main():
    """Measure the shapes, writing the results after every tenth."""
    from lucid_keras.bench.machine import machine

    parser = argparse.ArgumentParser(prog="python -m benchmarks.shapes", description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=COUNT, help=f"default: {COUNT}")
    count = parser.parse_args().count
    known, found = wide(), []
    for seed in range(count):
        workload, recipe = drawn(seed)
        found.append(measured(workload, recipe))
        if not (seed + 1) % 10 or seed + 1 == count:
            print(f"{seed + 1} of {count}", file=sys.stderr, flush=True)
            RESULTS.write_text(
                json.dumps({"machine": machine(THREADS), "wide": known, "shapes": found}, indent=1) + "\n"
            )


if __name__ == "__main__":
    main()
