"""What the benchmark is to show, and whether its results do: one verdict for each target."""

import dataclasses
import math
import statistics

from benchmarks.named import NAMED
from lucid_keras.bench.measured import ratio, times

COMPUTE_BOUND = 16  # floating-point operations a byte of input, weight and output; these two cores balance at about 13


@dataclasses.dataclass(frozen=True)
class Verdict:
    """A target, what was measured for it in words, and whether it is met; None where nothing was measured."""

    target: str
    measured: str
    met: bool | None


def verdicts(results, costs=None):
    """A `Verdict` for each target, from the benchmark's results and, where given, those of `costs.py`."""
    found = [
        *_litert(results["runs"]),
        *_forward(results["runs"]),
        *_training(results["runs"]),
    ]
    return found + [Verdict(**one) for one in (costs or {}).get("verdicts", [])]


def _litert(runs):
    ours, peers = "ours LiteRT", ("TRANSPOSE_CONV", "litert-torch")
    strided = lambda case: dense(case) and case.stride > 1  # noqa: E731
    share = "LiteRT float32, share of the ceiling, compute-bound dense"
    yield least(runs, share, 0.8, compute_bound, "LiteRT product", ours)
    alone = [run for run in runs if run["batch"] == 1]  # at batch 8 TRANSPOSE_CONV is at the ceiling too
    for peer in peers:
        yield least(alone, f"LiteRT float32 over {peer}, strided dense", 1.7, strided, peer, ours)
        yield least(alone, f"LiteRT float32 over {peer}, istft", 10, lambda case: case == NAMED["istft"], peer, ours)
        yield least(alone, f"LiteRT float32 over {peer}, depthwise", 20, depthwise, peer, ours)
        yield least(alone, f"LiteRT float32 over {peer}, grouped", 1.8, grouped, peer, ours)
    yield least(runs, "LiteRT int8 over our float32", 3, every, ours, "ours LiteRT int8")
    yield _delegated(runs, ("ours LiteRT", "ours LiteRT int8"))


def _forward(runs):
    yield least(runs, "TensorFlow forward over torch, each case", 0.9, every, "torch", "ours graph")
    yield mean(runs, "TensorFlow forward over torch", 1.2, "torch", "ours graph")
    yield mean(runs, "TensorFlow forward over Keras, both channels last", 1.5, "Keras", "ours channels last")


def _training(runs):
    """In a graph, as `model.fit` trains on a CPU, and compiled; beside each the peer of its layout."""
    for ours, peer in (
        ("ours graph", "torch"),
        ("ours XLA", "torch"),
        ("ours channels last", "Keras"),
        ("ours XLA channels last", "Keras XLA"),
    ):
        title = f"training step, {ours}, over {peer}"
        yield least(runs, f"{title}, each case", 1, every, peer, ours, "train")
        yield mean(runs, title, 1.3, peer, ours, "train")


def least(runs, title, wanted, chosen, other, ours, mode="forward"):
    """The worst over the chosen cases of how many times faster ours is than the other, or what share of the ceiling."""
    ratios = {key: value for key, value in _ratios(runs, other, ours, mode).items() if chosen(NAMED[key[0]])}
    if not ratios:
        return Verdict(f"{title}: at least {wanted:g}", "not measured", None)
    worst = min(ratios, key=ratios.get)
    met = sum(value >= wanted for value in ratios.values())
    text = f"{ratios[worst]:.2f} ({worst[0]}, batch {worst[1]}); {met} of {len(ratios)}"
    return Verdict(f"{title}: at least {wanted:g}", text, met == len(ratios))


def mean(runs, title, wanted, other, ours, mode="forward"):
    """The geometric mean over all cases."""
    ratios = _ratios(runs, other, ours, mode).values()
    target = f"{title}, geometric mean: at least {wanted:g}"
    if not ratios:
        return Verdict(target, "not measured", None)
    value = statistics.geometric_mean(ratios)
    return Verdict(target, f"{value:.2f} over {len(ratios)}", value >= wanted)


def _ratios(runs, other, ours, mode):
    """By case and batch, where both were timed."""
    found = {(run["case"], run["batch"]): ratio(run["subjects"], other, ours) for run in runs if run["mode"] == mode}
    return {key: value for key, value in found.items() if value is not None}


def _delegated(runs, names):
    target = f"every file of {' and '.join(names)} on XNNPACK in one partition"
    files = {
        (run["case"], run["batch"], name): run["subjects"][name]["delegation"]
        for run in runs
        for name in names
        if times(run["subjects"], name) and "delegation" in run["subjects"][name]
    }
    if not files:
        return Verdict(target, "not measured", None)
    split = [key for key, one in files.items() if one["partitions"] != 1 or one["delegated"] < one["operators"]]
    named = f", not {split[0][2]} of {split[0][0]}" if split else ""
    return Verdict(target, f"{len(files) - len(split)} of {len(files)}{named}", not split)


def every(case):
    return True


def dense(case):
    return case.groups == 1


def depthwise(case):
    return 1 < case.groups == case.in_channels


def grouped(case):
    return 1 < case.groups < case.in_channels


def compute_bound(case):
    """Dense, and with more arithmetic a byte than the machine's own balance."""
    multiply_adds = case.batch * case.length * case.in_channels * case.out_channels * case.kernel_size
    numbers = sum(math.prod(shape) for shape in (case.shapes.x, case.shapes.weight, case.shapes.dy))
    return dense(case) and 2 * multiply_adds >= COMPUTE_BOUND * 4 * numbers
