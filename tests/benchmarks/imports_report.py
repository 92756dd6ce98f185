"""What `from_torch` makes of other people's decoders, as the lines of its page, out of what was measured."""

import json
import math
import re

from benchmarks.apart import on_processors
from benchmarks.imports import OTHER, OTHER_LIMIT, RECIPES, RESULTS
from benchmarks.imports_speed import RESULTS as SPEED
from benchmarks.imports_speed import TOLERANCE
from benchmarks.marked import write
from benchmarks.model_cases import ROOT

PAGE = ROOT / "docs/speed/imports.md"
COMMAND = "python -m benchmarks.imports_report"


def page(results, speed):
    """Markdown: what an import gives, its files, their speed, and why some decoders are not imported or not live."""
    decoders = results["decoders"]
    imported = {name: one for name, one in decoders.items() if "refused" not in one}
    timed = speed["decoders"]
    others = {name: one["files"].get(OTHER, {}) for name, one in timed.items()}
    faster = [one["times_as_long"] for one in others.values() if "times_as_long" in one]
    mean = math.exp(sum(map(math.log, faster)) / len(faster))
    lines = [
        f"{on_processors(speed)}, one thread.",
        "",
        f"- {len(imported)} of {len(decoders)} decoders are imported, each by one line of its user's, the slowest in "
        f"{max(one['seconds'] for one in timed.values()):.0f} s.",
        f"- {sum(_is_proven(one) for one in imported.values())} of them are written in every recipe, at the floor that "
        "it has by default.",
        f"- litert-torch's files take {mean:.2f} times as long as ours in float32, the geometric mean of the "
        f"{len(faster)} that it converts right within {OTHER_LIMIT // 60} minutes.",
        "",
        "| decoder | import, s | operations | million weights | relative error at each length | live, seconds later |",
        "|---|---:|---:|---:|---|---:|",
    ]
    lines += [_imported(name, one, timed[name]["seconds"]) for name, one in imported.items()]
    header = ("file", "recipe", "dB", "layers kept in float32", "MB", "operators outside XNNPACK", "partitions",
              "ms a second of audio")  # fmt: skip
    lines += ["", f"| {' | '.join(header)} |", "|---|---|" + "---:|" * (len(header) - 2)]
    for name, one in imported.items():
        lines += [_file(name, recipe, one, timed[name]["files"]) for recipe in RECIPES]
    lines += ["", f"| {OTHER} | its file, s | its time over ours, float32 |", "|---|---:|---:|"]
    lines += [_other(name, one[OTHER], others[name]) for name, one in imported.items()]
    for title, why in (("Not imported", "refused"), ("Not live", "not_live")):
        lines += ["", f"{title}:", ""]
        lines += [f"- {name}: {_short(one[why])}" for name, one in decoders.items() if why in one]
    return lines


def _is_proven(one):
    return not any("refused" in file for file in one["files"].values())


def _imported(name, one, seconds):
    errors = ", ".join(f"{error:.0e}" for error in one["errors"])
    late = f"{one['latency']:.3f}" if "latency" in one else "no"
    cells = (f"{seconds:.0f}", one["layers"], f"{one['weights'] / 1e6:.1f}", errors, late)
    return f"| {name} | {' | '.join(map(str, cells))} |"


def _file(name, recipe, one, speed):
    file = one["files"][recipe]
    if "refused" in file:
        return f"| {name} | `{recipe}` | {_short(file['refused'])} | | | | | |"
    milliseconds = speed[recipe]["milliseconds"] / one["audio_seconds"]
    cells = (f"{file['snr_db']:.1f}", file["float_layers"] or "", f"{file['bytes'] / 1e6:.1f}",
             f"{file['outside']} of {file['total']}", file["partitions"], f"{milliseconds:.0f}")  # fmt: skip
    return f"| {name} | `{recipe}` | {' | '.join(map(str, cells))} |"


def _other(name, made, ran):
    if "refused" in made:
        return f"| {name} | | {_short(made['refused'])} |"
    if ran["error"] > TOLERANCE:
        return f"| {name} | {made['seconds']:.0f} | wrong: relative error {ran['error']:.0e} |"
    return f"| {name} | {made['seconds']:.0f} | {ran['times_as_long']:.2f} |"


def _short(reason):
    """The reason's first sentence, or of many operations the first of each kind, that a cell of a table holds."""
    kinds = {}
    for one in re.sub(r"\s+", " ", reason).replace("|", "\\|").split("; "):
        kinds.setdefault(one.partition(" ")[0], one)
    text = "; ".join(kinds.values())
    return text if len(text) <= 200 else text[:197] + "..."


def main():
    """Write the page's lines."""
    write(PAGE, COMMAND, page(*(json.loads(path.read_text()) for path in (RESULTS, SPEED))))


if __name__ == "__main__":
    main()
