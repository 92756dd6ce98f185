"""Live frames, out of `live_frames.json`, as a table on the page on live decoding."""

import json
import pathlib

from benchmarks.apart import on_processors
from benchmarks.live_frames import CHUNKS, DECODERS, RECIPES, RESULTS
from benchmarks.marked import write

PAGE = pathlib.Path(__file__).parents[2] / "docs/speed/streaming.md"
COMMAND = "python -m benchmarks.live_report"
ALLOWED = {"float32": 1.25, "dynamic_int8": 1.15, "int8": 1.15}  # times the share of the whole decode, plus
SLACK = 0.3  # ms


def tables(results):
    """Markdown: latencies and frames, frames against their share, and several frames in a step."""
    header = [
        *("decoder", "latency", "a frame is", "states", "live, float32: p50, p99", "dynamic_int8", "int8"),
        *("its context decoded again, float32", "that is"),
    ]
    lines = [
        f"{on_processors(results)}; one thread; random weights; every file proven by its export, and "
        "called as an app calls it: LiteRT's CompiledModel on buffers that stay. Where a frame is one position of wide "
        "layers, as Vocos's, it waits for their weights; several frames in a step wait once.",
        "",
        f"| {' | '.join(header)} |",
        "|---" + "|---:" * (len(header) - 1) + "|",
    ]
    for name, one in results["decoders"].items():
        decoder, times = DECODERS[name], one["times"]
        cells = [
            f"{one['latency']} samples, {1e3 * one['latency'] / decoder.rate:.0f} ms",
            f"{1e3 * decoder.hop / decoder.rate:.1f} ms",
            f"{one['states'] / 1e3:.0f} kB",
            *(f"{times[f'frame {recipe}'][0]:.2f}, {times[f'frame {recipe}'][1]:.2f}" for recipe in RECIPES),
        ]
        again = times.get("context float32")
        if again:
            longer = again[0] / times["frame float32"][0]
            cells += [f"{again[0]:.1f} ({one['context']} frames)", f"{longer:.1f} times as long"]
        else:
            cells += ["", ""]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", "| a frame against its share of a second decoded whole, ms | " + " | ".join(RECIPES) + " |"]
    lines += ["|---|" + "---|" * len(RECIPES)]
    for name, one in results["decoders"].items():
        lines.append(f"| {name} | {' | '.join(_share(one, recipe) for recipe in RECIPES)} |")
    lines += ["", "| frames in a step, float32, ms a frame | " + " | ".join(map(str, CHUNKS)) + " |"]
    lines += ["|---|" + "---:|" * len(CHUNKS)]
    for name, one in results["decoders"].items():
        steps = [one["times"]["frame float32"][0], *(one["times"][f"chunk {chunk}"][0] / chunk for chunk in CHUNKS[1:])]
        lines.append(f"| {name} | {' | '.join(f'{step:.2f}' for step in steps)} |")
    return lines


def _share(one, recipe):
    share = one["times"][f"second {recipe}"][0] / one["frames_a_second"]
    took, allowed = one["times"][f"frame {recipe}"][0], ALLOWED[recipe] * share + SLACK
    verdict = "met" if took <= allowed else f"missed by {took - allowed:.2f}"
    return f"{took:.2f} / {share:.2f}; at most {allowed:.2f}: {verdict}"


def main():
    """Write the page's tables."""
    write(PAGE, COMMAND, tables(json.loads(RESULTS.read_text())))


if __name__ == "__main__":
    main()
