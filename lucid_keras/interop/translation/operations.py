"""The table of translations: a short function for each operation of PyTorch.

Each takes the site of the call and the operation's arguments, tensors as `Value` or `Constant`, and gives a `Value`.
"""

import functools
import operator

import keras
import numpy as np
import torch

from lucid_keras.interop.translation import attention, recurrence, signals
from lucid_keras.interop.translation.building import fixed, integer
from lucid_keras.interop.translation.trace import Constant, Extent
from lucid_keras.interop.translation.values import Refused, Value, at, reshaped, unsqueezed, without
from lucid_keras.layers.snake import Snake

ops, layers = keras.ops, keras.layers


# Numbers one by one -------------------------------------------------------------------------------------------------


def each(function):
    """A function of every number."""
    return lambda site, x, **_: x.of(function(x.tensor))


def binary(name, make=None):
    """An operation of two: signals, numbers, parameters."""

    def translated(site, one, other, *, alpha=1, rounding_mode=None):
        if rounding_mode is not None:
            raise Refused("it rounds")
        if alpha != 1:
            other = _scaled(site, other, alpha)
        number = next((_number(a) for a in (one, other) if not isinstance(a, Value)), None)
        values = [a for a in (one, other) if isinstance(a, Value)]
        if number is not None:
            is_nothing = (name, number) in {("add", 0), ("subtract", 0), ("multiply", 1), ("divide", 1)}
            if is_nothing and isinstance(one, Value):
                return one
            return values[0].of(
                getattr(ops, name)(*(a.tensor if isinstance(a, Value) else number for a in (one, other)))
            )
        if len(values) == 1:
            swapped = isinstance(other, Value)
            return site.with_constant(name, values[0], one if swapped else other, swapped)
        return _of_two(name, make, site, one, other)

    return translated


def _scaled(site, other, alpha):
    if isinstance(other, Value):
        return other.of(other.tensor * alpha)
    return (
        Constant(other.array * alpha, other.names, longer=other.longer)
        if isinstance(other, Constant)
        else other * alpha
    )


def _number(given):
    """The one number that an argument is, or None."""
    if not isinstance(given, Constant):
        return given if isinstance(given, (int, float)) else integer(given)
    return None if given.names and given.array.ndim else given.number


def _of_two(name, make, site, one, other):
    if one.rank != other.rank:
        raise Refused("its two inputs have different numbers of axes")
    if site.shape_of(0) == site.shape_of(1):
        tensors = [one.tensor, other.laid_out(one.axes)]
        return one.of(make()(tensors) if make else getattr(ops, name)(*tensors))
    if site.shape_of(0) != site.shape:  # the larger of the two says how both lie
        axes = other.axes
        return other.of(_broadcast(name, one.laid_out(axes), other.tensor))
    return one.of(_broadcast(name, one.tensor, other.laid_out(one.axes)))


def _broadcast(name, one, other):
    """Keras (3.15) takes the smaller of two for a bias, of another axis perhaps: a difference it takes as it is."""
    return ops.subtract(one, ops.negative(other)) if name == "add" else getattr(ops, name)(one, other)


def power(site, x, exponent):
    if isinstance(x, Value) and isinstance(exponent, (int, float)):
        return x.of({2: ops.square, 0.5: ops.sqrt, -0.5: ops.rsqrt, -1: ops.reciprocal}.get(
            exponent, lambda y: ops.power(y, exponent))(x.tensor))  # fmt: skip
    return binary("power")(site, x, exponent)


def clamp(site, x, low=None, high=None, **bounds):
    low, high = (_number(one) for one in (bounds.get("min", low), bounds.get("max", high)))
    y = x.tensor if low is None else ops.maximum(x.tensor, low)
    return x.of(y if high is None else ops.minimum(y, high))


def gelu(site, x, approximate="none"):
    return x.of(ops.gelu(x.tensor, approximate=approximate == "tanh"))


def elu(site, x, alpha=1.0, scale=1, input_scale=1):
    if (scale, input_scale) != (1, 1):
        raise Refused("it is scaled")
    return x.of(layers.ELU(alpha)(x.tensor))


def prelu(site, x, weight):
    y, axes = x.ending_with(1)
    is_one = fixed(weight).array.numel() == 1
    shared = list(range(1, x.rank if is_one else x.rank - 1))
    return Value(site.weighted(layers.PReLU, {"weight": weight}, y, shared_axes=shared), axes)


