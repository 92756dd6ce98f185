"""What the recipes do to trained voices, out of `voice.json`, as the lines of its page and as spectra."""

import io
import json
import shutil
import statistics

import numpy as np
import soundfile

from benchmarks.marked import in_a_row, write
from benchmarks.model_cases import ROOT
from benchmarks.voice import OWN, REFERENCE, RESULTS, SAID
from benchmarks.voice_distances import magnitudes

PAGE, PICTURE = ROOT / "docs/speed/voices.md", ROOT / "docs/speed/voices.png"
COMMAND = "python -m benchmarks.voice_report"
TITLES = {
    "kokoro": "Kokoro-82M's vocoder, calibrated on three voices and measured on a fourth",
    "codec": "A small codec, measured on seconds that it never heard",
}
DRAWN = "kokoro"
CURVE = "| layers in float32 | dB | MB | ms a window | partitions |"
SIZE, FLOOR = 512, -90  # of a window in samples; dB below the loudest, where the picture is black
ACROSS, COLOURS = 3, 32  # spectra in the picture, whose file few colours make small

# What the tables may show of a file: a column's title, and a row's cell.
COLUMNS = {
    "dB": lambda row: f"{row['snr_db']:.1f}",
    "STFT distance": lambda row: f"{row['stft']:.3f}",
    "log-mel distance": lambda row: f"{row['log_mel']:.3f}",
    "PESQ": lambda row: "" if row["pesq"] is None else f"{row['pesq']:.2f}",
    "MB": lambda row: f"{row['bytes'] / 1e6:.1f}",
    "ms a second of audio": lambda row: f"{row['ms']:.0f}",
    "times as fast as float32": lambda row: f"{row['times']:.2f}",
    "outside the delegate": lambda row: f"{row['outside']} of {row['operators']}" if "operators" in row else "",
}
TOLD = [one for one in COLUMNS if one != "times as fast as float32"]


def table(files, window_seconds, titles=TOLD):
    """Markdown: a row a file with the columns of these titles, and a line for each that was refused."""
    lines = [f"| file | {' | '.join(titles)} |", f"|---{'|---:' * len(titles)}|"]
    for name, row in rated(files, window_seconds).items():
        runs_in = f" ({row['runtime']})" if name == OWN else ""
        lines.append(f"| {name}{runs_in} | {' | '.join(COLUMNS[title](row) for title in titles)} |")
    refused = [f"- {name}: {row['refused']}" for name, row in files.items() if "refused" in row]
    return lines + (["", "Not written:", "", *refused] if refused else [])


def rated(files, window_seconds):
    """The rows of the files that were written, with the milliseconds of a second of audio, and how many times as fast
    as the first that is."""
    rows = {name: row for name, row in files.items() if "refused" not in row}
    times = {name: statistics.median(row["milliseconds"]) / window_seconds for name, row in rows.items()}
    first = next(iter(times.values()), None)
    return {name: row | {"ms": times[name], "times": first / times[name]} for name, row in rows.items()}


def curves(files):
    """Markdown: what was tried for each file whose layers in float32 were looked for."""
    lines = []
    for name, row in files.items():
        if row.get("curve"):
            lines += ["", f"{name}, what was tried on the way, each timed once, amid other work:"]
            lines += ["", CURVE, "|---:|---:|---:|---:|---:|"]
            lines += [
                f"| {one['kept']} | {one['snr_db']:.1f} | {one['bytes'] / 1e6:.1f} | {one['milliseconds']:.0f} | "
                f"{one['partitions']} |"
                for one in sorted(row["curve"], key=lambda one: one["kept"])
            ]
    return lines


def conditions(results):
    """A sentence on what was measured where."""
    machine = results["machine"]
    versions = in_a_row(machine["versions"])
    rounds = f"medians of {results['rounds']} rounds" if results["rounds"] > 1 else "one round"
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['threads']} threads; {versions}; {rounds}, "
        "each file in a process of its own."
    )


def page(results):
    """Markdown: a table for each voice."""
    lines = [conditions(results)]
    for name, voice in results["voices"].items():
        lines += ["", f"## {TITLES.get(name, name)}", "", *table(voice["files"], voice["window_seconds"])]
        lines += curves(voice["files"])
        if voice["check"]:
            said = "; ".join(f"{one['snr_db']:.1f} dB, {one['stft']:.3f}" for one in voice["check"])
            lines += [
                "",
                "The Keras model against what the ONNX file said of the same inputs, whole utterances, dB and STFT "
                f"distance: {said}.",
            ]
    return lines


def draw(folder, names, path):
    """A picture of the spectra of WAVs in a folder."""
    from matplotlib.figure import Figure
    from PIL import Image

    rows = -(-len(names) // ACROSS)
    figure = Figure(figsize=(9, 1.5 * rows), layout="constrained")
    axes = figure.subplots(rows, ACROSS, sharex=True, sharey=True, squeeze=False).ravel()
    for axis, name in zip(axes, names, strict=False):
        samples, rate = soundfile.read(folder / f"{name}.wav")
        power = 20 * np.log10(magnitudes(samples, SIZE).T + 1e-9)
        top, extent = power.max(), (0, len(samples) / rate, 0, rate / 2000)
        axis.imshow(power, cmap="magma", vmin=top + FLOOR, vmax=top, extent=extent, origin="lower", aspect="auto")
        axis.set_title(name, fontsize=9)
    for axis in axes[len(names) :]:
        axis.set_visible(False)
    figure.supxlabel("seconds", fontsize=9)
    figure.supylabel("kHz", fontsize=9)
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=96)
    Image.open(drawn).convert("RGB").quantize(COLOURS).save(path, optimize=True)


def main():
    """Write the page's lines, and a picture beside the WAVs of each voice."""
    results = json.loads(RESULTS.read_text())
    write(PAGE, COMMAND, page(results))
    for name, voice in results["voices"].items():
        said = [REFERENCE, *(file for file, row in voice["files"].items() if "refused" not in row)]
        draw(SAID / name, said, SAID / name / "spectra.png")
    shutil.copyfile(SAID / DRAWN / "spectra.png", PICTURE)


if __name__ == "__main__":
    main()
