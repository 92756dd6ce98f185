"""Translations of functions of numbers: one by one, of two, and sums and products over axes."""

import keras

from lucid_keras.interop.translation.building import integer
from lucid_keras.interop.translation.trace import Constant
from lucid_keras.interop.translation.values import Refused, Value, without

ops, layers = keras.ops, keras.layers


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
    """The one number that an argument is, or None: a parameter is none, whatever it begins with."""
    if not isinstance(given, Constant):
        return given if isinstance(given, (int, float)) else integer(given)
    return None if given.names else given.number


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
    low, high = (_bound(one) for one in (bounds.get("min", low), bounds.get("max", high)))
    y = x.tensor if low is None else ops.maximum(x.tensor, low)
    return x.of(y if high is None else ops.minimum(y, high))


def _bound(given):
    number = None if given is None else _number(given)
    if number is None and given is not None:
        raise Refused("a bound of it is a parameter, or not one number")
    return number


def gelu(site, x, approximate="none"):
    return x.of(ops.gelu(x.tensor, approximate=approximate == "tanh"))


def elu(site, x, alpha=1.0, scale=1, input_scale=1):
    if (scale, input_scale) != (1, 1):
        raise Refused("it is scaled")
    return x.of(layers.ELU(alpha)(x.tensor))


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