def cast(site, x, *_, **__):
    if site.call.dtype.is_floating_point:
        return x if site.call.args[0].dtype == site.call.dtype else x.of(ops.cast(x.tensor, "float32"))
    raise Refused(f"it makes {site.call.dtype} of a signal")


def same(site, x, *_, **__):
    return x


def dropout(site, x, share, training):
    if training and share:
        raise Refused("it drops numbers at random; call module.eval() first")
    return x


# Layers -------------------------------------------------------------------------------------------------------------


def linear(site, x, weight, bias=None):
    y, axes = x.ending_with(-1)
    return Value(site.weighted(layers.Dense, {"weight": weight, "bias": bias}, y,
                               units=fixed(weight).array.shape[0], use_bias=bias is not None), axes)  # fmt: skip


def embedding(site, weight, codes, *_, **__):
    entries, size = fixed(weight).array.shape
    y = site.weighted(layers.Embedding, {"weight": weight}, codes.tensor, input_dim=entries, output_dim=size)
    return Value(y, (*codes.axes, codes.rank))


def layer_norm(site, x, shape, weight=None, bias=None, eps=1e-5, *_):
    if len(shape) != 1:
        raise Refused(f"it normalizes over {len(shape)} axes")
    y, axes = x.ending_with(-1)
    entries = {"weight": weight, "bias": bias}
    return Value(site.weighted(layers.LayerNormalization, entries, y, epsilon=eps,
                               scale=weight is not None, center=bias is not None), axes)  # fmt: skip


def rms_norm(site, x, shape, weight=None, eps=None):
    if len(shape) != 1 or weight is None:
        raise Refused("it normalizes over several axes, or has no weight")
    y, axes = x.ending_with(-1)
    eps = torch.finfo(torch.float32).eps if eps is None else eps
    return Value(site.weighted(layers.RMSNormalization, {"weight": weight}, y, epsilon=eps), axes)


def group_norm(site, x, groups, weight=None, bias=None, eps=1e-5, *_):
    y, axes = x.ending_with(1)
    return Value(site.weighted(layers.GroupNormalization, {"weight": weight, "bias": bias}, y, groups=groups,
                               epsilon=eps, scale=weight is not None, center=bias is not None), axes)  # fmt: skip


def instance_norm(site, x, weight, bias, mean, variance, by_input, momentum, eps, *_):
    if not by_input:
        raise Refused("it normalizes by running statistics")
    return group_norm(site, x, site.shape_of()[1], weight, bias, eps)


def batch_norm(site, x, weight, bias, mean, variance, training, momentum, eps, *_):
    if training or mean is None:
        raise Refused("it normalizes by the batch; call module.eval() first")
    y, axes = x.ending_with(1)
    entries = {"weight": weight, "bias": bias, "running_mean": mean, "running_var": variance}
    return Value(site.weighted(layers.BatchNormalization, entries, y, epsilon=eps, momentum=1 - (momentum or 0.1),
                               scale=weight is not None, center=bias is not None), axes)  # fmt: skip


def snake(site, x, *, weights, logarithmic, shape):
    full = (1,) * (x.rank - len(shape)) + shape
    y, axes = x.ending_with(next((dim for dim, size in enumerate(full) if size > 1), 1))
    held = tuple(weights["alpha"].array.shape)
    options = {"separate_beta": "beta" in weights, "logarithmic": logarithmic, "weight_shape": held}
    return Value(site.weighted(Snake, weights, y, **options), axes)


# The order and number of axes ---------------------------------------------------------------------------------------


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
        raise Refused("a recurrence's state at its end is used")
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
    ends = [0] * (2 * x.rank)
    ends[2 * (-1 - dim % x.rank) : 2 * (-1 - dim % x.rank) + 2 or None] = (
        sum(sizes[: places[0]]),
        sum(sizes[places[0] :]),
    )
    return signals.padded(x, ends)


def stack(site, parts, dim=0):
    return concatenate(site, [unsqueezed(one, dim) for one in parts], dim)


# Sums over axes -----------------------------------------------------------------------------------------------------


def reduced(function):
    def translated(site, x, dims=None, keepdim=False, **_):
        dims = range(1, x.rank) if dims is None else [dims] if isinstance(dims, int) else dims
        dims = sorted({dim % x.rank for dim in dims})
        y = x.of(function(x.tensor, axis=[x.place(dim) for dim in dims], keepdims=True))
        for dim in () if keepdim else reversed(dims):
            y = without(y, dim, ops.squeeze(y.tensor, y.place(dim)))
        return y

    return translated


