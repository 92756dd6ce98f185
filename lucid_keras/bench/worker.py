"""One subject in a process of its own, started by path: prepares workloads, times calls, measures their memory.

Speaks lines of JSON: `{"prepare": workload, "threads": n, "results": path}`, then `{"measure": seconds}` as often as
wanted, then `{"remember": true}`. The results go to `path` for the asking process to judge.
"""

import importlib.util
import json
import pathlib
import re
import sys
import time

PACKAGE = "lucid_keras"
WITH_TENSORFLOW = ("in_tensorflow", "in_litert")
LEAST = 3  # calls of a measurement


def main(name):
    """Answer requests on standard input until it ends; only answers go to standard output."""
    answers, sys.stdout = sys.stdout, sys.stderr
    _import_what_it_needs(name)
    prepared = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if "prepare" in request:
                prepared = None
                prepared, answer = prepare(name, request)
            elif "measure" in request:
                answer = {"milliseconds": measure(prepared.call, request["measure"])}
            else:
                answer = {"peak_mib": remember(prepared)}
        except Exception as error:  # whatever a framework raises is the answer
            answer = {"skipped": _one_line(error)}
        print(json.dumps(answer), file=answers, flush=True)


def _import_what_it_needs(name):
    """Import this package whole for a subject made of it; for others only its modules without TensorFlow.

    Two frameworks' threads in one process slow each other down, and `lucid_keras/__init__.py` imports TensorFlow. A
    package whose own file is not executed still lets the modules inside it be imported.
    """
    initial = pathlib.Path(__file__).parents[1] / "__init__.py"
    spec = importlib.util.spec_from_file_location(PACKAGE, initial, submodule_search_locations=[str(initial.parent)])
    sys.modules[PACKAGE] = importlib.util.module_from_spec(spec)
    from lucid_keras.bench.subjects import SUBJECTS

    if SUBJECTS[name].module in WITH_TENSORFLOW:
        spec.loader.exec_module(sys.modules[PACKAGE])


def prepare(name, request):
    """The `Prepared`, which has run once, and the answer; its results are in the file that the request names."""
    import numpy as np

    from lucid_keras.bench.subjects import SUBJECTS
    from lucid_keras.bench.workload import Workload

    workload = Workload(**request["prepare"])
    prepared = SUBJECTS[name].prepare(workload, workload.arrays(), request["threads"])
    if prepared.results is not None:
        np.savez(request["results"], *prepared.results())
    prepared.call()
    return prepared, {"judged": prepared.results is not None, **prepared.facts}


def measure(call, seconds):
    """The median of the call's milliseconds over `seconds`, after one that warms up."""
    call()
    times, end = [], time.perf_counter() + seconds
    while len(times) < LEAST or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1e3 * sorted(times)[len(times) // 2]


def remember(prepared):
    """The MiB that a call needs: what it holds from before, and what it adds at its peak."""
    from lucid_keras.bench.memory import peak_mib

    added = peak_mib(prepared.afresh or prepared.call)
    return None if added is None else prepared.held / 2**20 + added


def _one_line(error):
    """The error's first line, files without their folders: results are published."""
    text = re.sub(r"(/[^\s:/]+)+/", "", next((line for line in str(error).splitlines() if line.strip()), ""))
    return f"{type(error).__name__}: {text[:160]}" if text else type(error).__name__


if __name__ == "__main__":
    main(sys.argv[1])
