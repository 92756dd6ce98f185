"""What a PyTorch module does to its inputs, as a list of whole operations; all else is computed by torch, once.

A module is traced at two lengths, and what differs between the two traces is what depends on the length: an `Extent`
where it is a number, a `Constant` with a `longer` array where it is a tensor.
"""

import contextlib
import dataclasses
import operator
from collections.abc import Iterator, Mapping
from typing import Any

import torch

IGNORED = ("_assert", "sym_constrain", "sym_size")  # what a trace checks, which has been checked then
SHAPED = ("zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full")  # what sees a shape alone

LONGEST = 1 << 20  # a larger number is no position: slices end at the largest integer


@dataclasses.dataclass(frozen=True)
class Extent:
    """A number that depends on the length: what it is in either trace."""

    shorter: int
    longer: int


@dataclasses.dataclass(eq=False)
class Constant:
    """A tensor that depends on no input, and the parameters and buffers that it is made of, or is."""

    array: torch.Tensor
    names: frozenset[str] = frozenset()
    is_named: bool = False
    longer: torch.Tensor | None = None

    @property
    def number(self) -> float | None:
        """The one number that all of it is, where it is one at either length."""
        both = torch.cat([one.reshape(-1) for one in (self.array, self.longer) if one is not None])
        return both[0].item() if both.numel() and bool((both == both[0]).all()) else None


@dataclasses.dataclass(eq=False)
class Call:
    """An operation on what depends on the inputs, or such an input (without a target)."""

    name: str
    target: Any = None
    args: tuple = ()
    kwargs: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    path: str = ""  # of the module that it is in
    shape: tuple = ()
    dtype: torch.dtype | None = None


@dataclasses.dataclass(eq=False)
class Trace:
    """The inputs, the operations in their order, what comes out, and what the module holds by name.

    `tables` are the constants that are made with an integer, by name: their length, and the integer.
    """

    inputs: list[Call]
    calls: list[Call]
    outputs: Any
    held: dict[str, torch.Tensor]
    graph: torch.fx.GraphModule
    tables: dict[str, tuple[int, int]] = dataclasses.field(default_factory=dict)


class Untraceable(ValueError):  # noqa: N818  read as: the module is untraceable
    """Why a module could not be traced."""


def traced(module: torch.nn.Module, inputs: tuple) -> Trace:
    """The trace of a module whose integer buffers are constants already, at the lengths of these inputs."""
    try:
        with torch.no_grad():
            program = torch.export.export(module, inputs, strict=False)
            if any(_changes_its_input(node.target) for node in program.graph.nodes):
                program = program.run_decompositions({})  # operations stay whole, and none is in place
    except Exception as error:  # whatever a module's own code raises
        raise Untraceable(
            f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"
        ) from error
    graph = program.module(check_guards=False)
    held = {**dict(graph.named_parameters()), **dict(graph.named_buffers())}
    trace = Trace([], [], None, held, graph)
    known: dict[torch.fx.Node, Any] = {}
    with torch.no_grad():
        for node in graph.graph.nodes:
            known[node] = _read(node, known, trace)
    return trace


def _changes_its_input(target):
    """Whether an operation writes into what it is given; `detach_`, of a tensor made in `forward`, writes nothing."""
    is_mutable = isinstance(target, torch._ops.OpOverload) and target._schema.is_mutable
    return is_mutable and target is not torch.ops.aten.detach_.default


def _read(node, known, trace):
    """What a node gives: a call, a constant, or a Python value."""
    args, kwargs = torch.fx.node.map_arg((node.args, dict(node.kwargs)), lambda one: known[one])
    if node.op == "placeholder":
        trace.inputs.append(_call(node, (), {}))
        return trace.inputs[-1]
    if node.op == "get_attr":
        tensor = operator.attrgetter(node.target)(trace.graph)
        is_held = node.target in trace.held and "lifted_tensor" not in node.target
        return Constant(tensor, frozenset([node.target] if is_held else []), is_held)
    if node.op == "output":
        trace.outputs = args[0]
        return None
    name = str(node.target)
    if node.op != "call_function" or any(one in name for one in IGNORED):
        return None
    parts = leaves((args, kwargs))
    live = [one for one in parts if isinstance(one, Call)]
    if live and not any(f"aten.{one}." in name for one in SHAPED):
        call = _call(node, args, kwargs)
        trace.calls.append(call)
        return call
    if torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()):
        trace.calls.append(_call(node, args, kwargs))  # for the table to refuse: never computed once
        return trace.calls[-1]
    made = _computed(node, args, kwargs, parts)
    integers = [abs(one) for one in parts if type(one) is int and abs(one) < LONGEST]
    if integers and isinstance(made, Constant):
        length = max(made.array.shape[made.array.ndim > 1 :], default=1)  # the batch is none
        trace.tables[node.name] = length, max(integers)
    return made


