"""What a server bears and a million seconds cost, out of `serving.json`; and what to serve, out of `models.json`."""

import json
import pathlib
import statistics

from benchmarks.marked import in_a_row, write

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
    versions = in_a_row(machine["versions"])
    lines = [f"{machine['processor']}, {machine['cores']} cores, which server and clients share; {versions}.", ""]
    return [*lines, *decoding(results["decode"]), "", *streaming(results["live"]), "", *batches(results["batch"])]


def decoding(served):
    """A row for each artefact and number of clients."""
    cells = "requests a second", "seconds of audio a second", "p50, s", "p99, s", "refused"
    shown = "{requests:.1f} | {audio_seconds:.1f} | {p50:.2f} | {p99:.2f} | {refused}"
    return _loads(("behind Ray Serve", "clients", *cells), served, lambda one: shown.format(**one))


def streaming(streams):
    """A row for each length of a message and number of streams."""
    cells = "in time", "p50, ms", "p99, ms"
    shown = lambda one: f"{one['on_time']:.1%} | {1e3 * one['p50']:.0f} | {1e3 * one['p99']:.0f}"  # noqa: E731
    return _loads(("a message", "live streams", *cells), streams, shown)


def _loads(names, found, shown):
    """A table of what was loaded with how many."""
    rows = [f"| {name} | {count} | {shown(one)} |" for name, counts in found.items() for count, one in counts.items()]
    return [f"| {' | '.join(names)} |", f"|---|{'---:|' * (len(names) - 1)}", *rows]


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
