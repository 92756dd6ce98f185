"""The command line, `lucid-keras`: arguments in, one line for an error, the work in the modules it calls."""

import argparse
import contextlib
import os
import pathlib
import sys

from lucid_keras._extras import needed
from lucid_keras.bench.commands import add_command as add_bench
from lucid_keras.export.commands import add_commands, run_inspect
from lucid_keras.export.files import checked_destination, workplace
from lucid_keras.export.progress import doing
from lucid_keras.export.versions import versions
from lucid_keras.terminal import own_lines

EXIT_STATUS = "exit status: 0 done, 1 an error in one line, 2 an option that is wrong, 130 interrupted"


def main(arguments=None):
    """Run a command; returns the exit status."""
    parsed = _parser().parse_args(arguments)
    try:
        with contextlib.nullcontext() if parsed.verbose else own_lines():
            return _run(parsed)
    except KeyboardInterrupt:
        print("lucid-keras: interrupted", file=sys.stderr)
        return 130


def _run(parsed):
    """Call the handler; what it documents to raise is one line."""
    try:
        parsed.handler(parsed)
    except BrokenPipeError:  # who reads it has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ImportError, MemoryError, OSError, TypeError, ValueError) as error:
        print(f"lucid-keras: {' '.join(str(error).split()) or 'the memory does not suffice'}", file=sys.stderr)
        return 1
    return 0


class _Parser(argparse.ArgumentParser):
    """argparse's, with one line for an error too: `--help` tells the usage."""

    def error(self, message):
        self.exit(2, f"{self.prog}: {message}\n")


def _parser():
    parser = _Parser(
        prog="lucid-keras",
        description="The 1-D transposed convolution from training to the phone.",
        epilog=f"example: lucid-keras export model.keras model.tflite --length 100; {EXIT_STATUS}",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    demo = commands.add_parser(
        "demo",
        help="reconstruct a recording with a transposed convolution, in Keras and under LiteRT",
        description="Reads a recording, computes its STFT, reconstructs it with an inverse STFT that is a transposed "
        "convolution, exports that to a .tflite file, runs the file, and writes file, sound and picture.",
        epilog="example: lucid-keras demo --audio speech.wav --out results",
    )
    demo.add_argument("--audio", type=pathlib.Path, metavar="FILE", help="a WAV or FLAC file (default: a guitar)")
    demo.add_argument("--out", type=pathlib.Path, default=pathlib.Path("saved_models/demo"), metavar="DIR")
    demo.set_defaults(handler=_demo)
    _add_import(commands)
    add_commands(commands)
    add_bench(commands)
    commands.choices["inspect"].set_defaults(handler=_inspect)
    version = commands.add_parser(
        "version", help="print the versions that results depend on", epilog="example: lucid-keras version"
    )
    version.set_defaults(handler=_version)
    for command in commands.choices.values():
        command.add_argument("--verbose", action="store_true", help="show the frameworks' own logs too")
    return parser


def _add_import(commands):
    imported = commands.add_parser(
        "import",
        help="a PyTorch program (.pt2) to a verified .keras file",
        description="Translates a program that torch.export.save wrote into ordinary Keras layers, compares both, and "
        "writes the model only if they agree. Nothing of the file is executed.",
        epilog="example: lucid-keras import decoder.pt2 decoder.keras --channels-last",
    )
    imported.add_argument("program", type=pathlib.Path, help="the .pt2 file")
    imported.add_argument("path", type=pathlib.Path, help="NAME.keras")
    imported.add_argument(
        "--channels-last",
        action="store_true",
        help="inputs and outputs [batch, length, channels], as live decoders need",
    )
    imported.set_defaults(handler=_import)


def _demo(parsed):
    with doing("starting TensorFlow"):
        from lucid_keras import demo

    console = demo.demo_extra("rich.console").Console()
    demo.print_result(demo.run(parsed.audio, parsed.out, console), console)


def _import(parsed):
    if parsed.path.suffix != ".keras":
        raise ValueError(f"the model's path must end in .keras. Received: {parsed.path}")
    checked_destination(parsed.path)
    needed("torch", "importing a PyTorch program needs PyTorch", "torch")
    with doing(f"translating {parsed.program}"):
        from lucid_keras.interop.translation.model import translated

        data_format = "channels_last" if parsed.channels_last else "channels_first"
        model, compared = translated(parsed.program, None, data_format, None, None)
    with workplace(parsed.path.absolute().parent) as place:
        model.save(place / parsed.path.name)
        os.replace(place / parsed.path.name, parsed.path)
    for kind, tensors in (("takes", model.inputs), ("gives", model.outputs)):
        for one in tensors:
            print(f"{kind} {one.name}: {one.dtype} {[size or 'any' for size in one.shape]}")
    for inputs, error in compared:
        print(f"relative error {error:.1e} against PyTorch, inputs {', '.join(str(list(one.shape)) for one in inputs)}")
    print(f"{parsed.path}: {len(model.layers)} layers, {model.count_params():,} weights")


def _inspect(parsed):
    """A `.tflite` file's contents by the exporters, any other file's by the readers of checkpoints."""
    if parsed.file.suffix == ".tflite":
        run_inspect(parsed)
    elif parsed.benchmark or parsed.json:
        raise ValueError(f"--benchmark and --json are for .tflite files. Received: {parsed.file}")
    else:
        from lucid_keras import interop

        print(interop.describe(parsed.file))


def _version(parsed):
    found = versions()
    for package in ("lucid_keras", "tensorflow", "keras", "numpy", "ai-edge-litert", "litert-quantizer"):
        print(package, found.get(package, "not installed"))
