"""Subjects, each in its own process, over workloads: parity first, then interleaved rounds, then memory."""

import dataclasses
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import threading

import numpy as np

from lucid_keras.bench import judge, subjects, worker
from lucid_keras.bench.subjects import SUBJECTS, refusal

# With oneDNN TensorFlow keeps a pool of memory, out of which nothing can be seen of a call. Without it calls are
# slower, so the processes that are timed have it.
UNPOOLED = {"TF_ONEDNN_USE_SYSTEM_ALLOCATOR": "1"}
LIMIT = 300.0  # seconds that a subject may take to answer


class Worker:
    """The process of a registry's subject, started when it is first asked and again after it died or was closed."""

    def __init__(self, name, threads, variables=(), registry=subjects.__name__):
        self.name, self.threads, self.variables, self.registry = name, threads, dict(variables), registry
        self.process = None

    def ask(self, limit=LIMIT, **request):
        """The answer to one request; of a process that ends, or takes longer than `limit` seconds, that it did."""
        if self.process is None:
            self.process = self._start()
        timer = threading.Timer(limit, self.process.kill)
        timer.start()
        try:
            print(json.dumps(request), file=self.process.stdin, flush=True)
            return json.loads(self.process.stdout.readline())
        except (BrokenPipeError, json.JSONDecodeError):
            late = not timer.is_alive()
            status = self.process.wait()
            self.close()
            return {"skipped": f"took longer than {limit:g} s" if late else f"its process ended with status {status}"}
        finally:
            timer.cancel()

    def close(self):
        """End the process, whatever it is at."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None

    def _start(self):
        threads = {name: str(self.threads) for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")}
        quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow", "TORCHINDUCTOR_COMPILE_THREADS": "1"}
        return subprocess.Popen(
            # -P: the folder of the script, which holds modules of this package, is no place to import from
            [sys.executable, "-P", worker.__file__, self.registry, self.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **threads, **quiet, **self.variables},
        )


class Contest:
    """The processes of some subjects, over as many workloads as wanted; a context manager."""

    def __init__(self, names, threads):
        self.threads = threads
        self.workers = {name: Worker(name, threads) for name in names}
        self.unpooled = {
            name: Worker(name, threads, UNPOOLED) for name in names if SUBJECTS[name].module == "in_tensorflow"
        }
        self.random = random.Random(0)
        self.folder = tempfile.TemporaryDirectory()
        self.results = f"{self.folder.name}/results.npz"

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for one in (*self.workers.values(), *self.unpooled.values()):
            one.close()
        self.folder.cleanup()

    def run(self, workload, rounds, seconds, advance=lambda text: None):
        """What was measured of each subject on a workload, by name.

        Args:
            workload: a `Workload`.
            rounds: int, how often each subject is timed; within a round their order is random.
            seconds: float, how long each is timed in a round, at least 3 calls.
            advance: called with a text before each of `steps(rounds)` steps.

        Returns:
            For each subject `{"error", "milliseconds": [a median per round], "peak_mib"}` and facts of its own, such
            as `"delegation"`; or `{"skipped": why}`, with `"error"` if its numbers were wrong. `error` is the subject's
            `measure` of it, against float64; None for a matrix product.
        """
        expected = wanted(workload, workload.arrays())
        found = {}
        for name in self.workers:
            advance(f"preparing {name}")
            found[name] = self._prepared(name, workload, expected)
        for number in range(rounds):
            advance(f"round {number + 1}")
            timed = [name for name, result in found.items() if "skipped" not in result]
            for name in self.random.sample(timed, len(timed)):
                answer = self.workers[name].ask(measure=seconds)
                if "skipped" in answer:
                    found[name] |= answer
                else:
                    found[name]["milliseconds"].append(answer["milliseconds"])
        for name in self.workers:
            advance(f"memory of {name}")
            if "skipped" not in found[name]:
                found[name] |= self._remember(name, workload)
        return found

    @staticmethod
    def steps(names, rounds):
        """How often `run` calls `advance`, of so many subjects."""
        return 2 * len(names) + rounds

    def _prepared(self, name, workload, expected):
        refused = refusal(name, workload)
        if refused:
            return {"skipped": refused}
        answer = self._prepare(self.workers[name], workload)
        if "skipped" in answer:
            return answer
        if not answer.pop("judged"):
            return {"error": None, "milliseconds": []} | answer
        with np.load(self.results) as results:
            return _judged(list(results.values()), expected, SUBJECTS[name], workload.mode) | answer

    def _prepare(self, one, workload):
        what = {"workload": dataclasses.asdict(workload), "threads": self.threads}
        return one.ask(prepare=what, results=self.results)

    def _remember(self, name, workload):
        """The peak memory; for TensorFlow by a second process, which prepares the workload once more."""
        one = self.workers[name]
        if name in self.unpooled:
            one = self.unpooled[name]
            self._prepare(one, workload)
        return {"peak_mib": one.ask(remember=True).get("peak_mib")}


def wanted(workload, arrays):
    """What a subject must compute, in float64."""
    if workload.mode == "train":
        return judge.gradients(arrays.x, arrays.weight, arrays.dy, **workload.parameters)
    return [judge.forward(arrays.x, arrays.weight, arrays.bias, **workload.parameters)]


def _judged(results, expected, subject, mode):
    shapes = [[list(array.shape) for array in arrays] for arrays in (results, expected)]
    if shapes[0] != shapes[1]:
        return {"skipped": f"wrong shapes: {shapes[0]} instead of {shapes[1]}"}
    error = getattr(judge, subject.measure)(results, expected)
    if not error <= subject.allowed(mode):
        recorded = error if math.isfinite(error) else None  # JSON has no NaN
        return {"skipped": f"wrong numbers: {subject.measure.replace('_', ' ')} {error:.2g}", "error": recorded}
    return {"error": error, "milliseconds": []}
