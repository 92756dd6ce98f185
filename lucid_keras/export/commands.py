"""The commands `lucid-keras export | inspect | verify`: arguments in, tables out, one clear line for an error."""

import argparse
import dataclasses
import inspect
import json
import pathlib

from lucid_keras._extras import needed
from lucid_keras.export.ladders import LADDERS
from lucid_keras.export.progress import doing
from lucid_keras.export.recipes import RECIPES
from lucid_keras.export.runtime_commands import ON_EXAMPLE, add_runtimes, runtime_names


def add_commands(subparsers):
    """Add the commands to argparse's sub-parsers; each sets `handler`, which takes the parsed arguments.

    A handler raises `ValueError`, `TypeError`, `ImportError` or `OSError` with one clear message.
    """
    _add_export(subparsers)
    _add_inspect(subparsers)
    _add_verify(subparsers)
    add_runtimes(subparsers)


def _add_export(subparsers):
    parser = subparsers.add_parser(
        "export",
        help="a .keras file to a verified .tflite file, SavedModel or StableHLO",
        description="Converts, runs what was made beside the Keras model, and gives it its name only if it is right.",
        epilog="example: lucid-keras export model.keras model.tflite --quantization int8 --calibration recordings/ "
        "--length 100 --report report.html",
    )
    parser.add_argument("model", type=pathlib.Path, help="the .keras file")
    parser.add_argument("path", type=pathlib.Path, help="NAME.tflite, NAME.stablehlo, or a new folder: a SavedModel")
    parser.add_argument(
        "--quantization", choices=(*RECIPES, "auto"), help="default: float32; auto: the smallest that reaches --floor"
    )
    parser.add_argument("--for", dest="device", choices=tuple(LADDERS), help="of auto. Default: phone-cpu")
    parser.add_argument("--time-limit", type=float, metavar="SECONDS", help="of --quantization auto. Default: 1800")
    parser.add_argument("--float-layers", type=_names, metavar="NAMES", help="that stay in float32; auto: the fewest")
    parser.add_argument(
        "--length", type=_lengths, help='where the model leaves it open: 100, 100,200 (a signature each) or "dynamic"'
    )
    parser.add_argument("--calibration", type=pathlib.Path, help=".npz, .npy, or a folder of recordings and .npy files")
    parser.add_argument("--verification", type=pathlib.Path, help="what to compare on; as --calibration")
    parser.add_argument("--integer-io", action="store_true", help="integer inputs and outputs (int8, int16x8)")
    parser.add_argument("--exact-products", action="store_true", help="float32 convolutions with all multiplications")
    parser.add_argument("--floor", type=float, help="least signal-to-noise ratio in dB; default: the recipe's")
    parser.add_argument("--stream", action="store_true", help="a live artefact, which decodes chunk by chunk")
    parser.add_argument("--chunk", type=_chunks, help="positions of a chunk, or several: 1 (default) or 1,8; --stream")
    parser.add_argument("--batch", type=int, help="streams that advance together; --stream. Default: 1")
    parser.add_argument("--states", choices=("explicit", "variables"), help="in and out, or kept inside; --stream")
    parser.add_argument("--platform", choices=("cpu", "cuda", "tpu"), help="what StableHLO is for. Default: any")
    parser.add_argument("--on", type=runtime_names, metavar="NAMES", help=f"where it has to be right too: {ON_EXAMPLE}")
    parser.add_argument("--report", type=pathlib.Path, help="also save the report: NAME.html or NAME.json")
    parser.set_defaults(handler=run_export)


def _add_inspect(subparsers):
    parser = subparsers.add_parser(
        "inspect",
        help="what is in a .tflite file or a checkpoint, and which devices would refuse the file",
        epilog="example: lucid-keras inspect model.tflite --benchmark",
    )
    parser.add_argument("file", type=pathlib.Path, help=".tflite, or .safetensors, .npz, .pt or .lucid")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument("--benchmark", action="store_true", help="also time a .tflite file with litert-benchmark")
    parser.add_argument("--on", type=runtime_names, metavar="NAMES", help=f"also run the file there: {ON_EXAMPLE}")
    parser.set_defaults(handler=run_inspect)


