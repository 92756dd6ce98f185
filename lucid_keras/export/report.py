"""`ExportReport`: what an export wrote and how exact it is; prints as a table, saves as JSON and as one HTML page."""

import collections
import dataclasses
import io
import json
import math
import os
import pathlib
from typing import Any

import numpy as np

from lucid_keras.export.accuracy import LayerAccuracy, OutputAccuracy, heard
from lucid_keras.export.fewer_products import FewerProducts, saved_products
from lucid_keras.export.files import checked_destination, write_atomically
from lucid_keras.export.tables import curve_table, output_table, rich_table, runtime_table


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
class RuntimeProof:
    """What a further runtime showed of an artefact: its name here, its own with the version, and the least ratio in dB.

    `coverage` says what its accelerator took, as text; `milliseconds` is NaN where a call's time on this machine says
    nothing of the real device. Where it refused the artefact, `refusal` is its sentence, and the rest says nothing.
    """

    name: str
    runtime: str
    snr_db: float = -math.inf
    coverage: str = ""
    milliseconds: float = math.nan
    conditions: Conditions | None = None
    refusal: str = ""


@dataclasses.dataclass(frozen=True)
class CurvePoint:
    """A file that was tried: its recipe, the layers kept in float32, its least ratio in dB, its size, and what it takes
    here: the milliseconds of a call, the partitions of the delegate, and the operators outside it."""

    recipe: str
    kept: tuple[str, ...]
    snr_db: float
    bytes: int
    milliseconds: float
    partitions: int
    outside: int


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
        elsewhere: tuple of `RuntimeProof`, one for each further runtime that it was proven on.
        float_layers: the layers that stayed in float32 beside those that the recipe always leaves so.
        curve: tuple of `CurvePoint`, what was tried to find them; empty where they were given.
        fewer_products: tuple of `FewerProducts`, the convolutions with fewer multiplications than define them.
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
    elsewhere: tuple[RuntimeProof, ...] = ()
    float_layers: tuple[str, ...] = ()
    curve: tuple[CurvePoint, ...] = ()
    fewer_products: tuple[FewerProducts, ...] = ()

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
        in_float = [("in float32", ", ".join(self.float_layers))] if self.float_layers else []
        saved = [("fewer products", saved_products(self.fewer_products))] if self.fewer_products else []
        return [
            ("file", str(self.path)),
            ("kind", f"{self.kind}, {self.quantization}"),
            *stream,
            *in_float,
            *saved,
            ("size", f"{self.bytes:,} bytes"),
            ("operators", self.coverage()),
            ("latency", f"{self.milliseconds:.3g} ms, {self.runtime}, {self.conditions}"),
            ("floor", f"{self.floor_db:g} dB"),
            ("of a voice", heard(self.snr_db)),
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
        return finite(fields | {"total": self.total, "snr_db": self.snr_db, "max_error": self.max_error})

    def save_json(self, path: str | os.PathLike[str]) -> pathlib.Path:
        """Write the report as JSON to `path`, whole or not at all."""
        return write_atomically(checked_destination(path), (json.dumps(self.as_dict(), indent=2) + "\n").encode())

    def save_html(self, path: str | os.PathLike[str]) -> pathlib.Path:
        """Write the report as one self-contained HTML page to `path`; pictures need matplotlib."""
        return write_atomically(checked_destination(path), self.as_html().encode())

    def as_html(self) -> str:
        """The report as one self-contained HTML page."""
        from lucid_keras.export.page import page

        return page(self)

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


def finite(value):
    """What JSON can say of a value: of what is infinite, null."""
    if isinstance(value, dict):
        return {name: finite(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _rich_tables(report):
    yield rich_table((), report.facts(), show_header=False, box=None)
    yield output_table(report.outputs)
    if report.curve:
        yield curve_table(report.curve)
    if report.elsewhere:
        yield runtime_table(report.elsewhere)
    yield "  ".join(f"{name} x{count}" for name, count in report.counts().items())
    for warning in report.warnings:
        yield f"warning: {warning}"
