"""What a report says of running an artefact: where its operators run, how fast, and what a person must know of it."""

import collections

from lucid_keras.export.convert import layer_at
from lucid_keras.runtimes.timing import milliseconds


def measured(runtime, proof, signature, inputs, seconds):
    """The fields of an `ExportReport` that the runtime gives; `signature` is timed on `inputs` for so many seconds."""
    latency = milliseconds(runtime.prepared(signature, inputs), seconds)
    coverage = runtime.coverage()
    return {
        "runtime": f"{runtime.name} {runtime.version}",
        "signatures": {name: one.described() for name, one in runtime.signatures.items()},
        "ops": coverage.ops,
        "delegated": coverage.delegated,
        "partitions": coverage.partitions,
        "milliseconds": latency,
        "outputs": proof.outputs,
        "example": proof.example,
    }


def coverage_warnings(model, runtime):
    """Of a `.tflite` file: the operators outside its delegate, each with its layer, and what open lengths cost."""
    coverage = runtime.coverage()
    warnings = []
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
