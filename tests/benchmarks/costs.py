"""How the cost grows, what grouping saves, what importing and starting cost: `python -m benchmarks.costs`.

Writes `costs.json`, from which `report.py` takes its last verdicts.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import statistics
import subprocess
import sys

import numpy as np

from benchmarks.goals import Verdict
from lucid_keras._timing import milliseconds
from lucid_keras.bench.machine import machine
from lucid_keras.bench.subjects import SUBJECTS
from lucid_keras.bench.workload import Workload

COSTS = pathlib.Path(__file__).parent / "costs.json"
LARGEST_SLOPE = 1.1  # of log time over log size: linear, and a tenth for caches that a larger size leaves
IMPORT_SECONDS = 0.1

DENSE = Workload(256, 256, 8, 4, 2, length=250)
GROWTHS = {
    "batch": [dataclasses.replace(DENSE, batch=batch) for batch in (1, 2, 4, 8)],
    "length": [dataclasses.replace(DENSE, length=250 * factor) for factor in (1, 2, 4, 8)],
}
GROUPS = [dataclasses.replace(DENSE, length=1000, groups=groups) for groups in (1, 4, 16, 256)]
GROWN = ("ours graph", "ours XLA", "ours LiteRT")

IMPORT = """
import time
start = time.perf_counter()
import keras
between = time.perf_counter()
import lucid_keras
print(between - start, time.perf_counter() - between)
"""
# The runtime is up, as it is in a program that has more than one layer.
FIRST_CALL = """
import time, sys
import keras, tensorflow as tf, lucid_keras as lk
x = {"ours": tf.zeros([1, 64, 100]), "keras": tf.zeros([1, 100, 64])}[sys.argv[1]]
keras.layers.Dense(4)(tf.zeros([1, 4]))
start = time.perf_counter()
if sys.argv[1] == "ours":
    layer = lk.ConvTranspose1d(64, 32, 16, 8, 4)
else:
    layer = keras.layers.Conv1DTranspose(32, 16, 8, "same", data_format="channels_last")
layer(x)
print(time.perf_counter() - start)
"""


def main():
    """Measure all of it and write it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.costs", description="Measures how the cost grows.")
    parser.add_argument("--only", nargs="+", default=list(MEASURED), choices=list(MEASURED))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.2)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=pathlib.Path, default=COSTS)
    parsed = parser.parse_args()
    measured, verdicts = {}, []
    for name in parsed.only:
        measured[name] = MEASURED[name](parsed)
        verdicts += VERDICTS[name](measured[name])
    described = {"machine": machine(parsed.threads), "rounds": parsed.rounds, "measured": measured}
    described["verdicts"] = [dataclasses.asdict(one) for one in verdicts]
    parsed.out.write_text(json.dumps(described, indent=1) + "\n")
    for one in verdicts:
        print(f"{one.target}: {one.measured}: {'met' if one.met else 'not met'}")


def growth(parsed):
    """For batch and length, and each of our subjects: the sizes and the median milliseconds."""
    found = {}
    for axis, workloads in GROWTHS.items():
        for name in GROWN:
            medians = interleaved({one: (name, one) for one in workloads}, parsed)
            sizes = [getattr(one, axis) for one in workloads]
            found[f"{axis}, {name}"] = {"sizes": sizes, "milliseconds": list(medians.values())}
    return found


def grouping(parsed):
    """For our subjects forward, and a training step under XLA: the groups and the median milliseconds."""
    found = {}
    for name, mode in [*((name, "forward") for name in GROWN), ("ours XLA", "train")]:
        workloads = [dataclasses.replace(one, mode=mode, batch=4 if mode == "train" else 1) for one in GROUPS]
        medians = interleaved({one: (name, one) for one in workloads}, parsed)
        groups = [one.groups for one in workloads]
        found[f"{name}, {mode}"] = {"groups": groups, "milliseconds": list(medians.values())}
    return found


def interleaved(subjects, parsed):
    """The median milliseconds of each subject on its workload, all in this process and timed in turn."""
    calls = {
        key: SUBJECTS[name].prepare(workload, workload.arrays(), parsed.threads).call
        for key, (name, workload) in subjects.items()
    }
    times = {key: [] for key in calls}
    for _ in range(parsed.rounds):
        for key, call in calls.items():
            times[key].append(milliseconds(call, parsed.seconds))
    return {key: statistics.median(values) for key, values in times.items()}


def starting(parsed):
    """Seconds, each in fresh processes taken in turn: importing Keras, what this package adds, and first calls."""
    found = {"import keras": [], "import lucid_keras": [], "first call": [], "first call of Keras's": []}
    for _ in range(parsed.rounds):
        base, added = fresh(IMPORT)
        found["import keras"].append(base)
        found["import lucid_keras"].append(added)
        found["first call"] += fresh(FIRST_CALL, "ours")
        found["first call of Keras's"] += fresh(FIRST_CALL, "keras")
    return found


def fresh(script, *arguments):
    """The numbers that a script prints in an interpreter of its own."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
    command = [sys.executable, "-c", script, *arguments]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    return [float(number) for number in shown.split()]


def slope(sizes, milliseconds):
    """Of the straight line through log time over log size, by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(milliseconds), 1)[0])


def growth_verdicts(found):
    for axis in GROWTHS:
        slopes = {name: slope(*found[f"{axis}, {name}"].values()) for name in GROWN}
        worst = max(slopes, key=slopes.get)
        target = f"time over {axis}, slope of the logarithms: at most {LARGEST_SLOPE:g}"
        yield Verdict(target, f"{slopes[worst]:.2f} ({worst})", slopes[worst] <= LARGEST_SLOPE)


def grouping_verdicts(found):
    slopes = {key: slope(*one.values()) for key, one in found.items()}
    worst = max(slopes, key=slopes.get)
    yield Verdict(
        "time over groups, slope of the logarithms: below 0", f"{slopes[worst]:.2f} ({worst})", slopes[worst] < 0
    )
    for mode in ("forward", "train"):
        groups, milliseconds = found[f"ours XLA, {mode}"].values()
        shares = {count: one / milliseconds[0] for count, one in zip(groups[1:], milliseconds[1:], strict=True)}
        worst = max(shares, key=shares.get)
        target = f"grouped and depthwise under XLA, {mode}, over dense of the same width: at most 1"
        yield Verdict(target, f"{shares[worst]:.2f} ({worst} groups)", shares[worst] <= 1)


def starting_verdicts(found):
    medians = {name: statistics.median(seconds) for name, seconds in found.items()}
    added, ratio = medians["import lucid_keras"], medians["first call"] / medians["first call of Keras's"]
    base = medians["import keras"]
    target = f"importing lucid_keras after keras: at most {IMPORT_SECONDS:g} s"
    yield Verdict(target, f"{added:.3f} s after {base:.1f} s", added <= IMPORT_SECONDS)
    text = f"{ratio:.2f} ({1e3 * medians['first call']:.0f} ms)"
    yield Verdict("building and first call over Keras's layer: at most 1", text, ratio <= 1)


MEASURED = {"growth": growth, "grouping": grouping, "starting": starting}
VERDICTS = {"growth": growth_verdicts, "grouping": grouping_verdicts, "starting": starting_verdicts}

if __name__ == "__main__":
    main()
