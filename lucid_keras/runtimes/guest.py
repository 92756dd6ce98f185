"""A `.tflite` file in a process of its own, under a runtime that cannot or should not live in this one.

A runtime may need another Python, another processor or another library, or may end its process: then that is told in
one sentence, and nothing here is lost.
"""

import contextlib
import math
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Iterator, Sequence

from lucid_keras.runtimes.guests.channel import receive, send
from lucid_keras.runtimes.litert import LiteRT, coverage_of, dequantized, quantized
from lucid_keras.runtimes.places import Step
from lucid_keras.runtimes.protocol import Coverage, Signature

SCRIPTS = pathlib.Path(__file__).parent / "guests"
LIMIT_SECONDS = 300.0  # for one answer: a GPU's shaders or a processor in software take their time


class Guest:
    """What every such runtime shares; a subclass says what it is called, where it lives and how it starts.

    Args:
        artefact: the file's bytes, or its path.
        threads: int, CPU threads. Default 2.
        limit: float, seconds that one answer may take. Default 300.

    Raises:
        FileNotFoundError: the runtime's parts are not here; the message says how to get them.
        ValueError: the runtime refuses the file, ends or takes too long.
    """

    name = ""
    kind = "tflite"
    part = ""  # what `lucid-keras runtimes install` calls what it needs
    script = "interpreter.py"
    timed = False  # whether a call's time here says something of where the file is meant for

    def __init__(self, artefact: bytes | str | os.PathLike, threads: int = 2, limit: float = LIMIT_SECONDS):
        if lacking := self.lacking():
            raise FileNotFoundError(f"{self.name} is not here: {lacking}")
        content = artefact if isinstance(artefact, bytes) else pathlib.Path(artefact).read_bytes()
        self._here = LiteRT(content)  # its names and scales; a guest is handed the file's own dtypes
        self._folder = tempfile.TemporaryDirectory()
        self._limit = limit
        path = pathlib.Path(self._folder.name) / "model.tflite"
        path.write_bytes(content)
        self._log = path.parent / "log"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self.command(), str(SCRIPTS / self.script)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **self.environment()},
            )
        weakref.finalize(self, _end, self._process, self._folder)
        told, _ = self._ask("open", str(path), {"threads": threads} | self.options())
        self.version: str = told["version"]
        self.device: str | None = told["device"] or self.where()
        self.threads: int | None = threads

    @classmethod
    def lacking(cls) -> str:
        """How to get what is not here; an empty text where the runtime is ready."""
        return ""

    @classmethod
    def installation(cls) -> Iterator[Step]:
        """The steps that bring what is not here, each in words and as a function."""
        yield from ()

    @classmethod
    def command(cls) -> Sequence[str]:
        """The Python that runs the guest."""
        return [sys.executable]

    def where(self) -> str | None:
        """What computes, where the guest cannot know; None: this machine's processor."""
        return None

    def environment(self) -> dict[str, str]:
        """Variables that its process needs."""
        return {}

    def options(self) -> dict[str, object]:
        """What the guest is to know when it opens the file."""
        return {}

    @property
    def _ops(self):
        return self._here.coverage().ops

    @property
    def signatures(self) -> dict[str, Signature]:
        return self._here.signatures

    def run(self, signature, inputs):
        given, gives = self._here.details(signature)
        _, arrays = self._ask("run", signature, arrays=quantized(inputs, given))
        if missing := [name for name in gives if name not in arrays]:
            raise ValueError(
                f"{self.name} must give all outputs of {signature!r}. Received: none called {missing[0]!r}"
            )
        return dequantized(arrays, gives)

    def milliseconds(self, signature, inputs, seconds) -> float:
        if not self.timed:
            return math.nan
        given, _ = self._here.details(signature)
        told, _ = self._ask("milliseconds", signature, seconds, arrays=quantized(inputs, given))
        return told["milliseconds"]

    def coverage(self) -> Coverage:
        """What XNNPACK took there."""
        found = self.found()
        return coverage_of(found["nodes"], {int(index): name for index, name in found["tensors"].items()})

    def found(self) -> dict:
        """What the guest found of the file."""
        return self._ask("found")[0]

    def log(self) -> str:
        """What its process has printed."""
        return self._log.read_text(errors="replace")

    def check(self) -> None:
        """Raise for what the guest itself has not noticed."""

    def _ask(self, *request, arrays=None):
        """The guest's answer, a pair of what it told and arrays; raises for an error, its end and its silence."""
        late = threading.Event()

        def give_up():
            late.set()
            self._process.kill()

        watch = threading.Timer(self._limit, give_up)
        watch.start()
        try:
            with contextlib.suppress(BrokenPipeError):
                send(self._process.stdin, request, arrays)
            answer = receive(self._process.stdout)
        finally:
            watch.cancel()
        if answer is None:
            raise ValueError(f"{self.name} must answer. Received: {self._end_of(late.is_set())}")
        told, given = answer
        if "error" in told:
            raise ValueError(f"{self.name} must run the file. Received: {told['error']}")
        self.check()
        return told, given

    def _end_of(self, late):
        """How the process ended, as a phrase."""
        if late:
            return f"nothing within {self._limit:g} s"
        status = self._process.wait()
        ended = f"its end by {signal.Signals(-status).name}" if status < 0 else f"its end with status {status}"
        last = [line for line in self.log().splitlines() if line.strip()][-1:]
        return f"{ended}; it said last: {last[0].strip()[:200]}" if last else ended


def _end(process, folder):
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):
            pipe.close()
    folder.cleanup()
