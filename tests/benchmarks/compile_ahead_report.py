"""What compilers say of accelerators that are not here, out of `compile_ahead.json`, as the lines of its page."""

import collections
import dataclasses
import itertools
import json
import pathlib
import statistics

from benchmarks.compile_ahead import DTYPES, LOWER
from benchmarks.marked import in_a_row, write
from benchmarks.named import NAMED
from lucid_keras._lowering.choice import choose_lowering
from lucid_keras._lowering.target import Target

HERE = pathlib.Path(__file__).parent
PAGE, RESULTS = HERE.parents[1] / "docs/speed/accelerators.md", HERE / "compile_ahead.json"
COMMAND = "python -m benchmarks.compile_ahead_report"

# What tells which program is best: cycles, and of the H100 no more than bytes.
BEST_BY = {"v5e": "cycles", "v6e": "cycles", "h100": "bytes"}
TITLES = {"v5e": "TPU v5e", "v6e": "TPU v6e", "h100": "H100"}
PLATFORMS = {"v5e": "tpu", "v6e": "tpu", "h100": "cuda"}
MODES = {"forward": "forward", "train": "training step"}
COLUMNS = {
    "v5e": ("cycles", "operations", "bytes", "temporary", "fusions", "copies", "seconds"),
    "h100": ("operations", "bytes", "temporary", "fusions", "calls", "seconds"),
}
COLUMNS["v6e"] = COLUMNS["v5e"]
HEADINGS = {
    "operations": "million operations",
    "bytes": "MB moved",
    "temporary": "MB temporary",
    "calls": "library calls",
}


def page(results):
    """Markdown: of each target who is preferred where and what `"auto"` takes, and every program."""
    versions = in_a_row(results["versions"])
    batches = ", ".join(f"{MODES[mode]} at batch {batch}" for mode, batch in results["batches"].items())
    lines = [f"By {versions}; {batches}.", *_unasked(results)]
    found = contests(results)
    for target in (one for one in TITLES if one in results["devices"]):
        lines += ["", f"## {TITLES[target]}", "", *_summary(target, found, results["batches"])]
        lines += ["", *_preferences(target, found, results["batches"]), *_details(target, found)]
    return lines


def _unasked(results):
    """A sentence on the targets and dtypes of which programs are missing, where there are any."""
    asked = collections.Counter((one["target"], one["dtype"]) for one in results["runs"])
    whole = len(NAMED) * len(MODES) * len(LOWER)
    missing = [
        f"{TITLES[target]} in {dtype} ({asked[target, dtype]} of {whole})"
        for target, dtype in itertools.product(TITLES, DTYPES)
        if asked[target, dtype] < whole
    ]
    return [f"Not every program was tried for {', '.join(missing)}."] * bool(missing)


def auto(target, case, mode, batch):
    """The lowering that `"auto"` takes today of a named case under XLA for a target."""
    workload = dataclasses.replace(NAMED[case], batch=batch, mode=mode)
    device = Target("xla", platform=PLATFORMS[target])
    return choose_lowering(workload, device, workload.batch, workload.length, "float32")


def contests(results):
    """By target, dtype, mode and case: the programs by lowering."""
    found = {}
    for one in results["runs"]:
        key = one["target"], one["dtype"], one["mode"], one["case"]
        found.setdefault(key, {})[one["lowering"]] = one
    return found


def preferred(target, programs):
    """The lowering of the least estimate among those that compiled; None where none did."""
    estimates = {name: one[BEST_BY[target]] for name, one in programs.items() if one.get(BEST_BY[target]) is not None}
    return min(estimates, key=estimates.get, default=None)


def excess(target, programs, lowering):
    """A lowering's estimate over the least; None where it did not compile."""
    best, estimate = preferred(target, programs), programs.get(lowering, {}).get(BEST_BY[target])
    return None if estimate is None else estimate / programs[best][BEST_BY[target]]


def _columns(target, found):
    """The modes and dtypes that a target was asked for, the modes first."""
    asked = {(mode, dtype) for one, dtype, mode, _ in found if one == target}
    return sorted(asked, key=lambda column: (list(MODES).index(column[0]), column[1]))


