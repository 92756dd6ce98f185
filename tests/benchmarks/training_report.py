"""What a training step of whole models takes, out of `training.json`, on its page."""

import json
import statistics

from benchmarks.marked import in_a_row, write
from benchmarks.model_cases import ROOT
from benchmarks.training import RESULTS
from lucid_keras.bench.measured import quartiles, ratio, times

PROFILE = RESULTS.with_name("training_profile.json")
PAGE = ROOT / "docs/speed/training.md"
COMMAND = "python -m benchmarks.training_report"
OURS = "ours"


def page(results, profile):
    """Markdown: a table a model, fastest first, and what our steps are made of."""
    machine = results["machine"]
    versions = in_a_row(machine["versions"])
    lines = [f"{machine['processor']}, {machine['cores']} cores, {machine['threads']} threads; {versions}; "]
    lines[0] += f"{results['rounds']} interleaved rounds."
    for name, subjects in results["models"].items():
        lines += ["", f"**{name}**", "", *table(subjects)]
    return [*lines, "", *made_of(profile)]


def made_of(profile):
    """Markdown: of what the operations of our steps are, a row a model; and the time in which none runs."""
    kinds = list(next(iter(profile.values())))
    lines = [f"| ours, of what the operations take | {' | '.join(kinds)} of the time |"]
    lines.append(f"|---|{'---:|' * len(kinds)}")
    for name, shares in profile.items():
        lines.append(f"| {name} | {' | '.join(f'{share:.0%}' for share in shares.values())} |")
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
    write(PAGE, COMMAND, page(*(json.loads(path.read_text()) for path in (RESULTS, PROFILE))))
