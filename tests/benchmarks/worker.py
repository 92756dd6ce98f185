"""One subject in a process of its own: prepares a case, proves its numbers, and times it when asked.

Speaks lines of JSON: `{"prepare": [case, batch, mode]}`, then `{"measure": seconds}` as often as wanted.
"""

import json
import pathlib
import sys
import time

import arrays
import numpy as np
import reference

from benchmarks.named import NAMED
from benchmarks.subjects import SUBJECTS

PARITY = 1e-4  # of the largest magnitude, float32 sums of up to a hundred thousand terms
PARITY_INT8 = 0.15


def prepare(subject, name, batch, mode):
    """The call to time, its parity error and what it adds to this process's peak memory in MiB; or why not."""
    import dataclasses

    case = dataclasses.replace(NAMED[name], batch=batch)
    data = arrays.normals(case, np.random.default_rng(7))
    before = _reset_peak()
    made = SUBJECTS[subject](case, data, mode)
    if made is None:
        return None, {"skipped": "cannot express it"}
    call, results = made
    call()
    error = None if results is None else _error(case, data, mode, results())
    if error is not None and not error < (PARITY_INT8 if "int8" in subject else PARITY):
        return None, {"skipped": f"wrong numbers: {error:.2g} of the largest magnitude"}
    return call, {"error": error, "peak_mib": _peak() - before}


def _error(case, data, mode, results):
    """The largest error relative to the largest magnitude, over the output or the gradients."""
    if mode == "forward":
        wanted = [reference.conv_transpose1d(data.x, data.weight, data.bias, **case.parameters)]
    else:
        wanted = reference.gradients(data.x, data.weight, data.dy, **case.parameters)
    return max(float(abs(got - want).max() / abs(want).max()) for got, want in zip(results, wanted, strict=True))


def _reset_peak():
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _peak():
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def measure(call, seconds):
    """The median of the call's milliseconds over at least 3 calls and `seconds`."""
    call()
    times, end = [], time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - start))
    return float(np.median(times))


def main(subject):
    """Answer requests on standard input until it ends; only answers go to standard output."""
    answers, sys.stdout = sys.stdout, sys.stderr
    call = None
    for line in sys.stdin:
        request = json.loads(line)
        if "prepare" in request:
            call = None
            try:
                call, answer = prepare(subject, *request["prepare"])
            except Exception as error:
                answer = {
                    "skipped": f"{type(error).__name__}: {str(error).splitlines()[0][:120] if str(error) else ''}"
                }
        else:
            answer = {"milliseconds": measure(call, request["measure"])}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
