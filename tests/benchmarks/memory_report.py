"""What files take of a phone's memory and how long to begin, out of `memory.json` and `models.json`, on their page."""

import json

from benchmarks.marked import write
from benchmarks.memory import RESULTS
from benchmarks.model_cases import ROOT
from benchmarks.models import SPEED

PAGE = ROOT / "docs/speed/memory.md"
COMMAND = "python -m benchmarks.memory_report"


def page(results, models):
    """Markdown: a table of whole decoders, one of the live decoder, one of layers."""
    machine = results["machine"]
    whole = {
        name: {
            one: {"bytes": found["bytes"], **found["footprint"]}
            for one, found in subjects.items()
            if "footprint" in found
        }
        for name, subjects in models["models"].items()
    }
    groups = {**whole, "EnCodec 24 kHz, live, a frame a step": results["live"], **results["layers"]}
    lines = [
        f"{machine['processor']}, {machine['threads']} threads, LiteRT {machine['versions']['ai-edge-litert']}.",
        "",
    ]
    lines += ["| | file | MB | own memory, MiB | with a weight cache | ms to begin | with a weight cache |",
              "|---|---|---:|---:|---:|---:|---:|"]  # fmt: skip
    for name, files in groups.items():
        for index, (file, one) in enumerate(files.items()):
            cells = [f"{one['bytes'] / 1e6:.1f}"]
            cells += [f"{one[how]['own']:.0f}" for how in ("plain", "cached")]
            cells += [f"{one[how]['milliseconds']:.0f}" for how in ("plain", "cached")]
            lines.append(f"| {'' if index else name} | {file.removeprefix('ours LiteRT ')} | {' | '.join(cells)} |")
    return lines


def main():
    """Write the page's lines."""
    write(PAGE, COMMAND, page(json.loads(RESULTS.read_text()), json.loads(SPEED.read_text())))


if __name__ == "__main__":
    main()
