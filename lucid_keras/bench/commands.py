"""The command `lucid-keras bench`: a configuration in, a table of who takes how long out."""

import json
import os
import pathlib

from lucid_keras._extras import needed
from lucid_keras.bench.machine import machine
from lucid_keras.bench.subjects import SUBJECTS, named, option
from lucid_keras.bench.workload import MODES, Workload
from lucid_keras.export.files import checked_destination

OURS = {"our graph": "ours graph", "our file": "ours LiteRT"}  # whom the ratios are taken to
LITERT_TORCH_HELP = "LUCID_KERAS_LITERT_TORCH=/path/to/python names an interpreter that has litert-torch."


def add_command(subparsers):
    """Add `bench` to argparse's sub-parsers."""
    parser = subparsers.add_parser(
        "bench",
        help="time a configuration against PyTorch, Keras, ONNX Runtime and the converters",
        description="Times one layer in this package, its peers and a matrix product of as many multiply-adds, each in "
        "a process of its own, in interleaved rounds, after comparing its numbers with float64.",
        epilog=f"example: lucid-keras bench 512 256 16 --stride 8 --padding 4 --length 100. {LITERT_TORCH_HELP}",
    )
    for name in ("in_channels", "out_channels", "kernel_size"):
        parser.add_argument(name, type=int)
    for name in ("stride", "padding", "output_padding", "groups", "dilation", "length", "batch"):
        default = Workload.__dataclass_fields__[name].default
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default, help="default: %(default)s")
    parser.add_argument("--mode", choices=MODES, default="forward", help="train: gradients of input, weight and bias")
    names = ", ".join(map(option, SUBJECTS))
    parser.add_argument("--subjects", nargs="+", metavar="NAME", help=f"of: {names}; default: all")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=0.3, help="of each subject in a round; default: %(default)s")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="default: this machine's %(default)s")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="also write the results")
    parser.set_defaults(handler=run)


def run(parsed):
    """Time, print the table, write the file; raises where nothing could be timed."""
    for name in ("rounds", "threads"):
        if getattr(parsed, name) < 1:
            raise ValueError(f"--{name} must be at least 1. Received: {getattr(parsed, name)}")
    if not 0 < parsed.seconds < float("inf"):
        raise ValueError(f"--seconds must be positive. Received: {parsed.seconds}")
    if parsed.json is not None:
        if not parsed.json.parent.is_dir():
            raise FileNotFoundError(f"The folder of --json must exist. Received: {parsed.json}")
        checked_destination(parsed.json)
    names = list(dict.fromkeys(map(named, parsed.subjects or SUBJECTS)))
    workload = Workload(**{name: getattr(parsed, name) for name in Workload.__dataclass_fields__})
    needed("rich", "the tables need rich")
    from rich.console import Console
    from rich.progress import Progress

    from lucid_keras.bench.rounds import Contest

    bar = Progress(console=Console(stderr=True), transient=True)
    with Contest(names, parsed.threads) as contest, bar:
        task = bar.add_task("starting", total=Contest.steps(names, parsed.rounds))
        advance = lambda text: bar.update(task, description=text, advance=1)  # noqa: E731
        results = contest.run(workload, parsed.rounds, parsed.seconds, advance)
    if parsed.json is not None:
        parsed.json.write_text(json.dumps(_record(workload, parsed, results), indent=1) + "\n")
    console = Console()
    skipped = {name: result["skipped"] for name, result in results.items() if "skipped" in result}
    if len(skipped) < len(results):
        console.print(_table(workload, results))
    for name, text in (skipped | _split(results)).items():
        console.print(f"{name}: {text}", markup=False, highlight=False)
    if len(skipped) == len(results):
        raise ValueError(f"No subject could be timed. Received: {workload}")


def _split(results):
    """By subject, what XNNPACK leaves to slower kernels of LiteRT."""
    found = {}
    for name, result in results.items():
        one = result.get("delegation")
        if one and (one["partitions"] != 1 or one["delegated"] < one["operators"]):
            found[name] = "XNNPACK runs {delegated} of {operators} operators, in {partitions} partitions".format(**one)
    return found


def _record(workload, parsed, results):
    described = workload.layer_arguments | {"length": workload.length}
    one = {"case": described, "batch": workload.batch, "mode": workload.mode, "subjects": results}
    return {"machine": machine(parsed.threads), "rounds": parsed.rounds, "seconds": parsed.seconds, "runs": [one]}


def _table(workload, results):
    """Subject, milliseconds, its time over each of ours, quartiles, parity error, peak memory."""
    from rich.table import Table

    from lucid_keras.bench.measured import quartiles, ratio, times

    ours = {label: name for label, name in OURS.items() if times(results, name)}
    headings = ["ms", *(f"over {label}" for label in ours), "quartiles", "error", "MiB"]
    table = Table(title=str(workload))
    table.add_column("subject", no_wrap=True)
    for heading in headings:  # on a narrow terminal the last columns give way
        table.add_column(heading, justify="right", no_wrap=heading == "ms")
    for name in results:
        if times(results, name) is None:
            continue
        low, middle, high = quartiles(times(results, name))
        ratios = [f"{ratio(results, name, one):.2f}" for one in ours.values()]
        error, peak = results[name]["error"], results[name].get("peak_mib")
        cells = ["" if error is None else f"{error:.0e}", "" if peak is None else f"{peak:.1f}"]
        table.add_row(name, f"{middle:.3f}", *ratios, f"{low:.3f} {high:.3f}", *cells)
    return table
