"""What files take of a phone's memory and how long to begin, out of `memory.json` and `models.json`, on their page."""

import json

from benchmarks.marked import write
from benchmarks.memory import RESULTS
from benchmarks.model_cases import ROOT
from benchmarks.model_subjects import CACHED
from benchmarks.models import SPEED

OURS = "ours LiteRT float32"
PAGE = ROOT / "docs/speed/memory.md"
COMMAND = "python -m benchmarks.memory_report"


def page(results, models):
    """Markdown: a row a file, of whole decoders, of the live decoder and of layers."""
    machine = results["machine"]
    whole = {name: _footprints(subjects) for name, subjects in models["models"].items()}
    groups = {**whole, "EnCodec 24 kHz, live, a frame a step": results["live"], **results["layers"]}
    lines = [
        f"{machine['processor']}, {machine['threads']} threads, LiteRT {machine['versions']['ai-edge-litert']}.",
        "",
        "| | file | MB | own memory, MiB | with a weight cache | ms to begin | with a weight cache |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for name, files in groups.items():
        for index, (file, one) in enumerate(files.items()):
            cells = [f"{one['bytes'] / 1e6:.1f}"]
            cells += [f"{one[how]['own']:.0f}" for how in ("plain", "cached")]
            cells += [f"{one[how]['milliseconds']:.0f}" for how in ("plain", "cached")]
            lines.append(f"| {'' if index else name} | {file} | {' | '.join(cells)} |")
    return lines


def _footprints(subjects):
    """What LiteRT keeps of a decoder's files; of the one written out for its length where something recurs in it."""
    found = {}
    for subject, one in subjects.items():
        if "footprint" in one and not (subject == CACHED and one["bytes"] == subjects[OURS]["bytes"]):
            name = "float32, recurrence written out" if subject == CACHED else subject.removeprefix("ours LiteRT ")
            found[name] = {"bytes": one["bytes"], **one["footprint"]}
    return found


def main():
    """Write the page's lines."""
    write(PAGE, COMMAND, page(json.loads(RESULTS.read_text()), json.loads(SPEED.read_text())))


if __name__ == "__main__":
    main()
