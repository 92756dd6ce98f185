"""What the recipes do to trained voices, out of `voice.json`, as the lines of its page and as spectra."""

import json
import statistics

import numpy as np
import soundfile

from benchmarks.marked import write
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
SIZE, FLOOR = 512, -90  # of a window in samples; dB below the loudest, where the picture is black


def table(files, window_seconds):
    """Markdown: a row a file, and a line for each that was refused."""
    lines = [
        "| file | dB | STFT distance | log-mel distance | PESQ | MB | ms a second of audio | outside the delegate |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, row in files.items():
        if "refused" in row:
            continue
        cells = [
            f"{row['snr_db']:.1f}",
            f"{row['stft']:.3f}",
            f"{row['log_mel']:.3f}",
            "" if row["pesq"] is None else f"{row['pesq']:.2f}",
            f"{row['bytes'] / 1e6:.1f}",
            f"{statistics.median(row['milliseconds']) / window_seconds:.0f}",
            f"{row['outside']} of {row['operators']}" if "operators" in row else "",
        ]
        runs_in = f" ({row['runtime']})" if name == OWN else ""
        lines.append(f"| {name}{runs_in} | {' | '.join(cells)} |")
    refused = [f"- {name}: {row['refused']}" for name, row in files.items() if "refused" in row]
    return lines + (["", "Not written:", "", *refused] if refused else [])


def page(results):
    """Markdown: a table for each voice."""
    machine = results["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items() if number)
    lines = [
        f"{machine['processor']}, {machine['cores']} cores, {machine['threads']} threads; {versions}; medians of "
        f"{results['rounds']} rounds, each file in a process of its own."
    ]
    for name, voice in results["voices"].items():
        lines += ["", f"## {TITLES[name]}", "", *table(voice["files"], voice["window_seconds"])]
        if voice["check"]:
            said = "; ".join(f"{one['snr_db']:.1f} dB, {one['stft']:.3f}" for one in voice["check"])
            lines += [
                "",
                "The Keras model against what the ONNX file said of the same inputs, whole utterances, dB and STFT "
                f"distance: {said}.",
            ]
    return lines


def draw(folder, path):
    """A picture of the spectrum of each WAV in a folder, the reference first."""
    from matplotlib.figure import Figure

    names = sorted((file.stem for file in folder.glob("*.wav")), key=lambda name: (name != REFERENCE, name))
    columns = 3
    figure = Figure(figsize=(9, 1.5 * -(-len(names) // columns)), layout="constrained")
    axes = figure.subplots(-(-len(names) // columns), columns, sharex=True, sharey=True, squeeze=False).ravel()
    for axis, name in zip(axes, names, strict=False):
        samples, rate = soundfile.read(folder / f"{name}.wav")
        power = 20 * np.log10(magnitudes(samples, SIZE).T + 1e-9)
        extent = (0, len(samples) / rate, 0, rate / 2000)
        top = power.max()
        axis.imshow(power, origin="lower", aspect="auto", vmin=top + FLOOR, vmax=top, extent=extent, cmap="magma")
        axis.set_title(name, fontsize=9)
    for axis in axes[len(names) :]:
        axis.set_visible(False)
    figure.supxlabel("seconds", fontsize=9)
    figure.supylabel("kHz", fontsize=9)
    figure.savefig(path, dpi=72)


def main():
    """Write the page's lines, and the pictures of the voices that lie there."""
    results = json.loads(RESULTS.read_text())
    write(PAGE, COMMAND, page(results))
    for name in results["voices"]:
        if (SAID / name).is_dir():
            draw(SAID / name, SAID / name / "spectra.png")
    if (SAID / DRAWN).is_dir():
        draw(SAID / DRAWN, PICTURE)


if __name__ == "__main__":
    main()
