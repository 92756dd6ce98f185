"""What a training step of whole models takes, out of `training.json`, on its page."""

import json
import statistics

from benchmarks.marked import write
from benchmarks.model_cases import ROOT
from benchmarks.training import RESULTS
from lucid_keras.bench.measured import quartiles, ratio, times

PAGE = ROOT / "docs/speed/training.md"
COMMAND = "python -m benchmarks.training_report"
OURS = "ours"


def page(results):
    """Markdown: a table a model, fastest first, and who is ahead."""
    machine = results["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items() if number)
    lines = [f"{machine['processor']}, {machine['cores']} cores, {machine['threads']} threads; {versions}; "]
    lines[0] += f"{results['rounds']} interleaved rounds."
    for name, subjects in results["models"].items():
        lines += ["", f"**{name}**", "", *table(subjects)]
    return lines


def table(subjects):
    """Markdown: a row a subject, its time and that over ours."""
    medians = {name: statistics.median(times(subjects, name)) for name in subjects if times(subjects, name)}
    lines = ["| | ms a step (quartiles) | its time over ours | loss of the third step |", "|---|---:|---:|---:|"]
    for name in sorted(medians, key=medians.get):
        low, middle, high = quartiles(subjects[name]["milliseconds"])
        over = f"{ratio(subjects, name, OURS):.2f}"
        loss = f"{subjects[name]['losses'][-1]:.5f}"
        lines.append(f"| {name} | {middle:.0f} ({low:.0f}-{high:.0f}) | {over} | {loss} |")
    return lines + [f"- not timed, {name}: {one['skipped']}" for name, one in subjects.items() if "skipped" in one]


if __name__ == "__main__":
    write(PAGE, COMMAND, page(json.loads(RESULTS.read_text())))
