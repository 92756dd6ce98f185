"""The standard error of a command: what this package says, and the frameworks' logs only where they are asked for."""

import contextlib
import faulthandler
import logging
import os
import sys
import tempfile
import warnings

STANDARD_ERROR = 2  # the file descriptor


@contextlib.contextmanager
def own_lines():
    """Set the frameworks' logs aside while a command runs: this process is ours, a library's is not.

    Their C++ writes to the descriptor, some of it before any setting is read: the descriptor leads to a file that has
    no name, and `sys.stderr` to where it led. What nobody expected is shown with all that was set aside.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        stack.callback(logging.disable, logging.NOTSET)
        aside = stack.enter_context(_aside()) if _writes_to_the_descriptor(sys.stderr) else None
        try:
            yield
        except Exception:
            if aside is not None:
                aside.seek(0)
                sys.stderr.write(aside.read().decode(errors="replace"))
            raise


def _writes_to_the_descriptor(stream):
    """Whether it does, or is a test's or a notebook's, which the descriptor has nothing to do with."""
    try:
        return stream.fileno() == STANDARD_ERROR
    except (AttributeError, OSError, ValueError):
        return False


@contextlib.contextmanager
def _aside():
    """The file that the descriptor leads to meanwhile. A process that dies of a signal says where it was."""
    before = sys.stderr
    with (
        tempfile.TemporaryFile() as aside,
        open(os.dup(STANDARD_ERROR), "w", buffering=1, encoding=before.encoding, errors=before.errors) as ours,
    ):
        before.flush()
        os.dup2(aside.fileno(), STANDARD_ERROR)
        sys.stderr = ours
        faulthandler.enable(ours)
        try:
            yield aside
        finally:
            faulthandler.disable()
            os.dup2(ours.fileno(), STANDARD_ERROR)
            sys.stderr = before
