"""The commands `lucid-keras export | inspect | verify`: arguments in, tables out, one clear line for an error."""

import argparse
import json
import pathlib

from lucid_keras.export.recipes import RECIPES


def add_commands(subparsers):
    """Add the commands to argparse's sub-parsers; each sets `handler`, which takes the parsed arguments.

    A handler raises `ValueError`, `ImportError` or `OSError` with one clear message.
    """
    _add_export(subparsers)
    _add_inspect(subparsers)
    _add_verify(subparsers)


def _add_export(subparsers):
    parser = subparsers.add_parser("export", help="a .keras file to a verified .tflite file, SavedModel or StableHLO")
    parser.add_argument("model", type=pathlib.Path, help="the .keras file")
    parser.add_argument("path", type=pathlib.Path, help="NAME.tflite, NAME.stablehlo, or a new folder: a SavedModel")
    parser.add_argument("--quantization", choices=tuple(RECIPES), default="float32", help="default: float32")
    parser.add_argument(
        "--length", type=_lengths, help='where the model leaves it open: 100, 100,200 (a signature each) or "dynamic"'
    )
    parser.add_argument("--calibration", type=pathlib.Path, help=".npz, .npy, or a folder of recordings and .npy files")
    parser.add_argument("--verification", type=pathlib.Path, help="what to compare on; as --calibration")
    parser.add_argument("--integer-io", action="store_true", help="integer inputs and outputs (int8, int16x8)")
    parser.add_argument("--floor", type=float, help="least signal-to-noise ratio in dB; default: the recipe's")
    parser.add_argument("--report", type=pathlib.Path, help="also save the report: NAME.html or NAME.json")
    parser.set_defaults(handler=_in_one_line(run_export))


def _add_inspect(subparsers):
    parser = subparsers.add_parser("inspect", help="what is in a .tflite file, and which targets would refuse it")
    parser.add_argument("file", type=pathlib.Path)
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument("--benchmark", action="store_true", help="also time a .tflite file with litert-benchmark")
    parser.set_defaults(handler=run_inspect)


def _add_verify(subparsers):
    parser = subparsers.add_parser("verify", help="compare an exported file or SavedModel with its .keras file")
    parser.add_argument("artefact", type=pathlib.Path, help="the .tflite file or the SavedModel's folder")
    parser.add_argument("model", type=pathlib.Path, help="the .keras file")
    parser.add_argument("--data", type=pathlib.Path, help=".npz, .npy, or a folder; default: standard normal samples")
    parser.add_argument("--floor", type=float, default=RECIPES["int8"].floor_db, help="in dB; default: %(default)s")
    parser.set_defaults(handler=_in_one_line(run_verify))


def _in_one_line(handler):
    """`handler`, for which data of a wrong dtype are a wrong value too: on the command line nothing is a type."""

    def handle(arguments):
        try:
            return handler(arguments)
        except TypeError as error:
            raise ValueError(str(error)) from error

    return handle


def _lengths(text):
    """`--length` as `to_tflite` takes it."""
    if text == "dynamic":
        return text
    try:
        lengths = [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f'must be numbers like 100 or 100,200, or "dynamic", not {text!r}') from None
    return lengths[0] if len(lengths) == 1 else lengths


def run_export(arguments):
    """Export, print the report, save it where asked."""
    if arguments.report is not None and arguments.report.suffix not in (".html", ".json"):
        raise ValueError(f"--report must end in .html or .json. Received: {arguments.report}")
    model = load_model(arguments.model)
    report = _exporter(arguments)(model)
    print(report)
    if arguments.report is not None:
        save = report.save_html if arguments.report.suffix == ".html" else report.save_json
        save(arguments.report)
        print(f"report: {arguments.report}")


def _exporter(arguments):
    """The export of a model that the path's ending asks for."""
    from lucid_keras.export import to_saved_model, to_stablehlo, to_tflite

    given = {
        "verification_data": _text(arguments.verification),
        "floor_db": arguments.floor,
        "length": arguments.length,
    }
    common = {name: value for name, value in given.items() if value is not None}  # the rest has defaults
    if arguments.path.suffix == ".tflite":
        options = {
            "quantization": arguments.quantization,
            "calibration_data": _text(arguments.calibration),
            "integer_io": arguments.integer_io,
            "compare_layers": arguments.report is not None,
        }
        return lambda model: to_tflite(model, arguments.path, **common, **options)
    if arguments.quantization != "float32" or arguments.calibration is not None or arguments.integer_io:
        raise ValueError(f"quantization is for .tflite files only. Received: path={arguments.path}")
    to = to_stablehlo if arguments.path.suffix == ".stablehlo" else to_saved_model
    return lambda model: to(model, arguments.path, **common)


