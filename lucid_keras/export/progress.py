"""A progress bar on the terminal, and none where the output goes elsewhere."""

import sys


def progress_bar(samples, label):
    """The items of `samples`, with a bar on standard error while they are taken, if that is a terminal."""
    try:
        from rich.console import Console
        from rich.progress import Progress
    except ImportError:
        return samples
    if not sys.stderr.isatty():
        return samples
    # By default rich would put itself in the place of the process's sys.stdout and sys.stderr.
    bar = Progress(console=Console(stderr=True), transient=True, redirect_stdout=False, redirect_stderr=False)
    return _taken(bar, samples, label)


def _taken(bar, samples, label):
    with bar:
        yield from bar.track(samples, len(samples) if hasattr(samples, "__len__") else None, description=label)
