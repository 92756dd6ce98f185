"""What a subject makes of a workload: something to time, something to judge, and what is known of it."""

import collections.abc
import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A subject ready to be timed.

    `call()` computes once and returns when the numbers are there. `results()` gives `[y]`, or `[dx, dweight, dbias]`,
    channels first; None for a matrix product, which nobody judges. `held` is the bytes that a call needs and that were
    there before it: inputs, weights; None where all that the process takes is to count. A runtime that keeps what it
    allocates for a file gives `afresh`, which loads and runs the file, for its memory is seen only while it loads.
    `facts` go into the results as they are.
    """

    call: collections.abc.Callable
    results: collections.abc.Callable | None
    held: int | None
    afresh: collections.abc.Callable | None = None
    facts: dict = dataclasses.field(default_factory=dict)


def held_bytes(workload, arrays):
    """The bytes of a workload's inputs and weights."""
    tensors = [arrays.x, arrays.weight, arrays.bias] + ([arrays.dy] if workload.mode == "train" else [])
    return sum(tensor.nbytes for tensor in tensors)


def channels_last(array):
    """`[N, C, L]` to `[N, L, C]` or back, in memory too."""
    return np.ascontiguousarray(np.moveaxis(array, 1, 2))
