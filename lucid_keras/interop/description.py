"""`describe`: what a checkpoint holds, and which layer each group of its tensors could belong to. No TensorFlow."""

import dataclasses
import math
import os

from lucid_keras.interop.state_dict import read_state_dict
from lucid_keras.interop.weight_norm import fold_weight_norm


@dataclasses.dataclass(frozen=True)
class Entry:
    """A tensor of a checkpoint; `layer` is what it could be loaded into, "" where nothing is known."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    layer: str


@dataclasses.dataclass(frozen=True)
class Description:
    """The entries of a checkpoint in the file's order; printed, a table."""

    entries: tuple[Entry, ...]

    def __str__(self) -> str:
        rows = [(entry.name, str(list(entry.shape)), entry.dtype, entry.layer) for entry in self.entries]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines = ["  ".join((*map(str.ljust, row[:3], widths), row[3])).rstrip() for row in rows]
        numbers = sum(math.prod(entry.shape) for entry in self.entries)
        return "\n".join([*lines, f"{len(rows)} tensors, {numbers:,} numbers"])


def describe(path: str | os.PathLike[str], key: str | None = None) -> Description:
    """List the tensors of a checkpoint with their shapes and the layers that they could be loaded into.

    Args:
        path: a checkpoint, as for `read_state_dict`.
        key: where the state dict lies in it, as for `read_state_dict`. Default None.

    Returns:
        A `Description`: its `entries` have `name`, `shape`, `dtype` and `layer`; `str()` makes a table.

    Raises:
        ValueError, TypeError, ImportError: as `read_state_dict`.

    Example:

    >>> import pathlib, tempfile, numpy as np
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "decoder.npz"
    >>> np.savez(path, **{"up.weight": np.zeros((16, 8, 4), "float32"), "up.bias": np.zeros(8, "float32")})
    >>> print(describe(path))
    up.weight  [16, 8, 4]  float32  ConvTranspose1d(16, 8, kernel_size=4)
    up.bias    [8]         float32  ConvTranspose1d(16, 8, kernel_size=4)
    2 tensors, 520 numbers
    """
    state = read_state_dict(path, key)
    try:
        folded = fold_weight_norm(state)
    except ValueError:  # what cannot be folded can still be listed
        folded = state
    shapes: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, array in folded.items():
        module, _, entry = name.rpartition(".")
        shapes.setdefault(module, {})[entry] = array.shape
    entries = []
    for name, array in state.items():
        module = name.rpartition(".")[0].partition(".parametrizations.")[0]
        entries.append(Entry(name, array.shape, array.dtype.name, _layer(shapes.get(module, {}))))
    return Description(tuple(entries))


def _layer(entries):
    """The layer that a module's entries, name to shape, could be loaded into."""
    if "running_mean" in entries:
        return "BatchNormalization"
    if "weight_ih_l0" in entries:
        return _recurrent(entries["weight_ih_l0"], entries.get("weight_hh_l0", ()))
    weight, bias = entries.get("weight"), entries.get("bias")
    if weight is None:
        return ""
    if len(weight) == 3:
        return _convolution(weight, bias)
    kinds = {1: "LayerNormalization, GroupNormalization", 2: "Dense", 4: "Conv2D or Conv2DTranspose"}
    kinds |= {1: "PReLU or RMSNormalization", 2: "Dense or Embedding"} if bias is None else {}
    return kinds.get(len(weight), "")


def _convolution(weight, bias):
    """A convolution's weight is `[out, in/groups, K]` and a transposed one's `[in, out/groups, K]`; the bias tells."""
    first, second, taps = weight
    transposed, plain = f"ConvTranspose1d({first}, {{out}}, kernel_size={taps}", f"Conv1D({first}, {taps})"
    if bias is None:
        return f"{plain} or {transposed.format(out=second)}, bias=False)"
    (out,) = bias
    possible = [plain] if out == first else []
    one_by_one = taps == 1 and possible  # nobody transposes those
    if not one_by_one and out % second == 0 and first % (groups := out // second) == 0:
        grouped = f", groups={groups})" if groups > 1 else ")"
        possible.append(transposed.format(out=out) + grouped)
    return " or ".join(possible)


def _recurrent(of_input, of_state):
    for gates, kind in ((1, "SimpleRNN"), (3, "GRU"), (4, "LSTM")):
        if len(of_input) == len(of_state) == 2 and of_state[0] == gates * of_state[1] > 0:
            return f"{kind}({of_state[1]})"
    return ""
