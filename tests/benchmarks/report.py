"""The results as Markdown, as a picture and in the README's few lines: `python -m benchmarks.report`."""

import json
import pathlib
import statistics

from benchmarks.goals import verdicts
from benchmarks.marked import in_a_row, write
from lucid_keras._lowering.lowerings import LOWER
from lucid_keras.bench.measured import quartiles, ratio, times

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[1]
README, PAGE, PICTURE = ROOT / "README.md", ROOT / "docs/speed/layers.md", ROOT / "docs/speed/layers.png"
RESULTS, COSTS, TABLES = HERE / "results.json", HERE / "costs.json", HERE / "RESULTS.md"
COMMAND = "python -m benchmarks.report"
BAR = 50  # letters of the longest
EXPECTED = ("does not train", "not installed", "LUCID_KERAS_LITERT_TORCH")  # no news of a subject

LOWERINGS = [f"ours {name}" for name in LOWER]

# For each kind of run: our subject and whom it is compared to, as the ratio of their time to ours.
COMPARED = {
    "forward in LiteRT": (
        "forward",
        "ours LiteRT",
        ["TRANSPOSE_CONV", "litert-torch", "ONNX Runtime", "torch", "LiteRT product"],
    ),
    "forward in LiteRT, int8": (
        "forward",
        "ours LiteRT int8",
        ["TRANSPOSE_CONV int8", "ours LiteRT", "LiteRT product int8"],
    ),
    "forward in TensorFlow": (
        "forward",
        "ours graph",
        ["ours eager", "ours XLA", "torch", "torch.compile", "TF product"],
    ),
    "training step in TensorFlow": (
        "train",
        "ours graph",
        ["ours XLA", "torch", "torch.compile", "TF product"],
    ),
    "forward in TensorFlow, channels last": ("forward", "ours channels last", ["Keras", "Keras XLA"]),
    "training step in TensorFlow, channels last": ("train", "ours channels last", ["Keras"]),
    "training step under XLA, channels last": ("train", "ours XLA channels last", ["Keras XLA"]),
    "the lowerings, forward": ("forward", "ours graph", LOWERINGS),
    "the lowerings, training step": ("train", "ours graph", LOWERINGS),
}
SAID = ("forward in LiteRT", "forward in LiteRT, int8", "training step in TensorFlow")  # in the README
DRAWN = ("forward in LiteRT", "forward in LiteRT, int8", "forward in TensorFlow", "training step in TensorFlow")


def verdict_table(results, costs):
    """Markdown: target, measured, met."""
    words = {True: "yes", False: "**no**", None: ""}
    rows = [f"| {one.target} | {one.measured} | {words[one.met]} |" for one in verdicts(results, costs)]
    return ["| target | measured: the worst; how many meet it | met |", "|---|---|---|", *rows]


def tables(results, kinds=tuple(COMPARED), batches=None):
    """Markdown: for each kind of run and batch, or the first so many, a row a case, our milliseconds and the ratios."""
    lines = []
    for title in kinds:
        mode, ours, others = COMPARED[title]
        for batch in sorted({run["batch"] for run in results["runs"] if run["mode"] == mode})[:batches]:
            runs = _timed(results, mode, batch, ours)
            if runs:
                heading = f"**{title}, batch {batch}**: {ours} in milliseconds (quartiles), the others' time over it"
                lines += [heading, "", *_table(runs, ours, others), ""]
    return lines


def _timed(results, mode, batch, ours):
    """The runs of a kind in which our subject was timed."""
    runs = [run for run in results["runs"] if (run["mode"], run["batch"]) == (mode, batch)]
    return [run for run in runs if times(run["subjects"], ours)]


def _table(runs, ours, others):
    others = [other for other in others if any(ratio(run["subjects"], other, ours) for run in runs)]
    lines = [f"| case | {' | '.join([ours, *others])} |", f"|---|{'---:|' * (1 + len(others))}"]
    columns = {other: [] for other in others}
    for run in runs:
        low, middle, high = quartiles(times(run["subjects"], ours))
        cells = [f"{middle:.2f} ({low:.2f}-{high:.2f})"]
        for other in others:
            value = ratio(run["subjects"], other, ours)
            cells.append("" if value is None else f"{value:.2f}")
            columns[other] += [] if value is None else [value]
        lines.append(f"| {run['case']} | {' | '.join(cells)} |")
    means = ["", *(f"{statistics.geometric_mean(columns[other]):.2f}" for other in others)]
    return [*lines, f"| geometric mean | {' | '.join(means)} |"]