def softmax(site, x, dim, *_, **__):
    return x.of(ops.softmax(x.tensor, axis=x.place(dim)))


def matmul(site, one, other):
    if not all(isinstance(x, Value) and x.rank == len(site.shape) for x in (one, other)):
        raise Refused("it multiplies a constant, or tensors of different numbers of axes")
    axes = tuple(range(one.rank))
    return Value(ops.matmul(one.laid_out(axes), other.laid_out(axes)), axes)


# The table ----------------------------------------------------------------------------------------------------------

TABLE = {
    "abs": each(ops.abs), "sin": each(ops.sin), "cos": each(ops.cos), "exp": each(ops.exp), "log": each(ops.log),
    "log10": each(ops.log10), "sqrt": each(ops.sqrt), "rsqrt": each(ops.rsqrt), "square": each(ops.square),
    "neg": each(ops.negative), "reciprocal": each(ops.reciprocal), "tanh": each(ops.tanh), "erf": each(ops.erf),
    "sigmoid": each(ops.sigmoid), "silu": each(ops.silu), "relu": each(ops.relu), "softplus": each(ops.softplus),
    "relu6": each(ops.relu6), "mish": each(lambda x: x * ops.tanh(ops.softplus(x))), "gelu": gelu, "elu": elu,
    "leaky_relu": lambda site, x, slope=0.01: x.of(layers.LeakyReLU(negative_slope=slope)(x.tensor)),
    "hardtanh": lambda site, x, low=-1.0, high=1.0: clamp(site, x, low, high),
    "prelu": prelu, "_prelu_kernel": prelu, "clamp": clamp, "clip": clamp,
    "clamp_min": lambda site, x, low: clamp(site, x, low), "pow": power,
    "add": binary("add", layers.Add), "sub": binary("subtract", layers.Subtract),
    "mul": binary("multiply", layers.Multiply), "div": binary("divide"), "true_divide": binary("divide"),
    "rsub": lambda site, one, other, alpha=1: binary("subtract")(site, other, one),
    "maximum": binary("maximum"), "minimum": binary("minimum"),
    "to": cast, "_to_copy": cast, "type_as": cast, "alias": same, "clone": same, "contiguous": same, "detach": same,
    "dropout": dropout, "feature_dropout": dropout, "lift_fresh_copy": same,
    "linear": linear, "embedding": embedding, "layer_norm": layer_norm, "rms_norm": rms_norm,
    "group_norm": group_norm, "instance_norm": instance_norm, "batch_norm": batch_norm,
    "_native_batch_norm_legit_no_training": lambda site, *given: [batch_norm(site, *given[:5], False, *given[5:])],
    "conv1d": signals.conv1d, "conv_transpose1d": signals.conv_transpose1d, "pad": signals.pad,
    "upsample_nearest1d": signals.nearest, "upsample_linear1d": signals.linear,
    "polar": signals.polar, "complex": signals.complex_, "istft": signals.istft,
    "lstm": functools.partial(recurrence.recurrent, layers.LSTM),
    "gru": functools.partial(recurrence.recurrent, layers.GRU),
    "snake": snake, "scaled_dot_product_attention": attention.attention,
    "permute": permute, "transpose": transpose, "mT": turned_matrix, "t": turned_matrix, "swapaxes": transpose,
    "reshape": reshape, "view": reshape, "_unsafe_view": reshape, "flatten": reshape, "unflatten": reshape,
    "unsqueeze": unsqueeze, "squeeze": squeeze, "expand": expand, "slice": slice_, "narrow": narrow,
    "slice_scatter": slice_scatter, "select": select,
    "unbind": unbind, "split": split, "split_with_sizes": split, "chunk": chunk, "glu": glu, "getitem": getitem,
    "flip": flip, "cat": concatenate, "concatenate": concatenate, "stack": stack, "mean": reduced(ops.mean),
    "sum": reduced(ops.sum), "softmax": softmax, "matmul": matmul, "bmm": matmul,
}  # fmt: skip


def name_of(target) -> str:
    """An operation's name in the table."""
    return "getitem" if target is operator.getitem else getattr(target, "_opname", str(target))