def _summary(target, found, batches):
    """A line a mode and dtype: how often `"auto"` takes what the estimate prefers, and what it costs where not."""
    what, lines = BEST_BY[target], []
    for mode, dtype in _columns(target, found):
        cases = {key[-1]: programs for key, programs in found.items() if key[:3] == (target, dtype, mode)}
        ratios = {
            case: excess(target, programs, auto(target, case, mode, batches[mode])) for case, programs in cases.items()
        }
        known = {case: ratio for case, ratio in ratios.items() if ratio is not None}
        text = f'- {MODES[mode]}, {dtype}: `"auto"` takes what has the fewest {what} in '
        text += f"{sum(ratio == 1 for ratio in known.values())} of {len(cases)}"
        if known:
            worst = max(known, key=known.get)
            text += f"; its {what} over the fewest {statistics.geometric_mean(known.values()):.2f} (geometric mean), "
            text += f"at most {known[worst]:.2f} ({worst})"
        lines.append(f"{text}.")
    return lines


def _preferences(target, found, batches):
    """A row a case: what `"auto"` takes, and what is preferred to it and by how much."""
    columns = _columns(target, found)
    names = [f"{MODES[mode]}, {dtype}" for mode, dtype in columns]
    lines = [f'| {BEST_BY[target]} | `"auto"` takes | {" | ".join(names)} |', f"|---|---|{'---|' * len(columns)}"]
    for case in dict.fromkeys(key[-1] for key in found if key[0] == target):
        taken = {mode: auto(target, case, mode, batch) for mode, batch in batches.items()}
        cells = [
            _preference(target, found.get((target, dtype, mode, case), {}), taken[mode]) for mode, dtype in columns
        ]
        lines.append(f"| {case} | {', '.join(dict.fromkeys(taken.values()))} | {' | '.join(cells)} |")
    return lines


def _preference(target, programs, taken):
    best = preferred(target, programs)
    if best is None or best == taken:
        return "none compiled" if best is None else "the same"
    ratio = excess(target, programs, taken)
    over = "`auto`'s did not compile" if ratio is None else f"{ratio:.2f}"
    return f"**{best}**, {over}"


def _details(target, found):
    """For each mode and dtype a table that folds: a row a program, the preferred one's estimate in bold."""
    lines = []
    for mode, dtype in _columns(target, found):
        headings = [HEADINGS.get(name, name) for name in COLUMNS[target]]
        lines += ["", f"<details markdown><summary>Every program: {MODES[mode]}, {dtype}</summary>", ""]
        lines += [f"| case | lowering | {' | '.join(headings)} |", f"|---|---|{'---:|' * len(headings)}"]
        for key, programs in found.items():
            if key[:3] == (target, dtype, mode):
                best = preferred(target, programs)
                for name, one in programs.items():
                    lines.append(f"| {key[-1]} | {name} | {_cells(target, one, name == best)} |")
        lines += ["", "</details>"]
    return lines


def _cells(target, one, best):
    """The estimates of a program, or first and alone why there are none."""
    if "skipped" in one:
        return one["skipped"].replace("|", "/") + " |" * (len(COLUMNS[target]) - 1)
    cells = {name: _shown(name, one[name]) for name in COLUMNS[target]}
    if best:
        cells[BEST_BY[target]] = f"**{cells[BEST_BY[target]]}**"
    return " | ".join(cells.values())


def _shown(name, value):
    if name == "calls":
        return ", ".join(
            f"{target.strip('_')}" + (f" x {count}" if count > 1 else "") for target, count in value.items()
        )
    if value is None:
        return "not told"
    if name == "seconds":
        return f"{value:.1f}"
    return f"{value / 1e6:,.1f}" if name in ("operations", "bytes", "temporary") else f"{value:,}"


def main():
    """Write the page's lines."""
    write(PAGE, COMMAND, page(json.loads(RESULTS.read_text())))


if __name__ == "__main__":
    main()
