"""What a person must know of where a `.tflite` file's operators run, and of what its open lengths cost."""

import collections
import statistics
import time

from lucid_keras.export.origins import Origins

LISTED = 10  # places that a sentence names


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
        warnings.append(
            f"the length of {', '.join(opened)} is open: a call at another length than the last one takes "
            f"{_laying_out(runtime, claim):.2g} ms more; a fixed length keeps more operators on the delegate"
        )
    if others := [name for name in others if name.split("_")[0] in ("length", "step")]:
        warnings.append(f"LiteRT's default delegate takes the signature {first!r} alone, not {', '.join(others)}")
    return warnings


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
