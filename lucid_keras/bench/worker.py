"""One subject in a process of its own, started by path: prepares workloads, times calls, measures their memory.

The registry is a module that knows the subject: `prepared(name, ...)` gives a `Prepared`, `made(name, ...)` makes what
another process prepares and gives facts of it.

Speaks lines of JSON: `{"make": what}`, or `{"prepare": what, "results": path}`, then `{"measure": seconds}` as often
as wanted and `{"remember": true}`. The results go to `path` for the asking process to judge.
"""

import importlib
import json
import pathlib
import re
import sys
import types

PACKAGE = "lucid_keras"


def main(registry, name):
    """Answer requests on standard input until it ends; only answers go to standard output."""
    answers, sys.stdout = sys.stdout, sys.stderr
    registry = _imported(registry)
    from lucid_keras._timing import milliseconds

    prepared = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if "make" in request:
                answer = registry.made(name, **request["make"])
            elif "prepare" in request:
                prepared = None
                prepared = registry.prepared(name, **request["prepare"])
                answer = ready(prepared, request["results"])
            elif "measure" in request:
                answer = {"milliseconds": milliseconds(prepared.call, request["measure"])}
            else:
                answer = {"peak_mib": remember(prepared)}
        except Exception as error:  # whatever a framework raises is the answer
            answer = {"skipped": _one_line(error)}
        print(json.dumps(answer), file=answers, flush=True)


def _imported(registry):
    """The registry; this package's own without `lucid_keras/__init__.py`, which imports TensorFlow.

    Two frameworks' threads in one process slow each other down. A package whose own file is not executed still lets
    the modules inside it be imported, and those that need TensorFlow import it.
    """
    if registry.startswith(f"{PACKAGE}."):
        package = sys.modules[PACKAGE] = types.ModuleType(PACKAGE)
        package.__path__ = [str(pathlib.Path(__file__).parents[1])]
    return importlib.import_module(registry)


def ready(prepared, path):
    """Run the `Prepared` once, its results into a file; the answer."""
    import numpy as np

    if prepared.results is not None:
        np.savez(path, *prepared.results())
    prepared.call()
    return {"judged": prepared.results is not None, **prepared.facts}


def remember(prepared):
    """The MiB that a call needs: what it holds from before, and what it adds at its peak; or all of the process's."""
    from lucid_keras.bench.memory import peak_mib, process_peak_mib

    if prepared.held is None:
        return process_peak_mib()
    added = peak_mib(prepared.afresh or prepared.call)
    return None if added is None else prepared.held / 2**20 + added


def _one_line(error):
    """The error's first line, files without their folders: results are published."""
    text = re.sub(r"(/[^\s:/]+)+/", "", next((line for line in str(error).splitlines() if line.strip()), ""))
    return f"{type(error).__name__}: {text[:160]}" if text else type(error).__name__


if __name__ == "__main__":
    main(*sys.argv[1:])
