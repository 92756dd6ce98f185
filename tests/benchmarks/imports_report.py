"""What `from_torch` makes of other people's decoders, out of `imports.json`, as the lines of its page."""

import json

from benchmarks.imports import RECIPES, RESULTS
from benchmarks.marked import write
from benchmarks.model_cases import ROOT

PAGE = ROOT / "docs/speed/imports.md"
COMMAND = "python -m benchmarks.imports_report"


def page(results):
    """Markdown: a row for each decoder that is imported, and why the others are not, or do not stream."""
    decoders = results["decoders"]
    imported = {name: one for name, one in decoders.items() if "refused" not in one}
    lines = [
        f"{len(imported)} of {len(decoders)} import, each in one line of its user's.",
        "",
        "| decoder | seconds | layers | million weights | relative error at each length | live, seconds later |",
        "|---|---:|---:|---:|---|---|",
    ]
    for name, one in imported.items():
        errors = ", ".join(f"{error:.0e}" for error in one["errors"])
        live = f"{one['latency']:.3f}" if "latency" in one else "no"
        lines.append(
            f"| {name} | {one['seconds']:.0f} | {one['layers']} | {one['weights'] / 1e6:.1f} | {errors} | {live} |"
        )
    lines += ["", "| file | recipe | dB | MB | operators outside XNNPACK | partitions | ms a second of audio |",
              "|---|---|---:|---:|---:|---:|---:|"]  # fmt: skip
    for name, one in imported.items():
        lines += [_file(name, recipe, one["files"][recipe], one["audio_seconds"]) for recipe in RECIPES]
    reasons = {name: one["refused"] for name, one in decoders.items() if "refused" in one}
    lines += ["", "Not imported:", "", *(f"- {name}: {reason}" for name, reason in reasons.items())] if reasons else []
    still = {name: one["not_live"] for name, one in imported.items() if "not_live" in one}
    lines += ["", "Not live:", "", *(f"- {name}: {reason}" for name, reason in still.items())] if still else []
    return lines


def _file(name, recipe, file, seconds):
    if "refused" in file:
        return f"| {name} | `{recipe}` | {file['refused']} | | | | |"
    outside, milliseconds = f"{file['outside']} of {file['total']}", file["milliseconds"] / seconds
    cells = (
        f"{file['snr_db']:.1f}",
        f"{file['bytes'] / 1e6:.1f}",
        outside,
        str(file["partitions"]),
        f"{milliseconds:.0f}",
    )
    return f"| {name} | `{recipe}` | {' | '.join(cells)} |"


def main():
    """Write the page's lines."""
    write(PAGE, COMMAND, page(json.loads(RESULTS.read_text())))


if __name__ == "__main__":
    main()
