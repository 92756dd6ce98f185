"""What a person must know of where a `.tflite` file's operators run, and of what its open lengths cost."""

import collections
import math
import statistics
import time

from lucid_keras.export import flatbuffer
from lucid_keras.export.mixed import WEIGHTED
from lucid_keras.export.origins import Origins

LISTED = 10  # places that a sentence names
COPIED = 64e6  # bytes of copies that are told of


def coverage_warnings(model, runtime, claim):
    """The operators outside a delegate, each with its layer, and what open lengths and further signatures cost."""
    coverage = runtime.coverage()
    warnings: list[str] = []
    if coverage.accelerator is None:
        return warnings
    if coverage.outside:
        phrase = Origins(model).phrase
        counts = collections.Counter(
            f"{name} in {phrase(computed)}" if computed else name for name, computed in coverage.outside
        )
        places = [f"{where} ({count} times)" if count > 1 else where for where, count in counts.items()]
        if len(places) > LISTED:
            places[LISTED - 1 :] = [f"and at {len(places) - LISTED + 1} more places"]
        listed = ", ".join(places)
        pieces = f"{coverage.partitions} partition{'' if coverage.partitions == 1 else 's'}"
        warnings.append(
            f"{len(coverage.outside)} of {len(coverage.ops)} operators run outside {coverage.accelerator}, which runs "
            f"the rest in {pieces}: {listed}"
        )
    first, *others = runtime.signatures
    if opened := [name for name, spec in runtime.signatures[first].inputs.items() if None in spec.shape]:
        remedy = "; a fixed length may keep more operators on the delegate" if coverage.outside else ""
        warnings.append(
            f"the length of {', '.join(opened)} is open: a call at another length than the last one takes "
            f"{_laying_out(runtime, claim):.2g} ms more{remedy}"
        )
    if others := [name for name in others if name.split("_")[0] in ("length", "step")]:
        warnings.append(f"LiteRT's default delegate takes the signature {first!r} alone, not {', '.join(others)}")
    return warnings


def copied_weights(model, content):
    """A warning where operators share weights and XNNPACK keeps a copy for each, as of a recurrence written out."""
    graph, readers = flatbuffer.graphs(content)[0], collections.defaultdict(list)
    for operator in graph:
        if operator.name in WEIGHTED:
            readers[operator.inputs[1]].append(operator)
    shared = {weights: some for weights, some in readers.items() if len(some) > 1}
    if not shared:
        return []
    constants = {one.name for one in flatbuffer.contents(content).tensors if one.constant}
    copies = {weights: (len(some) - 1) * _bytes(some[0]) for weights, some in shared.items() if weights in constants}
    total = sum(copies.values())
    if total < COPIED:
        return []
    most = shared[max(copies, key=lambda weights: copies[weights])]
    layer = Origins(model).of(graph)[graph.index(most[0])]
    return [
        f"weights: XNNPACK keeps {total / 1e6:.0f} MB of copies, of those of the layer {layer!r} {len(most) - 1}; an "
        "app that gives it a weight cache (xnnpack_weight_cache_path of LiteRT's CpuOptions) keeps none, and is faster"
    ]


def _bytes(operator):
    """Of an operator's weights."""
    return (4 if operator.dtypes[1] == "float32" else 1) * math.prod(operator.shapes[1])


def _laying_out(runtime, claim, times=5):
    """How many milliseconds the first call at a length takes beyond the second, the shortest and longest in turn."""
    samples = sorted(claim.samples, key=lambda sample: sum(array.size for array in sample.values()))
    more = []
    for sample in [samples[0], samples[-1]] * times:
        invoke, seconds = runtime.prepared(claim.name, sample), []
        for _ in range(2):
            start = time.perf_counter()
            invoke()
            seconds.append(time.perf_counter() - start)
        more.append(seconds[0] - seconds[1])
    return 1e3 * max(statistics.median(more), 0)