def _add_verify(subparsers):
    parser = subparsers.add_parser(
        "verify",
        help="compare an exported artefact with its .keras file",
        epilog="example: lucid-keras verify model.tflite model.keras --data recordings/",
    )
    parser.add_argument(
        "artefact", type=pathlib.Path, help="the .tflite file, or the folder of a SavedModel or StableHLO"
    )
    parser.add_argument("model", type=pathlib.Path, help="the .keras file")
    parser.add_argument("--data", type=pathlib.Path, help=".npz, .npy, or a folder; default: standard normal samples")
    parser.add_argument("--floor", type=float, help=f"in dB; default: {RECIPES['int8'].floor_db:g}")
    parser.add_argument("--on", type=runtime_names, metavar="NAMES", help=f"also run it there: {ON_EXAMPLE}")
    parser.set_defaults(handler=run_verify)


def _lengths(text):
    """`--length` as `to_tflite` takes it."""
    if text == "dynamic":
        return text
    try:
        lengths = [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f'must be numbers like 100 or 100,200, or "dynamic", not {text!r}') from None
    return lengths[0] if len(lengths) == 1 else lengths


def _names(text):
    """`--float-layers` as `to_tflite` takes it."""
    return text if text == "auto" else tuple(text.split(","))


def _chunks(text):
    """`--chunk` as the streaming exporters take it."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be numbers like 1 or 1,8, not {text!r}") from None


def run_export(arguments):
    """Export, print the report, save it where asked."""
    if arguments.report is not None:
        _check_report(arguments.report)
    export = _exporter(arguments)
    report = export(load_model(arguments.model))
    print(report)
    if arguments.report is not None:
        save = report.save_html if arguments.report.suffix == ".html" else report.save_json
        save(arguments.report)
        print(f"report: {arguments.report}")


def _check_report(path):
    """Raise before the export where its report could not be written afterwards."""
    from lucid_keras.export.files import checked_destination
    from lucid_keras.export.pictures import check_pictures

    if path.suffix not in (".html", ".json"):
        raise ValueError(f"--report must end in .html or .json. Received: {path}")
    checked_destination(path)
    if path.suffix == ".html":
        check_pictures()


def _exporter(arguments):
    """The export that the path's ending and `--stream` ask for; an option that it does not take is refused."""
    with doing("starting TensorFlow"):
        from lucid_keras import export
        from lucid_keras.export.live import streaming_of

    kind = {".tflite": "a .tflite file", ".stablehlo": "StableHLO"}.get(arguments.path.suffix, "a SavedModel")
    names = {"a .tflite file": "to_tflite", "a SavedModel": "to_saved_model", "StableHLO": "to_stablehlo"}
    auto = arguments.quantization == "auto" and kind == "a .tflite file" and not arguments.stream
    name = "smallest_tflite" if auto else names[kind]
    to = getattr(export, f"streaming_{name}" if arguments.stream else name, None)
    if to is None:
        raise ValueError(f"--stream makes a .tflite file or a SavedModel. Received: path={arguments.path}")
    options = {
        "quantization": None if auto else arguments.quantization,
        "device": arguments.device,
        "time_limit": arguments.time_limit,
        "float_layers": arguments.float_layers,
        "calibration_data": arguments.calibration,
        "integer_io": arguments.integer_io or None,
        "exact_products": arguments.exact_products or None,
        "length": arguments.length,
        "chunk": arguments.chunk,
        "batch": arguments.batch,
        "states": arguments.states,
        "verification_data": arguments.verification,
        "floor_db": arguments.floor,
        "platform": arguments.platform,
        "prove_on": arguments.on,
    }
    given = {name: value for name, value in options.items() if value is not None}  # the rest has defaults
    taken = inspect.signature(to).parameters
    for name in given.keys() - taken.keys():
        if name in ("device", "time_limit"):
            raise ValueError(
                "--for and --time-limit go with --quantization auto, of a whole model to a .tflite file. "
                f"Received: {given[name]}"
            )
        option = name.removesuffix("_data").removeprefix("prove_").replace("_", "-")
        live = "live " if arguments.stream else ""
        raise ValueError(f"--{option} does not go with {live}{kind.removeprefix('a ')}. Received: {given[name]}")
    if "compare_layers" in taken:
        given["compare_layers"] = arguments.report is not None
    return lambda model: to(streaming_of(model) if arguments.stream else model, arguments.path, **given)


def load_model(path):
    """The Keras model of a `.keras` file; raises for any other file."""
    if not path.is_file():
        raise FileNotFoundError(f"The model's file must exist. Received: {path}")
    if path.suffix != ".keras":
        raise ValueError(f"The model must be a .keras file. Received: {path}")
    with doing(f"loading {path.name}"):
        return _loaded(path)


