"""The command line, `lucid-keras`: arguments in, one line for an error, the work in the modules it calls."""

import argparse
import logging
import pathlib
import sys
import warnings

from lucid_keras.bench.commands import add_command as add_bench
from lucid_keras.export.commands import add_commands, run_inspect
from lucid_keras.export.versions import versions


def main(arguments=None):
    """Run a command; returns the exit status."""
    parsed = _parser().parse_args(arguments)
    _quieten()
    try:
        parsed.handler(parsed)
    except (ImportError, MemoryError, OSError, TypeError, ValueError) as error:
        print(f"lucid-keras: {' '.join(str(error).split()) or 'the memory does not suffice'}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lucid-keras: interrupted", file=sys.stderr)
        return 130
    return 0


class _Parser(argparse.ArgumentParser):
    """argparse's, with one line for an error too: `--help` tells the usage."""

    def error(self, message):
        self.exit(2, f"{self.prog}: {message}\n")


def _quieten():
    """Silence the frameworks' own notes, which would hide the results: this process is ours, a library's is not."""
    for name in ("absl", "tensorflow"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="ai_edge|keras|litert|tensorflow")


def _parser():
    parser = _Parser(prog="lucid-keras", description="The 1-D transposed convolution from training to the phone.")
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
    add_commands(commands)
    add_bench(commands)
    commands.choices["inspect"].set_defaults(handler=_inspect)
    version = commands.add_parser(
        "version", help="print the versions that results depend on", epilog="example: lucid-keras version"
    )
    version.set_defaults(handler=_version)
    return parser


def _demo(parsed):
    from lucid_keras import demo

    console = demo.demo_extra("rich.console").Console()
    demo.print_result(demo.run(parsed.audio, parsed.out, console), console)


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
