"""What integers do to other people's decoders, out of `ports.json`, as the lines of its page."""

import json

from benchmarks.marked import write
from benchmarks.model_cases import ROOT
from benchmarks.voice import PORT_FILES, PORT_RESULTS, title
from benchmarks.voice_report import conditions, curves, rated, table

PAGE = ROOT / "docs/speed/ports.md"
COMMAND = "python -m benchmarks.ports_report"
TITLES = ("dB", "STFT distance", "MB", "ms a second of audio", "times as fast as float32", "outside the delegate")
FLOAT, DYNAMIC, INT8, AUTO = map(title, PORT_FILES)
FLOOR, FAST = 25, 1.7  # dB, and times as fast as float32


def page(results):
    """Markdown: a row for each decoder, who reaches the floor fast, and each one's table and curve."""
    decoders = {name: one for name, one in results["voices"].items() if one["files"]}
    lines = [conditions(results), "", *summary(decoders), "", *verdict(decoders)]
    for name, one in decoders.items():
        lines += ["", f"## {name}", "", *table(one["files"], one["window_seconds"], TITLES), *curves(one["files"])]
        if kept := one["files"].get(AUTO, {}).get("float_layers"):
            lines += ["", f"Kept in float32: {', '.join(f'`{layer}`' for layer in kept)}."]
    return lines


def summary(decoders):
    """Markdown: of each decoder the recipes' decibels and speed, and what the floor took."""
    lines = [
        f"| decoder | dynamic_int8, dB | times as fast as float32 | int8, dB | times | layers kept for {FLOOR} dB | dB "
        "then | times then |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, one in decoders.items():
        rows = rated(one["files"], one["window_seconds"])
        cells = [_decibels_and_times(rows.get(file)) for file in (DYNAMIC, INT8)]
        kept = str(len(rows[AUTO]["float_layers"])) if AUTO in rows else "none suffices"
        cells += [kept, _decibels_and_times(rows.get(AUTO))]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _decibels_and_times(row):
    return f"{row['snr_db']:.1f} | {row['times']:.2f}" if row else " | "


def verdict(decoders):
    """Markdown: for each decoder the fastest file of integers that reaches the floor, or the one that comes nearest."""
    lines = [f"{FLOOR} dB in integers at {FAST} times the speed of float32 and more:", ""]
    for name, one in decoders.items():
        rows = rated(one["files"], one["window_seconds"])
        del rows[FLOAT]
        right = {file: row for file, row in rows.items() if file == AUTO or row["snr_db"] >= FLOOR} or rows
        best = max(right, key=lambda file: right[file]["times" if right is not rows else "snr_db"])
        holds = right is not rows and right[best]["times"] >= FAST
        lines.append(
            f"- {name}: {'yes' if holds else 'no'}; `{best}`, {right[best]['snr_db']:.1f} dB, "
            f"{right[best]['times']:.2f} times."
        )
    return lines


def main():
    """Write the page's lines."""
    write(PAGE, COMMAND, page(json.loads(PORT_RESULTS.read_text())))


if __name__ == "__main__":
    main()
