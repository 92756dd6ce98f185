"""`ExportReport`: what an export wrote and how exact it is; prints as a table, saves as JSON and as one HTML page."""

import collections
import dataclasses
import html
import io
import json
import math
import os
import pathlib
import string
from typing import Any

import numpy as np

from lucid_keras.export.accuracy import LayerAccuracy, OutputAccuracy
from lucid_keras.export.files import checked_destination, write_atomically


@dataclasses.dataclass(frozen=True)
class Conditions:
    """Of a timed call: its signature, batch and lengths, the threads that it may take, and the device's name."""

    signature: str
    batch: int
    lengths: tuple[int, ...]
    threads: int
    device: str

    def __str__(self) -> str:
        lengths, many = " and ".join(map(str, self.lengths)), "s" if self.threads > 1 else ""
        shape = f"{self.signature} at batch {self.batch}, length {lengths}"
        return f"{shape}, on {self.threads} thread{many} of {self.device}"


@dataclasses.dataclass(frozen=True)
class ExportReport:
    """The proof of one export; also a path, where one is expected.

    Attributes:
        path: `pathlib.Path` of the artefact.
        kind: `"tflite"`, `"saved_model"` or `"stablehlo"`.
        quantization: name of the recipe.
        bytes: size of the artefact.
        signatures: the inputs and outputs of each signature, as text.
        ops: names of the operators of the first signature, in order.
        delegated: how many of them the XNNPACK delegate takes; None where there is no delegate.
        partitions: in how many pieces.
        milliseconds: median time of one call of the first signature on this machine.
        conditions: of that call: signature, batch, lengths, threads and device.
        runtime: name and version of what ran the artefact.
        outputs: tuple of `OutputAccuracy`, against the Keras model.
        floor_db: the least signal-to-noise ratio that was asked for.
        verified_on: where the verified samples came from.
        stream: of a live artefact, its chunks, latency and states, as text.
        layers: tuple of `LayerAccuracy`, empty unless they were compared.
        warnings: tuple of sentences.
        versions: versions of the packages that made the artefact.
        sha256: of the artefact's file; empty for a folder.
        example: (reference, result) arrays of the first output of one verified sample, for pictures.
        time_axis: the axis of both that is no channel; None where it is not known, and taken for the longest.

    Example:

    >>> import keras, lucid_keras as lk, tempfile
    >>> model = keras.Sequential([keras.Input((4, 32)), lk.ConvTranspose1d(4, 2, kernel_size=4, stride=2, padding=1)])
    >>> report = lk.export.to_tflite(model, tempfile.mkdtemp() + "/up.tflite")
    >>> report.kind, report.quantization, report.snr_db > report.floor_db
    ('tflite', 'float32', True)
    >>> json.loads(report.save_json(report.path.with_suffix(".json")).read_text())["total"] == len(report.ops)
    True
    """

    path: pathlib.Path
    kind: str
    quantization: str
    bytes: int
    signatures: dict[str, dict[str, tuple[str, ...]]]
    ops: tuple[str, ...]
    delegated: int | None
    partitions: int
    milliseconds: float
    conditions: Conditions
    runtime: str
    outputs: tuple[OutputAccuracy, ...]
    floor_db: float
    verified_on: str
    stream: str
    layers: tuple[LayerAccuracy, ...]
    warnings: tuple[str, ...]
    versions: dict[str, str]
    example: tuple[np.ndarray, np.ndarray] = dataclasses.field(repr=False, compare=False)
    time_axis: int | None = None
    sha256: str = ""

    @property
    def total(self) -> int:
        """The number of operators."""
        return len(self.ops)

    @property
    def snr_db(self) -> float:
        """The least signal-to-noise ratio of all outputs, in dB."""
        return min(one.snr_db for one in self.outputs)

    @property
    def max_error(self) -> float:
        """The largest absolute error of all outputs."""
        return max(one.max_error for one in self.outputs)

    def __fspath__(self) -> str:
        return str(self.path)

    def counts(self) -> dict[str, int]:
        """How often each operator occurs."""
        return dict(collections.Counter(self.ops))

    def facts(self) -> list[tuple[str, str]]:
        """The report's single values as pairs of a label and a text."""
        stream = [("stream", self.stream)] if self.stream else []
        return [
            ("file", str(self.path)),
            ("kind", f"{self.kind}, {self.quantization}"),
            *stream,
            ("size", f"{self.bytes:,} bytes"),
            ("operators", self.coverage()),
            ("latency", f"{self.milliseconds:.3g} ms, {self.runtime}, {self.conditions}"),
            ("floor", f"{self.floor_db:g} dB"),
            ("verified on", self.verified_on),
        ]

    def coverage(self) -> str:
        """How many operators there are, and how many the delegate takes."""
        if self.delegated is None:
            return str(self.total)
        pieces = f"{self.partitions} partition{'' if self.partitions == 1 else 's'}"
        return f"{self.total}, {self.delegated} delegated to XNNPACK in {pieces}"

    def as_dict(self) -> dict[str, Any]:
        """The report in JSON's types; infinite ratios, of outputs without error, are null."""
        fields = dataclasses.asdict(self) | {"path": str(self.path)}
        del fields["example"]
        return _finite(fields | {"total": self.total, "snr_db": self.snr_db, "max_error": self.max_error})

    def save_json(self, path: str | os.PathLike[str]) -> pathlib.Path:
        """Write the report as JSON to `path`, whole or not at all."""
        return write_atomically(checked_destination(path), (json.dumps(self.as_dict(), indent=2) + "\n").encode())

    def save_html(self, path: str | os.PathLike[str]) -> pathlib.Path:
        """Write the report as one self-contained HTML page to `path`; pictures need matplotlib."""
        return write_atomically(checked_destination(path), self.as_html().encode())

    def as_html(self) -> str:
        """The report as one self-contained HTML page."""
        from lucid_keras.export.pictures import error_per_layer, spectrograms, waveforms

        pictures = []
        if self.example[0].size:
            pictures += [drawn(*self.example, self.time_axis) for drawn in (waveforms, spectrograms)]
        if self.layers:
            pictures.append(error_per_layer(self.layers))
        return _page(self, [picture for picture in pictures if picture])

    def __rich_console__(self, console, options):
        yield from _rich_tables(self)

    def __str__(self) -> str:
        try:
            from rich.console import Console
        except ImportError:
            return "\n".join(f"{label}: {text}" for label, text in self.facts())
        target = io.StringIO()
        Console(file=target, width=100).print(self)
        return target.getvalue().rstrip()


