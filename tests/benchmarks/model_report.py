"""Whole decoders: the examples' parity, the models' speed and the targets on their page, a line in the README."""

import statistics

from benchmarks.marked import in_a_row, write
from benchmarks.model_cases import ROOT
from benchmarks.model_subjects import EXACT
from lucid_keras.bench.measured import quartiles, ratio, times

README, PAGE = ROOT / "README.md", ROOT / "docs/speed/decoders.md"
COMMAND = "python -m benchmarks.models report"

VOCODERS = ("HiFi-GAN, SpeechT5's", "HiFi-GAN V1", "BigVGAN, 512 channels")
FASTER = "{faster} at least {factor:g} times as fast as {slower}"

# The models, our subject, whom it is to outrun, how many times, and the least SNR in dB if that is asked for.
TARGETS = [
    (("EnCodec 24 kHz",), "ours LiteRT float32", "torch eager", 2.5, None),
    (VOCODERS, "ours LiteRT float32", "litert-torch", 1.25, None),
    (VOCODERS, "ours LiteRT float32", "ONNX Runtime", 1.25, None),
    (VOCODERS, "ours LiteRT float32", EXACT, 1.15, None),
    (("EnCodec 24 kHz", *VOCODERS), "ours LiteRT int8", "ours LiteRT float32", 2.0, 20),
    (("EnCodec 24 kHz", *VOCODERS), "ours LiteRT dynamic int8", "ours LiteRT float32", 2.0, 20),
]


def parity_table(rows):
    """Markdown: a row an example."""
    lines = [
        "| example | compared with | Keras, relative error | file, relative error | file, dB | file, MB "
        "| times real time |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        speed = 1e3 * row["audio_seconds"] / row["milliseconds"]
        lines.append(
            f"| {row['example']} (`{row['script']}.py`) | {row['reference']} | {row['keras_error']:.1e} | "
            f"{row['file_error']:.1e} | {row['file_snr_db']:.0f} | {row['bytes'] / 1e6:.1f} | {speed:.1f} |"
        )
    return lines


def speed_table(subjects):
    """Markdown: a row a subject of one model, fastest first; and a line for each that could not run."""
    medians = {name: statistics.median(times(subjects, name)) for name in subjects if times(subjects, name)}
    lines = ["| | ms (quartiles) | torch's time over it | dB | file, MB | peak MiB |", "|---|---:|---:|---:|---:|---:|"]
    for name in sorted(medians, key=medians.get):
        one = subjects[name]
        low, middle, high = quartiles(one["milliseconds"])
        cells = [
            f"{middle:.1f} ({low:.1f}-{high:.1f})",
            _number(ratio(subjects, "torch eager", name), ".2f"),
            _number(one["snr_db"], ".0f"),
            _number(one["bytes"] / 1e6 if "bytes" in one else None, ".1f"),
            _number(one["peak_mib"], ".0f"),
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    skipped = [f"- {name}: {one['skipped']}" for name, one in subjects.items() if "skipped" in one]
    return lines + (["", "Not timed:", *skipped] if skipped else [])


def _number(value, form):
    return "" if value is None else format(value, form)


def verdicts(models):
    """Markdown: a row for each target and model, with what was measured."""
    lines = ["| target | decoder | measured | |", "|---|---|---|---|"]
    for names, faster, slower, factor, least in TARGETS:
        target = FASTER.format(faster=faster, factor=factor, slower=slower) + (f", {least} dB" if least else "")
        for name in [name for name in names if name in models]:
            subjects = models[name]
            found = ratio(subjects, slower, faster)
            if found is None:
                missing = next(one for one in (slower, faster) if not times(subjects, one))
                lines.append(f"| {target} | {name} | {missing} was not timed | not measured |")
                continue
            snr_db = subjects[faster]["snr_db"]
            measured = f"{found:.2f}" + (f", {snr_db:.0f} dB" if least else "")
            met = found >= factor and (least is None or snr_db >= least)
            lines.append(f"| {target} | {name} | {measured} | {'met' if met else '**missed**'} |")
    return lines


def tables(speed, parity):
    """Markdown: all of it."""
    machine = speed["machine"]
    versions = in_a_row(machine["versions"])
    lines = ["What each example prints of itself, random weights of the official configuration:", ""]
    lines += [*parity_table(parity), ""]
    lines += [
        "One second of audio, batch 1, 2 threads; features of a recording, of which the seconds that dB are measured",
        f"on did not calibrate; dB are {speed['decibels']}. "
        f"{machine['processor']}, {machine['cores']} cores; {versions}; {speed['rounds']} interleaved rounds.",
    ]
    for name, subjects in speed["models"].items():
        lines += ["", f"**{name}**", "", *speed_table(subjects)]
    return [*lines, "", *verdicts(speed["models"])]


def digest(models):
    """Markdown: the README's line, our file against torch."""
    ours, torch = "ours LiteRT float32", "torch eager"
    said = [
        f"{name} {statistics.median(times(subjects, ours)):.0f} ms, torch's time over it "
        f"{_number(ratio(subjects, torch, ours), '.1f')}"
        for name, subjects in models.items()
        if times(subjects, ours) and times(subjects, torch)
    ]
    return [f"- Whole decoders as float32 files, one second of audio: {'; '.join(said)}."]


def write_report(speed, parity):
    """Write the page's tables and the README's line."""
    write(PAGE, COMMAND, tables(speed, parity))
    write(README, COMMAND, digest(speed["models"]))