def _loaded(path):
    import keras

    import lucid_keras

    for name in lucid_keras.__all__:  # Keras loads the classes that their import told it of
        getattr(lucid_keras, name)
    try:
        return keras.models.load_model(path, compile=False)
    except Exception as error:  # zip, JSON, HDF5 and Keras each have their own
        raise ValueError(f"The model must be a whole .keras file. Received: {path}: {_first_line(error)}") from None


def _first_line(error):
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)


def run_inspect(arguments):
    """Print signatures, operators, tensors, quantization, what devices refuse, and where asked how fast it is."""
    needed("rich", "the tables need rich")
    with doing("starting TensorFlow"):
        from lucid_keras.export import flatbuffer
        from lucid_keras.export.benchmark import benchmark
        from lucid_keras.export.devices import refusals
        from lucid_keras.export.elsewhere import chosen, compared
        from lucid_keras.export.live import described
        from lucid_keras.export.report import finite
        from lucid_keras.export.tables import runtime_table

    names = chosen(arguments.on or (), "tflite")
    contents, content = flatbuffer.read(arguments.file), flatbuffer.read_content(arguments.file)
    found = {"stream": described(contents.signatures), "refusals": refusals(contents, content)}
    proofs = [compared(content, name) for name in names]
    if arguments.benchmark:
        found["benchmark"] = benchmark(arguments.file)
    if arguments.json:
        runs = {"runs": [finite(dataclasses.asdict(one)) for one in proofs]} if proofs else {}
        print(json.dumps(contents.as_dict() | found | runs, indent=2))
        return
    if found["stream"]:
        print(f"live: {found['stream']}")
    _print(*_inspection(contents, found))
    if proofs:
        _print(runtime_table(proofs, title="beside LiteRT's interpreter here, on drawn inputs"))


def _inspection(contents, found):
    """The tables of what was found."""
    from rich.table import Column

    from lucid_keras.export.tables import rich_table, signature_rows

    described = signature_rows(contents.as_dict()["signatures"])
    yield rich_table(("signature", "", "tensor"), described, title=f"{contents.bytes:,} bytes")
    yield rich_table(("operator", "count"), contents.counts().items())
    tensors = [(one.name, one.dtype, list(one.shape), _quantization(one)) for one in contents.tensors]
    yield rich_table((Column("tensor", overflow="fold"), "dtype", "shape", "quantization"), tensors)
    devices = [(name, "; ".join(sentences) or "nothing") for name, sentences in found["refusals"].items()]
    yield rich_table(("device", "would refuse"), devices)
    if result := found.get("benchmark"):
        keys = {"median": "median_ms", "95th percentile": "p95_ms", "initialisation": "init_ms"}
        times = [(label, f"{result['latency'][key]:.2f} ms") for label, key in keys.items()]
        rows = [("fully accelerated", "yes" if result["fully_accelerated"] else "no"), *times]
        yield rich_table(("litert-benchmark", "measured"), rows, title=f"CPU, {result['num_threads']} threads")


def _quantization(tensor):
    if not tensor.scales:
        return ""
    if tensor.scales > 1:
        return f"{tensor.scales} scales"
    return f"scale {tensor.scale:.3g}, zero point {tensor.zero_point}"


def _print(*tables):
    from rich.console import Console

    Console().print(*tables)


def run_verify(arguments):
    """Compare an artefact with its model; raises below the floor."""
    needed("rich", "the tables need rich")
    with doing("starting TensorFlow"):
        from lucid_keras.export.elsewhere import chosen
        from lucid_keras.export.proof import Floor
        from lucid_keras.export.tables import decibels, output_table, runtime_table
        from lucid_keras.export.verify import verified_everywhere
        from lucid_keras.runtimes import kind_of

    floor = Floor.of(arguments.floor, RECIPES["int8"]).decibels
    names = chosen(arguments.on or (), kind_of(arguments.artefact))
    there = Floor(floor, yields=False, written=True)
    model = load_model(arguments.model)
    proof, proofs = verified_everywhere(arguments.artefact, model, arguments.data, names, there)
    _print(output_table(proof.outputs))
    if proofs:
        _print(runtime_table(proofs))
    worst = min(proof.outputs, key=lambda one: one.snr_db)
    if worst.snr_db < floor:
        raise ValueError(
            f"The artefact must reach {floor:g} dB against the model. Received: {decibels(worst.snr_db)} "
            f"at the output {worst.name!r} of {worst.signature!r}"
        )
    if refused := [one for one in proofs if one.refusal]:
        raise ValueError(f"On the runtime {refused[0].name!r}: {refused[0].refusal}")
