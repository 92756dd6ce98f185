"""What `smallest_tflite` chooses for the examples, out of `auto.json`, as lines of the page on quantization."""

import json

from benchmarks.auto import RESULTS, devices
from benchmarks.marked import write
from benchmarks.model_cases import ROOT

PAGE = ROOT / "docs/howto/quantize.md"
COMMAND = "python -m benchmarks.auto_report"


def table(results):
    """Markdown: a row for each example, a column for each device, and the reasons where nothing holds."""
    groups, examples = devices(), {name: cells for name, cells in results["examples"].items() if cells}
    lines = [
        f"| example | {' | '.join(', '.join(f'`{one}`' for one in names) for names in groups.values())} |",
        f"|---{'|---' * len(groups)}|",
    ]
    for name, cells in examples.items():
        lines.append(f"| {name} | {' | '.join(cell(cells.get(device)) for device in groups)} |")
    for title, found in (("Nothing holds", _refused(examples)), ("Left to the processor", _left(examples))):
        lines += ["", f"{title}:", "", *found] if found else []
    return lines


def cell(found):
    """The recipe with what stays in float32, decibels and size."""
    if found is None or "refused" in found:
        return "" if found is None else "none"
    kept = f", {found['kept']} layer{'s' * (found['kept'] > 1)} in float32" if found["kept"] else ""
    return f"`{found['recipe']}`{kept}: {found['snr_db']:.1f} dB, {found['bytes'] / 1e6:.3g} MB"


def _refused(examples):
    return [
        f"- {name} for `{device}`: {found['refused'].partition('Received: ')[2]}"
        for name, cells in examples.items()
        for device, found in cells.items()
        if "refused" in found
    ]


def _left(examples):
    return [
        f"- {name} for `{device}`: {'; '.join(found['left'])}"
        for name, cells in examples.items()
        for device, found in cells.items()
        if found.get("left")
    ]


def main():
    """Write the page's lines."""
    write(PAGE, COMMAND, table(json.loads(RESULTS.read_text())))


if __name__ == "__main__":
    main()
