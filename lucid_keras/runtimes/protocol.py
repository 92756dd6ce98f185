"""What the proof asks of a runtime: to open an artefact, list its signatures, run one, and say what it took of it."""

import dataclasses
import typing
from collections.abc import Callable, Mapping

import numpy as np

from lucid_keras._timing import milliseconds

Arrays = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Spec:
    """What a signature takes or gives under one name; None in the shape is an extent that the artefact leaves open."""

    dtype: str
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        return f"{self.dtype}{list(self.shape)}"


@dataclasses.dataclass(frozen=True)
class Signature:
    """The inputs and the outputs of a signature by their names."""

    inputs: dict[str, Spec]
    outputs: dict[str, Spec]

    def described(self) -> dict[str, tuple[str, ...]]:
        """Both as text."""
        both = {"inputs": self.inputs, "outputs": self.outputs}
        return {kind: tuple(f"{name}: {spec}" for name, spec in specs.items()) for kind, specs in both.items()}


@dataclasses.dataclass(frozen=True)
class Coverage:
    """The operators of an artefact's first signature, in order, and what the runtime's accelerator took of them.

    `accelerator` is its name, None where there is none; `outside` holds an operator's name and the name of what it
    computes for each that runs elsewhere; `partitions` are the pieces that the accelerator runs. Of an accelerator that
    tells no more, `left` is how many run elsewhere, and `reasons` are its own words. `memory` is how many bytes a
    microcontroller needs beside the file.
    """

    ops: tuple[str, ...]
    accelerator: str | None = None
    outside: tuple[tuple[str, str], ...] = ()
    partitions: int = 0
    left: int | None = None
    reasons: tuple[str, ...] = ()
    memory: int | None = None

    @property
    def delegated(self) -> int | None:
        """How many operators the accelerator runs; None where there is none."""
        if self.accelerator is None:
            return None
        return len(self.ops) - (len(self.outside) if self.left is None else self.left)

    def __str__(self) -> str:
        if self.accelerator is None:
            return "" if self.memory is None else f"{self.memory:,} bytes of memory"
        left = sorted({name for name, _ in self.outside})
        why = "; ".join(self.reasons) or ", ".join(left)
        return f"{self.delegated} of {len(self.ops)} on {self.accelerator}" + (f"; not {why}" if why else "")


class InThisProcess:
    """What the runtimes of this process share: they are here, and `prepared` gives a function that is timed."""

    @classmethod
    def lacking(cls) -> str:
        return ""

    def prepared(self, signature: str, inputs: Arrays) -> Callable[[], object]:
        """A function that runs the signature on these inputs, everything set up."""
        raise NotImplementedError

    def milliseconds(self, signature: str, inputs: Arrays, seconds: float) -> float:
        return milliseconds(self.prepared(signature, inputs), seconds)


class Runtime(typing.Protocol):
    """An artefact, opened. `name` and `version` are the runtime's own, `kind` is the artefact's.

    `device` names what computes, None the processor; `threads` how many it may take, None as many as there are.
    """

    name: str
    kind: str
    version: str
    device: str | None
    threads: int | None

    def __init__(self, artefact) -> None: ...

    @classmethod
    def lacking(cls) -> str:
        """How to get what is not here; an empty text where the runtime is ready."""

    @property
    def signatures(self) -> dict[str, Signature]:
        """The signatures by name, the first one first."""

    def run(self, signature: str, inputs: Arrays) -> dict[str, np.ndarray]:
        """The outputs of a signature by name; floating-point numbers in and out even where the artefact's are not."""

    def milliseconds(self, signature: str, inputs: Arrays, seconds: float) -> float:
        """The median time of a call, measured for `seconds`; NaN where it would say nothing of the real device."""

    def coverage(self) -> Coverage:
        """What runs where, at the lengths of the last run."""
