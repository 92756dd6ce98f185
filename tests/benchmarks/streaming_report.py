"""Streaming, out of `streaming.json`: each time and a verdict for each target on its page, a line in the README."""

import json
import pathlib

from benchmarks.marked import write

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[1]
COMMAND = "python -m benchmarks.streaming_report"
FRAMES = 75  # a second
FRAME_MS = 1000 / FRAMES

SHOWN = {
    "frame": "live, float32",
    "frame_states_kept": 'live, float32, `states="variables"`',
    "frame_dynamic_int8": "live, dynamic_int8",
    "recomputed_context": "25 frames of context decoded again",
    "frame_torch": "torch, states and overlap-add by hand",
}


def targets(times):
    """What was aimed at, the milliseconds allowed and measured."""
    p50 = {name: time["p50_ms"] for name, time in times.items()}

    def share(suffix=""):
        return 1.15 * p50[f"second{suffix}"] / FRAMES + 0.3

    return [
        ("float32: a whole second's time / 75, plus 15 % and 0.3 ms", share(), p50["frame"]),
        ("dynamic_int8: the same", share("_dynamic_int8"), p50["frame_dynamic_int8"]),
        ("sooner than with recomputed context", p50["recomputed_context"], p50["frame"]),
        ("sooner than torch by hand", p50["frame_torch"], p50["frame"]),
    ]


def tables(results):
    """Markdown: the times of a frame, and the targets."""
    times, machine = results["times"], results["machine"]
    lines = [
        f"{machine['processor']}, {machine['threads']} thread; one frame (320 samples, {FRAME_MS:.1f} ms of audio) of "
        f"a decoder of EnCodec's size; a whole second in one call takes {times['second']['p50_ms']:.1f} ms.",
        "",
        "| one frame | p50 in ms | p99 in ms |",
        "|---|---:|---:|",
    ]
    lines += [f"| {text} | {times[name]['p50_ms']:.2f} | {times[name]['p99_ms']:.2f} |" for name, text in SHOWN.items()]
    lines += ["", "| target | allowed in ms | p50 in ms | |", "|---|---:|---:|---|"]
    for text, allowed, measured in targets(times):
        verdict = "met" if measured <= allowed else f"missed by {measured - allowed:.2f} ms"
        lines.append(f"| {text} | {allowed:.2f} | {measured:.2f} | {verdict} |")
    return lines


def digest(results):
    """Markdown: the README's line."""
    p50 = {name: f"{time['p50_ms']:.1f}" for name, time in results["times"].items()}
    return [
        f"- Live, a frame of {FRAME_MS:.1f} ms of audio on one thread: {p50['frame']} ms, in dynamic_int8 "
        f"{p50['frame_dynamic_int8']}; torch by hand {p50['frame_torch']}, with the context decoded again "
        f"{p50['recomputed_context']}."
    ]


def main():
    """Write the page's tables and the README's line."""
    results = json.loads((HERE / "streaming.json").read_text())
    write(ROOT / "docs/speed/streaming.md", COMMAND, tables(results))
    write(ROOT / "README.md", COMMAND, digest(results))


if __name__ == "__main__":
    main()
