"""What compilers say of accelerators that are not here, out of `compile_ahead.json`, as the lines of its page."""

import dataclasses
import json
import pathlib
import statistics

from benchmarks.marked import write
from benchmarks.named import NAMED
from lucid_keras._lowering.choice import choose_lowering
from lucid_keras._lowering.target import Target

HERE = pathlib.Path(__file__).parent
PAGE, RESULTS = HERE.parents[1] / "docs/speed/accelerators.md", HERE / "compile_ahead.json"
COMMAND = "python -m benchmarks.compile_ahead_report"

# What tells which program is best: cycles, and of the H100 no more than bytes.
BEST_BY = {"v5e": "cycles", "v6e": "cycles", "h100": "bytes"}
TITLES = {"v5e": "TPU v5e", "v6e": "TPU v6e", "h100": "H100"}
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
    """Markdown: what was compiled, who is preferred and what `"auto"` takes, and every program."""
    versions = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    batches = ", ".join(f"{MODES[mode]} at batch {batch}" for mode, batch in results["batches"].items())
    devices = ", ".join(results["devices"].values())
    lead = f"For {devices} by {versions}; {batches}; at most {results['limit']} s of the processor a program."
    lines = [lead, "", *_summary(results)]
    for dtype in ("bfloat16", "float32"):
        lines += ["", f"**{dtype}**", "", *_preferences(results, dtype)]
    return [*lines, "", "## Every program", *_details(results)]


def auto(case, mode, batch):
    """The lowering that `"auto"` takes today of a named case under XLA."""
    workload = dataclasses.replace(NAMED[case], batch=batch, mode=mode)
    return choose_lowering(workload, Target("xla"), workload.batch * workload.length)


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
    best = preferred(target, programs)
    if best is None or programs[lowering].get(BEST_BY[target]) is None:
        return None
    return programs[lowering][BEST_BY[target]] / programs[best][BEST_BY[target]]


def _summary(results):
    """A line a target and dtype: how often `"auto"` takes what the estimate prefers, and what it costs where not."""
    lines, groups = [], {}
    for (target, dtype, mode, case), programs in contests(results).items():
        taken = auto(case, mode, results["batches"][mode])
        groups.setdefault((target, dtype), []).append((excess(target, programs, taken), case, mode))
    for (target, dtype), found in groups.items():
        known = [one for one in found if one[0] is not None]
        same = sum(ratio == 1 for ratio, *_ in known)
        what = BEST_BY[target]
        text = f'- {TITLES[target]}, {dtype}: `"auto"` takes what has the fewest {what} in {same} of {len(found)}'
        if known:
            worst, case, mode = max(known)
            mean = statistics.geometric_mean(ratio for ratio, *_ in known)
            text += f"; its {what} over the fewest: {mean:.2f} (geometric mean), at most {worst:.2f} "
            text += f"({case}, {MODES[mode]})"
        lines.append(f"{text}.")
    return lines


def _preferences(results, dtype):
    """A row a case: what `"auto"` takes, and for each target and mode what is preferred to it and by how much."""
    batches, found = results["batches"], contests(results)
    columns = [(target, mode) for target in TITLES for mode in MODES]
    columns = [one for one in columns if any(key[:3] == (one[0], dtype, one[1]) for key in found)]
    names = [f"{TITLES[target]}, {MODES[mode]}" for target, mode in columns]
    lines = [f'| case | `"auto"` takes | {" | ".join(names)} |', f"|---|---|{'---|' * len(columns)}"]
    for case in dict.fromkeys(one["case"] for one in results["runs"]):
        taken = {mode: auto(case, mode, batch) for mode, batch in batches.items()}
        cells = [
            _preference(target, found.get((target, dtype, mode, case), {}), taken[mode]) for target, mode in columns
        ]
        lines.append(f"| {case} | {', '.join(dict.fromkeys(taken.values()))} | {' | '.join(cells)} |")
    return lines


def _preference(target, programs, taken):
    best = preferred(target, programs)
    if best is None or best == taken:
        return "" if best is None else "the same"
    ratio = excess(target, programs, taken)
    over = "`auto`'s did not compile" if ratio is None else f"{ratio:.2f}"
    return f"**{best}**, {over}"


def _details(results):
    """For each target, mode and dtype a table that folds: a row a program, the preferred one's estimate in bold."""
    lines, tables = [], {}
    for (target, dtype, mode, case), programs in contests(results).items():
        tables.setdefault((target, mode, dtype), {})[case] = programs
    for target, mode, dtype in sorted(tables, key=lambda key: (list(TITLES).index(key[0]), key)):
        title = f"{TITLES[target]}, {MODES[mode]}, {dtype}"
        headings = [HEADINGS.get(name, name) for name in COLUMNS[target]]
        lines += ["", f"<details markdown><summary>{title}</summary>", ""]
        lines += [f"| case | lowering | {' | '.join(headings)} |", f"|---|---|{'---:|' * len(headings)}"]
        for case, programs in tables[target, mode, dtype].items():
            best = preferred(target, programs)
            lines += [f"| {case} | {name} | {_cells(target, one, name == best)} |" for name, one in programs.items()]
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
    return f"{value / 1e6:,.1f}" if name in ("operations", "bytes", "temporary") else f"{value:,}"


def main():
    """Write the page's lines."""
    write(PAGE, COMMAND, page(json.loads(RESULTS.read_text())))


if __name__ == "__main__":
    main()