def reach(one: Trace, other: Trace) -> float:
    """How many times its length a table of the longer trace looks: above 1 where there is a window beyond it."""
    varying = [name for name in one.tables.keys() & other.tables if one.tables[name][0] != other.tables[name][0]]
    return max((other.tables[name][1] / other.tables[name][0] for name in varying), default=1.0)


def _computed(node, args, kwargs, parts):
    """What torch makes of constants, or of the shape of what is no constant."""
    args, kwargs = mapped(
        lambda one: one.array if isinstance(one, Constant) else torch.empty(one.shape, dtype=one.dtype), (args, kwargs)
    )
    names = frozenset().union(*(one.names for one in parts if isinstance(one, Constant)))
    is_same = getattr(node.target, "_opname", "") in ("alias", "detach", "detach_", "clone", "contiguous")
    is_named = is_same and any(isinstance(one, Constant) and one.is_named for one in parts)
    return torch.utils._pytree.tree_map_only(
        torch.Tensor, lambda tensor: Constant(tensor, names, is_named), node.target(*args, **kwargs)
    )


def _call(node, args, kwargs):
    value, stack = node.meta.get("val"), list((node.meta.get("nn_module_stack") or {"": ("", None)}).values())
    shape = tuple(value.shape) if isinstance(value, torch.Tensor) else ()
    return Call(node.name, node.target, args, kwargs, stack[-1][0], shape, getattr(value, "dtype", None))


def leaves(tree):
    """All that arguments or outputs hold, calls and constants as they are."""
    return torch.utils._pytree.tree_leaves(tree, is_leaf=_is_known)


def mapped(function, tree):
    """The same with a function of each call and constant in its place."""
    return torch.utils._pytree.tree_map_only((Call, Constant), function, tree, is_leaf=_is_known)


def _is_known(one):
    return isinstance(one, (Call, Constant))


def merged(one: Trace, other: Trace) -> Trace:
    """A trace whose numbers and constants are those of both; raises `Untraceable` where they do different things."""
    if [call.target for call in one.calls] != [call.target for call in other.calls]:
        raise Untraceable("it does other things at another length")
    there = dict(zip([*other.inputs, *other.calls], [*one.inputs, *one.calls], strict=True))
    for call, longer in zip([*one.inputs, *one.calls], [*other.inputs, *other.calls], strict=True):
        call.shape = _merged(call.shape, longer.shape, there)
        call.args = _merged(call.args, longer.args, there)
        call.kwargs = _merged(call.kwargs, longer.kwargs, there)
    return dataclasses.replace(one, outputs=_merged(one.outputs, other.outputs, there))


def _merged(one: Any, other: Any, there: Mapping[Call, Call]) -> Any:
    if isinstance(one, Constant) and isinstance(other, Constant):
        alike = one.array.shape == other.array.shape and torch.equal(one.array, other.array)
        return one if alike else dataclasses.replace(one, longer=other.array)
    if isinstance(one, Call) and there.get(other) is one:
        return one
    if isinstance(one, (tuple, list)) and isinstance(other, (tuple, list)) and len(one) == len(other):
        return type(one)(_merged(a, b, there) for a, b in zip(one, other, strict=True))
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return {key: _merged(one[key], other[key], there) for key in one}
    if type(one) is int and type(other) is int and one != other:
        return Extent(one, other)
    if type(one) is type(other) and one == other:
        return one
    raise Untraceable("it does other things at another length")


@contextlib.contextmanager
def prepared(module: torch.nn.Module) -> Iterator[None]:
    """Within it a module is evaluated, and the integers that it keeps in buffers without axes are constants, which a
    trace may depend on.
    """
    changed, training = [], [(part, part.training) for part in module.modules()]
    module.eval()
    for part in module.modules():
        scalars = {
            name: buffer.item()
            for name, buffer in part._buffers.items()
            if buffer is not None and buffer.ndim == 0 and not buffer.is_floating_point()
        }
        if scalars:
            kind = type(part)
            changed.append((part, kind, dict(part._buffers)))
            for name in scalars:
                del part._buffers[name]
            frozen = {name: _constant(one) for name, one in scalars.items()}
            part.__class__ = type(kind.__name__, (kind,), frozen)
    try:
        yield
    finally:
        for part, was_training in training:
            part.training = was_training
        for part, kind, buffers in changed:
            part.__class__ = kind
            part._buffers.clear()  # to have them in their order again
            part._buffers.update(buffers)


def _constant(number):
    return property(lambda _: torch.tensor(number))
