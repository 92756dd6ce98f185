"""One live line on the terminal that says what is being done, and none where the output goes elsewhere."""

import contextlib
import functools
import sys
import threading

_LOCK = threading.Lock()  # rich shows one display at a time; threads that work at once have a line each in it
_HERE = threading.local()  # the line of the stage that this thread is in
_SHOWN: list = []  # the display, while there is a line


@contextlib.contextmanager
def doing(what, total=None):
    """Shows `what` while it is done, instead of the stage around it; gives what to call after each of `total` steps."""
    outer = getattr(_HERE, "line", None)
    with _LOCK:
        if not _SHOWN and (display := _display()):
            _SHOWN.append(display)
            display.start()
        display = _SHOWN[0] if _SHOWN else None
        if display is not None:
            line = _HERE.line = display.add_task(what, total=total)
            if outer is not None:
                display.update(outer, visible=False)
    try:
        yield functools.partial(display.advance, line) if display is not None else lambda: None
    finally:
        if display is not None:
            with _LOCK:
                _HERE.line = outer
                display.remove_task(line)
                if outer is not None:
                    display.update(outer, visible=True)
                if not display.task_ids:
                    _SHOWN.remove(display)
                    display.stop()


def each(function, items, what):
    """`function` of each of `items`, in a list, `what` shown meanwhile."""
    results = []
    with doing(what, len(items) if hasattr(items, "__len__") else None) as advance:
        for item in items:
            results.append(function(item))
            advance()
    return results


def _display():
    try:
        terminal = sys.stderr.isatty()
    except (AttributeError, ValueError):  # there is none, or it is closed
        terminal = False
    if not terminal:
        return None
    try:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
    except ImportError:
        return None
    what = TextColumn("{task.description}", markup=False)
    columns = (SpinnerColumn(), what, BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    # By default rich would put itself in the place of the process's sys.stdout and sys.stderr.
    return Progress(
        *columns, console=Console(stderr=True), transient=True, redirect_stdout=False, redirect_stderr=False
    )