def decibels(value):
    """A ratio as text; infinite where nothing differs."""
    return "exact" if value == math.inf else f"{value:.1f} dB"


def _finite(value):
    """What JSON can say of a value: of what is infinite, null."""
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


OUTPUT_HEADER = ("signature and output", "SNR", "worst channel", "max error", "peak", "lengths", "samples")


def output_rows(outputs):
    """The rows under `OUTPUT_HEADER`."""
    for one in outputs:
        worst = "" if one.channel is None else f"{decibels(one.channel_db)} ({one.channel})"
        lengths = ", ".join(map(str, one.lengths))
        numbers = (f"{one.max_error:.3g}", f"{one.peak:.3g}", lengths, one.samples)
        yield (f"{one.signature}: {one.name}", decibels(one.snr_db), worst, *numbers)


def signature_rows(described):
    """A row for each tensor of signatures that are described by name."""
    return [(name, kind, text) for name, both in described.items() for kind, texts in both.items() for text in texts]


def rich_table(header, rows, **options):
    """A table for the terminal; in a column whose heading is a `rich.table.Column`, as that says."""
    from rich.table import Table

    table = Table(*header, **options)
    for row in rows:
        table.add_row(*map(str, row))
    return table


def output_table(outputs):
    """The outputs as a table for the terminal, which has no room for the last column; names give way to numbers."""
    from rich.table import Column

    name, *numbers = OUTPUT_HEADER[:-1]
    header = [Column(name, overflow="fold"), *(Column(number, no_wrap=True) for number in numbers)]
    return rich_table(header, [row[:-1] for row in output_rows(outputs)])


