"""A progress bar on the terminal, and none where the output goes elsewhere."""

import sys


def progress_bar(samples, label):
    """The items of `samples`, with a bar on standard error while they are taken, if that is a terminal."""
    try:
        from rich.console import Console
        from rich.progress import track
    except ImportError:
        return samples
    if not sys.stderr.isatty():
        return samples
    total = len(samples) if hasattr(samples, "__len__") else None
    return track(samples, description=label, total=total, console=Console(stderr=True), transient=True)
