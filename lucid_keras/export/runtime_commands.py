"""The commands `lucid-keras runtimes` and `lucid-keras runtimes install`, and the option `--on`."""

from lucid_keras._extras import needed
from lucid_keras.export.progress import doing

ON_EXAMPLE = "arm64,gpu, say; lucid-keras runtimes lists them"
INSTALLED = ("arm64", "gpu", "browser", "micro", "old")  # what `install` can bring; test_runtimes.py asks the runtimes


def runtime_names(text):
    """`--on` as `to_tflite` takes it."""
    return tuple(text.split(","))


def add_runtimes(subparsers):
    """Add the command to argparse's sub-parsers."""
    parser = subparsers.add_parser(
        "runtimes",
        help="where an artefact can be proven, what is ready here, and how to get the rest",
        description="Lists the runtimes; install brings their parts by the ordinary package managers into the user's "
        "cache folder, or that which LUCID_KERAS_CACHE names.",
        epilog="example: lucid-keras runtimes install arm64 micro",
    )
    parser.add_argument("action", nargs="?", choices=("list", "install"), default="list", help="default: list")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"what to install: {', '.join(INSTALLED)}")
    parser.set_defaults(handler=run_runtimes)


def run_runtimes(arguments):
    """List the runtimes, or install the parts of some."""
    if unknown := sorted({*arguments.names} - {*INSTALLED}):
        raise ValueError(f"What is installed must be one of {', '.join(INSTALLED)}. Received: {unknown[0]}")
    if (arguments.action == "install") != bool(arguments.names):
        raise ValueError(f"install takes names, and list takes none. Received: {arguments.action} {arguments.names}")
    if arguments.action == "list":
        needed("rich", "the tables need rich")
    with doing("starting TensorFlow"):
        from lucid_keras.runtimes import RUNTIMES, Guest
    if arguments.action == "list":
        _print_list(RUNTIMES)
    for name in arguments.names:
        for runtime in RUNTIMES.values():
            if issubclass(runtime, Guest) and runtime.part == name:
                _install(runtime)
        print(f"{name}: ready")


def _install(runtime):
    for what, bring in runtime.installation():
        with doing(f"installing {what}"):
            bring()


def _print_list(runtimes):
    from rich.console import Console

    from lucid_keras.export.tables import rich_table

    rows = [(name, one.name, one.kind, one.lacking() or "ready") for name, one in runtimes.items()]
    Console().print(rich_table(("name", "runtime", "artefacts", "here"), rows))
