"""What a server bears and a million seconds cost, out of `serving.json`; and what to serve, out of `models.json`."""

import json
import pathlib
import statistics

from benchmarks.marked import write

HERE = pathlib.Path(__file__)
RESULTS, MODELS = HERE.with_name("serving.json"), HERE.with_name("models.json")
DOCS = HERE.resolve().parents[2] / "docs"
PAGE, GUIDE = DOCS / "speed/serving.md", DOCS / "howto/serve_on_a_cpu.md"
COMMAND = "python -m benchmarks.serving_report"
PRICE = 0.04  # dollars for a core and hour, a round number of the large clouds' lists
ARTEFACTS = {
    "LiteRT, int8": "ours LiteRT int8",
    "LiteRT, dynamic_int8": "ours LiteRT dynamic int8",
    "LiteRT, float32": "ours LiteRT float32",
    "SavedModel": "ours tf.function",
    "SavedModel compiled by XLA": "ours XLA",
    "ONNX Runtime": "ONNX Runtime",
    "torch": "torch eager",
}


def page(results):
    """Markdown: the load table, the streams, and the batches."""
    machine = results["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items() if number)
    lines = [f"{machine['processor']}, {machine['cores']} cores, which server and clients share; {versions}.", ""]
    return [*lines, *decoding(results["decode"]), "", *streaming(results["live"]), "", *batches(results["batch"])]


def decoding(served):
    """A row for each artefact and number of clients."""
    lines = [
        "| behind Ray Serve | clients | requests a second | seconds of audio a second | p50, s | p99, s | refused |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, loads in served.items():
        for clients, one in loads.items():
            cells = f"{one['requests']:.1f} | {one['audio_seconds']:.1f} | {one['p50']:.2f} | {one['p99']:.2f}"
            lines.append(f"| {name} | {clients} | {cells} | {one['refused']} |")
    return lines


def streaming(streams):
    """A row for each length of a message and number of streams."""
    lines = ["| a message | live streams | in time | p50, ms | p99, ms |", "|---|---:|---:|---:|---:|"]
    for length, counts in streams.items():
        for count, one in counts.items():
            cells = f"{one['on_time']:.1%} | {1e3 * one['p50']:.0f} | {1e3 * one['p99']:.0f}"
            lines.append(f"| {length} | {count} | {cells} |")
    return lines


def batches(found):
    """A row for each way to decode a folder, and what a million seconds of audio would take by it."""
    lines = [
        "| a folder of utterances | seconds of audio a second | core-hours for a million | dollars |",
        "|---|---:|---:|---:|",
    ]
    for artefact, one in found.items():
        for name, seconds in one["seconds"].items():
            speed = one["audio_seconds"] / seconds
            hours = 2 * 1e6 / speed / 3600
            lines.append(f"| {artefact}, {name} | {speed:.1f} | {hours:.0f} | {PRICE * hours:.2f} |")
    return lines


def guide(models):
    """Markdown: for each artefact how many seconds of audio it decodes in a second, and its dB, a column a model."""
    lines = [f"| times real time (dB) | {' | '.join(models)} |", f"|---|{'---:|' * len(models)}"]
    for name, subject in ARTEFACTS.items():
        cells = [_cell(subjects.get(subject, {})) for subjects in models.values()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _cell(one):
    if not one.get("milliseconds"):
        return ""
    decibels = one.get("snr_db")
    return f"{1e3 / statistics.median(one['milliseconds']):.1f}" + (f" ({decibels:.0f})" if decibels else "")


if __name__ == "__main__":
    write(PAGE, COMMAND, page(json.loads(RESULTS.read_text())))
    write(GUIDE, COMMAND, guide(json.loads(MODELS.read_text())["models"]))