def _text(path):
    return None if path is None else str(path)


def load_model(path):
    """The Keras model of a `.keras` file; raises for any other file."""
    import keras

    import lucid_keras  # noqa: F401  (registers the layers)

    if not path.exists():
        raise FileNotFoundError(f"The model's file must exist. Received: {path}")
    if path.suffix != ".keras":
        raise ValueError(f"The model must be a .keras file. Received: {path}")
    try:
        return keras.models.load_model(path, compile=False)
    except Exception as error:  # zip, JSON, HDF5 and Keras each have their own
        raise ValueError(f"The model must be a whole .keras file. Received: {path}: {_first_line(error)}") from None


def _first_line(error):
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)


def run_inspect(arguments):
    """Print signatures, operators, tensors, quantization, what targets refuse, and where asked how fast it is."""
    from lucid_keras.export import flatbuffer
    from lucid_keras.export.benchmark import benchmark
    from lucid_keras.export.targets import refusals

    contents = flatbuffer.read(arguments.file)
    found = {"refusals": refusals(contents, flatbuffer.read_content(arguments.file))}
    if arguments.benchmark:
        found["benchmark"] = benchmark(arguments.file)
    if arguments.json:
        print(json.dumps(contents.as_dict() | found, indent=2))
        return
    for table in _inspection(contents, found["refusals"]):
        _print(table)
    if arguments.benchmark:
        _print(_benchmark_table(found["benchmark"]))


def _benchmark_table(result):
    from rich.table import Table

    table = Table("litert-benchmark", "measured", title=f"CPU, {result['num_threads']} threads")
    table.add_row("fully accelerated", "yes" if result["fully_accelerated"] else "no")
    for label, key in (("median", "median_ms"), ("95th percentile", "p95_ms"), ("initialisation", "init_ms")):
        table.add_row(label, f"{result['latency'][key]:.2f} ms")
    return table


def _inspection(contents, refused):
    from rich.table import Column, Table

    signatures = Table("signature", "", "tensor", title=f"{contents.bytes:,} bytes")
    for name, both in contents.signatures.items():
        for kind, described in both.items():
            for text in described:
                signatures.add_row(name, kind, text)
    operators = Table("operator", "count")
    for name, count in contents.counts().items():
        operators.add_row(name, str(count))
    tensors = Table(Column("tensor", overflow="fold"), "dtype", "shape", "quantization")
    for one in contents.tensors:
        tensors.add_row(one.name, one.dtype, str(list(one.shape)), _quantization(one))
    targets = Table("target", "would refuse")
    for name, sentences in refused.items():
        targets.add_row(name, "; ".join(sentences) or "nothing")
    return signatures, operators, tensors, targets


def _quantization(tensor):
    if not tensor.scales:
        return ""
    if tensor.scales > 1:
        return f"{tensor.scales} scales"
    return f"scale {tensor.scale:.3g}, zero point {tensor.zero_point}"


def _print(table):
    from rich.console import Console

    Console().print(table)


def run_verify(arguments):
    """Compare an artefact with its model; raises below the floor."""
    from rich.table import Table

    from lucid_keras.export.artefact import verified
    from lucid_keras.export.report import decibels

    outputs = verified(arguments.artefact, load_model(arguments.model), _text(arguments.data))
    table = Table("signature", "output", "SNR", "max error", "peak", "samples")
    for one in outputs:
        row = (one.signature, one.name, decibels(one.snr_db), f"{one.max_error:.3g}", f"{one.peak:.3g}")
        table.add_row(*row, str(one.samples))
    _print(table)
    worst = min(outputs, key=lambda one: one.snr_db)
    if worst.snr_db < arguments.floor:
        raise ValueError(
            f"The artefact must reach {arguments.floor:g} dB against the model. Received: {decibels(worst.snr_db)} "
            f"at the output {worst.name!r} of {worst.signature!r}"
        )
