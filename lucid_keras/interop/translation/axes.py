"""Translations of what turns, cuts, joins and takes apart axes."""

import keras
import numpy as np

from lucid_keras.interop.translation import signals
from lucid_keras.interop.translation.building import fixed, integer
from lucid_keras.interop.translation.trace import Constant, Extent
from lucid_keras.interop.translation.values import Refused, Value, at, reshaped, unsqueezed, without

ops, layers = keras.ops, keras.layers


def permute(site, x, dims):
    return x.turned(dims)


def transpose(site, x, one, other):
    dims = list(range(x.rank))
    dims[one], dims[other] = dims[other], dims[one]
    return x.turned(dims)


def turned_matrix(site, x):
    return transpose(site, x, -2, -1)


def reshape(site, x, *_):
    return reshaped(x, site.shape_of(), site.shape)


def unsqueeze(site, x, dim):
    return unsqueezed(x, dim)


def squeeze(site, x, dims=None):
    sizes = site.shape_of()
    dims = range(x.rank) if dims is None else [dims] if isinstance(dims, int) else dims
    for dim in sorted({dim % x.rank for dim in dims}, reverse=True):
        if sizes[dim] == 1 and x.place(dim) == 0:
            raise Refused("it takes the batch away, which is one here: trace it with a larger one")
        if sizes[dim] == 1:
            x = without(x, dim, ops.squeeze(x.tensor, x.place(dim)))
    return x


def expand(site, x, sizes, **_):
    if len(sizes) != x.rank:
        raise Refused("it adds axes")
    y = x.tensor
    for dim, (old, new) in enumerate(zip(site.shape_of(), site.shape, strict=True)):
        if old != new:
            y = ops.repeat(y, integer(new), axis=x.place(dim))
    return x.of(y)


def _cut(x, dim, start, stop, step=1):
    """`x` from one number on, up to so many before its end."""
    if not start and not stop and step == 1:
        return x
    if x.rank == 3 and x.place(dim) == 1 and step == 1:
        return x.of(layers.Cropping1D((start, stop))(x.tensor))
    index = [slice(None)] * x.rank
    index[x.place(dim)] = slice(start, -stop or None, step)
    return x.of(x.tensor[tuple(index)])


def slice_(site, x, dim=0, start=None, end=None, step=1):
    size = site.shape_of()[dim]
    bounds = [slice(at(start or 0, length), None if end is None else at(end, length)).indices(at(size, length))
              for length in range(2)]  # fmt: skip
    starts = {first for first, _, _ in bounds}
    left = {at(size, length) - max(bounds[length][:2]) for length in range(2)}
    if len(starts) == 1 and len(left) == 1:
        return _cut(x, dim, starts.pop(), left.pop(), step)
    if len(set(bounds)) == 1 and step == 1:  # as many at any length
        first, last, _ = bounds[0]
        index = [slice(None)] * x.rank
        index[x.place(dim)] = slice(first, last)
        return x.of(x.tensor[tuple(index)])
    raise Refused("it begins at a place computed from the length")


def slice_scatter(site, x, part, dim=0, start=None, end=None, step=1):
    """What is left of `x` before and after a part that takes another's place."""
    size = integer(site.shape_of()[dim])
    first, last, _ = slice(start, end).indices(size)
    if step != 1:
        raise Refused("it has a step")
    before = [_cut(x, dim, 0, size - first)] if first > 0 else []
    after = [_cut(x, dim, last, 0)] if last < size else []
    return concatenate(site, [*before, part, *after], dim)


def narrow(site, x, dim, start, length):
    return slice_(site, x, dim, start, Extent(*(at(start, one) + at(length, one) for one in range(2))))


def _part(x, dim, index):
    """One element of an axis, which goes."""
    key = [slice(None)] * x.rank
    key[x.place(dim)] = index
    return without(x, dim, x.tensor[tuple(key)])


def select(site, x, dim, index):
    if isinstance(site.shape_of()[dim], Extent) and integer(index) < 0:
        raise Refused("it takes a place counted from the end")
    return _part(x, dim, integer(index))


def unbind(site, x, dim=0):
    return [_part(x, dim, index) for index in range(integer(site.shape_of()[dim]))]


def split(site, x, sizes, dim=0):
    total = integer(site.shape_of()[dim])
    if isinstance(sizes, int):
        sizes = [min(sizes, total - start) for start in range(0, total, sizes)]
    starts = np.cumsum([0, *sizes]).tolist()
    return [_cut(x, dim, start, total - start - size) for start, size in zip(starts, sizes, strict=False)]


def chunk(site, x, count, dim=0):
    return split(site, x, -(-integer(site.shape_of()[dim]) // count), dim)


def glu(site, x, dim=-1):
    signal, gate = chunk(site, x, 2, dim)
    return signal.of(signal.tensor * ops.sigmoid(gate.tensor))


def getitem(site, parts, index):
    if parts[index] is None:
        raise Refused("what it gives beside its signal is used, as a recurrence's last state")
    return parts[index]


def flip(site, x, dims):
    return x.of(ops.flip(x.tensor, [x.place(dim) for dim in dims]))


def concatenate(site, parts, dim=0):
    values = [one for one in parts if isinstance(one, Value)]
    first = values[0]
    if len(values) < len(parts):
        return _padded_by(first, parts, dim)
    tensors = [first.tensor, *(one.laid_out(first.axes) for one in values[1:])]
    return first.of(layers.Concatenate(axis=first.place(dim))(tensors))


def _padded_by(x, parts, dim):
    """Zeros beside a signal are its padding."""
    places = [index for index, one in enumerate(parts) if isinstance(one, Value)]
    sizes = [fixed(one).array.shape[dim] for one in parts if isinstance(one, Constant) and one.number == 0]
    if len(places) != 1 or len(sizes) != len(parts) - 1:
        raise Refused("it joins a signal with constants that are not zeros")
    ends, place = [0] * (2 * x.rank), 2 * (x.rank - 1 - dim % x.rank)
    ends[place : place + 2] = sum(sizes[: places[0]]), sum(sizes[places[0] :])
    return signals.padded(x, ends)


def stack(site, parts, dim=0):
    return concatenate(site, [unsqueezed(one, dim) for one in parts], dim)