def _rich_tables(report):
    yield rich_table((), report.facts(), show_header=False, box=None)
    yield output_table(report.outputs)
    yield "  ".join(f"{name} x{count}" for name, count in report.counts().items())
    for warning in report.warnings:
        yield f"warning: {warning}"


RUNTIME_HEADER = ("runtime", "SNR", "operators", "ms", "signature", "batch", "length", "threads", "device")


def _runtime_row(report):
    """The row under `RUNTIME_HEADER` of what proved the artefact."""
    under = report.conditions
    call = (under.signature, under.batch, ", ".join(map(str, under.lengths)), under.threads, under.device)
    return (report.runtime, decibels(report.snr_db), report.coverage(), f"{report.milliseconds:.3g}", *call)


PAGE = string.Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><style>
:root { color-scheme: light dark; --ink: #1b1f24; --faint: #8c959f; --good: #116329; --ground: #ffffff; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --faint: #6e7681; --good: #56d364; --ground: #0d1117; }
}
body { font: 16px/1.5 system-ui, sans-serif; max-width: 56rem; margin: 2rem auto; padding: 0 1rem; }
body { color: var(--ink); background: var(--ground); }
h1 { font-size: 1.6rem; overflow-wrap: anywhere; } h2, summary { font-size: 1.15rem; font-weight: 600; }
h2 { margin-top: 2rem; } details { margin-top: 1rem; } summary { cursor: pointer; }
table { border-collapse: collapse; } th, td { padding: .3rem .9rem .3rem 0; text-align: left; vertical-align: top; }
th { border-bottom: 1px solid var(--faint); font-weight: 600; } td { font-variant-numeric: tabular-nums; }
code { font-size: .9em; overflow-wrap: anywhere; }
.verdict { color: var(--good); font-weight: 600; } .wide { overflow-x: auto; }
@media (max-width: 40rem) { tr:first-child:has(th), tr:first-child:has(th) ~ tr { white-space: nowrap; } }
svg { display: block; width: 100%; min-width: 36rem; height: auto; }
</style><title>$name</title></head><body>
<h1>$name</h1>
$body
</body></html>
""")


def _page(report, pictures):
    escape = html.escape
    verdict = f"{decibels(report.snr_db)} against the Keras model; the floor is {report.floor_db:g} dB."
    about = [fact for fact in report.facts() if fact[0] not in ("operators", "latency")]
    layers = [(one.name, decibels(one.snr_db), decibels(one.own_snr_db)) for one in report.layers]
    folded = {
        "Layers": (("layer", "SNR of its output", "SNR given exact inputs"), layers),
        "Operators": (("operator", "count"), report.counts().items()),
        "Signatures": (("signature", "", "tensor"), signature_rows(report.signatures)),
        "Made with": ((), report.versions.items()),
    }
    parts = [
        f'<p class="verdict">{escape(verdict)}</p>',
        *(f"<p>Warning: {escape(warning)}</p>" for warning in report.warnings),
        _html_table((), about),
        "<h2>Runtimes</h2>",
        _html_table(RUNTIME_HEADER, [_runtime_row(report)]),
        "<h2>Outputs</h2>",
        _html_table(OUTPUT_HEADER, output_rows(report.outputs)),
        *(f'<h2>{escape(title)}</h2><div class="wide">{drawn}</div>' for title, drawn in pictures),
    ]
    for title, (header, rows) in folded.items():
        if rows:
            parts.append(f"<details><summary>{title}</summary>{_html_table(header, rows)}</details>")
    if report.kind == "tflite":
        drawn = f"model-explorer {report.path.name}"
        parts.append(f"<p>The graph: <code>{escape(drawn)}</code> of <code>ai-edge-model-explorer</code> draws it.</p>")
    if report.sha256:
        parts.append(f"<p>SHA-256 <code>{report.sha256}</code></p>")
    return PAGE.substitute(name=escape(report.path.name), body="\n".join(parts))


def _html_table(header, rows):
    cells = lambda tag, row: "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in row)  # noqa: E731
    head = f"<tr>{cells('th', header)}</tr>" if header else ""
    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f'<div class="wide"><table>{head}{body}</table></div>'