def refusals(results):
    """Markdown: who could not be timed on what, and why."""
    reasons = {}
    for run in results["runs"]:
        for name, result in run["subjects"].items():
            reason = result.get("skipped", EXPECTED[0])
            if not reason.startswith(EXPECTED):
                cases = reasons.setdefault((name, reason.split(": off by")[0].replace("|", "/")), [])
                cases += [] if run["case"] in cases else [run["case"]]
    if not reasons:
        return []
    rows = [f"| {name} | {reason} | {', '.join(cases)} |" for (name, reason), cases in reasons.items()]
    return ["Not timed:", "", "| subject | why | cases |", "|---|---|---|", *rows, ""]


def draw(results, path):
    """Bars per case: how many times longer the others take than ours; a ceiling's bar is our share of it."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator

    shown = list(_chosen(results, DRAWN))
    figure = Figure(figsize=(13, 3.2 * len(shown)), layout="constrained")
    axes = figure.subplots(len(shown), squeeze=False)[:, 0]
    for axis, (title, batch, runs, ours, others) in zip(axes, shown, strict=True):
        width = 0.8 / len(others)
        for index, other in enumerate(others):
            beyond = [(ratio(run["subjects"], other, ours) or 1) - 1 for run in runs]
            style = {"color": "black"} if "product" in other else {}
            places = [place + index * width for place in range(len(runs))]
            axis.bar(places, beyond, width, bottom=1, label=other, **style)
        axis.axhline(1, color="black", linewidth=0.8)
        axis.set_yscale("log")
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter("")
        axis.set_xticks([place + 0.4 for place in range(len(runs))], [run["case"] for run in runs], rotation=25)
        axis.set_ylabel("times as long")
        axis.set_title(f"{title}, batch {batch}: the others' time over that of {ours}", loc="left")
        axis.legend(fontsize=8, ncols=len(others))
    figure.savefig(path, dpi=100)


def _chosen(results, titles):
    """Of each kind that was timed its title, and at the smallest batch its runs, our subject and the others."""
    for title in titles:
        mode, ours, others = COMPARED[title]
        batches = [run["batch"] for run in results["runs"] if run["mode"] == mode]
        runs = _timed(results, mode, min(batches), ours) if batches else []
        others = [other for other in others if any(ratio(run["subjects"], other, ours) for run in runs)]
        if others:
            yield title, min(batches), runs, ours, others


def digest(results, costs):
    """Markdown: the first kind of run as bars, a line a kind, and how many targets are met."""
    lines = []
    for title, batch, runs, ours, others in _chosen(results, SAID):
        peers = [other for other in others if not other.startswith("ours") and "product" not in other]
        lines = lines or _bars(title, batch, runs, ours, peers)
        said = ", ".join(f"{other} {_spread(runs, other, ours)}" for other in peers)
        what = f"{title[0].upper()}{title[1:]}, batch {batch}, {len(runs)} layers"
        lines.append(f"- {what}, the others' time over ours: {said}.")
    found = verdicts(results, costs)
    met = sum(bool(one.met) for one in found)
    return [*lines, "", f"Of {len(found)} targets {met} are met; `tests/benchmarks/RESULTS.md` has each."]


def _bars(title, batch, runs, ours, others):
    """A picture of letters, which shows wherever the README does: the others' time over ours, geometric means."""
    means = {ours: 1.0} | {other: statistics.geometric_mean(_ratios(runs, other, ours)) for other in others}
    width, scale = max(map(len, means)), BAR / max(means.values())
    rows = [
        f"{name:{width}} {'█' * round(scale * means[name])} {means[name]:.1f}" for name in sorted(means, key=means.get)
    ]
    return ["```text", f"{title}, batch {batch}, {len(runs)} layers: time over ours", "", *rows, "```", ""]


def _ratios(runs, other, ours):
    return [found for run in runs if (found := ratio(run["subjects"], other, ours)) is not None]


def _spread(runs, other, ours):
    """The geometric mean of the ratios, the least and the largest."""
    ratios = _ratios(runs, other, ours)
    return f"{statistics.geometric_mean(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})"


def main():
    """Write the README's lines, the page of the documentation, all of it to `RESULTS.md`, and the picture."""
    results = json.loads(RESULTS.read_text())
    costs = json.loads(COSTS.read_text()) if COSTS.exists() else None
    machine = results["machine"]
    versions = in_a_row(machine["versions"])
    lead = f"{machine['processor']}, {machine['cores']} cores; {versions}; {results['rounds']} interleaved rounds."
    met = verdict_table(results, costs)
    write(README, COMMAND, digest(results, costs))
    write(PAGE, COMMAND, [lead, "", *met, "", *tables(results, DRAWN, batches=1)])
    everything = ["# Every result", lead, f"Written by `{COMMAND}`.", "", *met, "", *refusals(results)]
    TABLES.write_text("\n".join([*everything, *tables(results)]))
    draw(results, PICTURE)


if __name__ == "__main__":
    main()
