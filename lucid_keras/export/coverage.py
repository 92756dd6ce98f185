"""What a person must know of where a `.tflite` file's operators run."""

import collections

from lucid_keras.export.convert import layer_at


def coverage_warnings(model, runtime):
    """The operators outside a delegate, each with its layer, and what open lengths and further signatures cost."""
    coverage, warnings = runtime.coverage(), []
    if coverage.accelerator is None:
        return warnings
    if coverage.outside:
        counts = collections.Counter(
            f"{name} in {layer_at(model, computed)}" if computed else name for name, computed in coverage.outside
        )
        listed = ", ".join(f"{where} ({count} times)" if count > 1 else where for where, count in counts.items())
        pieces = f"{coverage.partitions} partition{'' if coverage.partitions == 1 else 's'}"
        warnings.append(
            f"{len(coverage.outside)} of {len(coverage.ops)} operators run outside {coverage.accelerator}, which runs "
            f"the rest in {pieces}: {listed}"
        )
    first, *others = runtime.signatures
    if opened := [name for name, spec in runtime.signatures[first].inputs.items() if None in spec.shape]:
        warnings.append(
            f"the length of {', '.join(opened)} is open: {len(coverage.outside)} of {len(coverage.ops)} operators run "
            f"outside {coverage.accelerator}, and at each new length all is laid out anew; a fixed length is faster"
        )
    if others := [name for name in others if name.split("_")[0] in ("length", "step")]:
        warnings.append(f"LiteRT's default delegate takes the signature {first!r} alone, not {', '.join(others)}")
    return warnings
