"""Which axes of a module's inputs may be of another length, found by trying."""

from collections.abc import Callable, Iterator, Sequence, Set

import torch

Inputs = tuple[torch.Tensor, ...]
# How one length leads to two others: any, or, where a module takes no other, multiples.
STRETCHES: tuple[tuple[Callable[[int], int], ...], ...] = (
    (lambda length: 2 * length + 1, lambda length: length + 1),
    (lambda length: 2 * length, lambda length: 3 * length),
)


def axes_of_any_length(program: torch.export.ExportedProgram) -> set[tuple[int, int]]:
    """Each input's index and each axis of it whose length a program leaves open."""
    names = program.graph_signature.user_inputs
    shapes = [node.meta["val"].shape for node in program.graph.nodes if node.name in names]
    sizes = {(index, axis): size for index, shape in enumerate(shapes) for axis, size in enumerate(shape)}
    return {place for place, size in sizes.items() if isinstance(size, torch.SymInt)}


def other_lengths(module: Callable, inputs: Inputs, allowed: Set[tuple[int, int]] | None = None) -> list[Inputs]:
    """The inputs at two other lengths that the module takes; nothing where it takes none.

    `allowed` are the axes that may be of another length.
    """
    sizes = _sizes(module, first(inputs))
    for axes in _candidates(inputs):
        if allowed is not None and not axes <= allowed:
            continue
        for stretches in STRETCHES:
            longer = [_stretched(inputs, axes, stretch) for stretch in stretches]
            found = [_sizes(module, first(one)) for one in longer]
            if None not in found and sizes not in found:
                return longer
    return []


def first(inputs: Inputs) -> Inputs:
    """The first signal of a batch, which costs less to run."""
    return tuple(one[:1] for one in inputs)


def lengthened(inputs: Inputs, longer: Inputs, times: int) -> Inputs:
    """The inputs whose axes are longer in `longer`, so many times as long and longer by what that is odd by."""
    axes = {
        (index, axis)
        for index, (one, other) in enumerate(zip(inputs, longer, strict=True))
        for axis, (size, more) in enumerate(zip(one.shape, other.shape, strict=True))
        if size != more
    }
    odd = any(longer[index].shape[axis] % inputs[index].shape[axis] for index, axis in axes)
    return _stretched(inputs, axes, lambda length: times * length + odd)


def _candidates(inputs: Inputs) -> Iterator[set[tuple[int, int]]]:
    """Sets of axes, each as an input's index and an axis of it, that may be of one length: those of one size, the last
    first, then the last of each input, and the first after the batch.
    """
    every = [(index, axis) for index, one in enumerate(inputs) for axis in range(one.ndim - 1, 0, -1)]
    for size in dict.fromkeys(inputs[index].shape[axis] for index, axis in every):
        yield {(index, axis) for index, axis in every if inputs[index].shape[axis] == size}
    yield {(index, one.ndim - 1) for index, one in enumerate(inputs) if one.ndim > 1}
    yield {(index, 1) for index, one in enumerate(inputs) if one.ndim > 1}
    for index, axis in every:
        yield {(index, axis)}


def _stretched(inputs: Inputs, axes: set[tuple[int, int]], stretch: Callable[[int], int]) -> Inputs:
    """Inputs whose axes are longer, filled by what is there."""
    longer = list(inputs)
    for index, axis in axes:
        size = inputs[index].shape[axis]
        longer[index] = longer[index].index_select(axis, torch.arange(stretch(size)) % size)
    return tuple(longer)


def _sizes(module: Callable, inputs: Inputs) -> Sequence[torch.Size] | None:
    """The shapes of what a module gives; None where it does not take the inputs."""
    try:
        with torch.no_grad():
            outputs = module(*inputs)
    except Exception:  # whatever a module's own code raises
        return None
    return [one.shape for one in torch.utils._pytree.tree_leaves(outputs) if isinstance(one, torch.Tensor)]
