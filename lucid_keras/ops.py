"""`conv_transpose1d`: checks the tensors against the geometry, puts them in `[N, L, C]`, and calls a lowering."""

import dataclasses
import functools
from typing import Literal, get_args

import tensorflow as tf

from lucid_keras._geometry import ConvTranspose1dGeometry, requested_length
from lucid_keras._lowering.choice import LOWERINGS, Lowering, choose_lowering
from lucid_keras._lowering.conv2d_transpose import conv2d_transpose
from lucid_keras._lowering.overlap_add import overlap_add
from lucid_keras._lowering.polyphase import polyphase
from lucid_keras._lowering.target import current_target

DataFormat = Literal["channels_first", "channels_last"]
DATA_FORMATS = get_args(DataFormat)
LOWER = {"conv2d_transpose": conv2d_transpose, "overlap_add": overlap_add, "polyphase": polyphase}


def conv_transpose1d(
    x: tf.types.experimental.TensorLike,
    weight: tf.types.experimental.TensorLike,
    bias: tf.types.experimental.TensorLike | None = None,
    stride: int | tuple[int] = 1,
    padding: int | tuple[int] = 0,
    output_padding: int | tuple[int] = 0,
    groups: int = 1,
    dilation: int | tuple[int] = 1,
    *,
    data_format: DataFormat = "channels_first",
    lowering: Lowering = "auto",
) -> tf.Tensor:
    """1-D transposed convolution, with PyTorch's semantics in every parameter.

    `y[n, o, t] = bias[o] + sum x[n, i, l] * weight[i, o, k]` over the `l, k` with
    `l*stride + k*dilation - padding == t` and the `i` of `o`'s group; the adjoint of a strided convolution.

    Args:
        x: float tensor `[batch, in_channels, length]`, or unbatched `[in_channels, length]`; with
            `data_format="channels_last"` `[batch, length, in_channels]` or `[length, in_channels]`.
            Batch and length may be unknown in a graph; the batch may be empty.
        weight: `[in_channels, out_channels // groups, kernel_size]`, of `x`'s dtype, in either data format.
        bias: `[out_channels]` of `x`'s dtype, or None.
        stride: int or 1-tuple, at least 1: output positions per input position.
        padding: int or 1-tuple, at least 0: output positions cut from both ends.
        output_padding: int or 1-tuple, `0 <= output_padding < max(stride, dilation)`: positions added at the end.
        groups: int; divides `in_channels` and `out_channels`.
        dilation: int or 1-tuple, at least 1: output positions between taps.
        data_format: `"channels_first"` (default) or `"channels_last"`.
        lowering: `"auto"` (default), `"conv2d_transpose"`, `"overlap_add"` or `"polyphase"`; all give the same result.

    Returns:
        A tensor of `x`'s rank, layout and dtype, with `out_channels` channels and
        `(length - 1)*stride - 2*padding + dilation*(kernel_size - 1) + output_padding + 1` positions.

    Raises:
        ValueError: a parameter, shape or length breaks a rule; the message states the rule and what was received.
        TypeError: a parameter or dtype of the wrong type.

    Example:

    >>> import numpy as np
    >>> x = np.array([[[1., 2., 3.]]], "float32")
    >>> weight = np.array([[[1., 10.]]], "float32")
    >>> print(conv_transpose1d(x, weight, stride=2).numpy())
    [[[ 1. 10.  2. 20.  3. 30.]]]

    Source: V. Dumoulin and F. Visin, "A guide to convolution arithmetic for deep learning", arXiv:1603.07285.
    """
    check_choice("data_format", data_format, DATA_FORMATS)
    check_choice("lowering", lowering, LOWERINGS)
    weight = tf.convert_to_tensor(weight)
    geometry = ConvTranspose1dGeometry.of_weight(
        weight.shape.as_list(),
        groups=groups,
        stride=stride,
        padding=padding,
        output_padding=output_padding,
        dilation=dilation,
    )
    if bias is not None:
        bias = tf.convert_to_tensor(bias)
        if bias.shape.as_list() != [geometry.out_channels]:
            raise ValueError(
                f"bias must have the shape [out_channels] = [{geometry.out_channels}]. "
                f"Received: bias of shape {bias.shape.as_list()}"
            )
    return apply_geometry(geometry, x, weight, bias, data_format=data_format, lowering=lowering)


def apply_geometry(geometry, x, weight, bias, *, data_format, lowering, output_size=None, jit_compile=False):
    """`conv_transpose1d` for a geometry that is already validated, and a `weight` and `bias` that fit it."""
    x, weight = tf.convert_to_tensor(x), tf.convert_to_tensor(weight)
    bias = None if bias is None else tf.convert_to_tensor(bias)
    _check_dtypes(x, weight, bias)
    if x.shape.rank is None:
        raise ValueError("The input's rank must be known, 2 (unbatched) or 3 (batched). Received: an unknown rank")
    geometry.output_shape(x.shape.as_list(), data_format, output_size)  # raises here, not inside a function or compiler
    geometry, output_size = _sized(geometry, x.shape, data_format, output_size)
    unbatched = x.shape.rank == 2
    if unbatched:
        x = tf.expand_dims(x, 0)
    if lowering == "auto":  # before a trace is looked up, so that the numbers do not depend on earlier calls
        lowering = choose_lowering(geometry, current_target(), _positions(x.shape, data_format))
    how = (geometry, data_format, lowering, output_size)
    if jit_compile and current_target() == "tensorflow":  # an exported graph carries no must-compile attribute
        run = _jitted(*how)
    elif tf.executing_eagerly():
        run = _traced(*how)
    else:
        run = functools.partial(_compute, *how)
    y = run(x, weight, bias)
    return tf.squeeze(y, 0) if unbatched else y


def _positions(shape, data_format):
    """Batch times length, or None where either is unknown."""
    batch, length = shape[0], shape[2 if data_format == "channels_first" else 1]
    return None if batch is None or length is None else batch * length


def _sized(geometry, shape, data_format, output_size):
    """The geometry that gives `output_size`, and what is left to ask for: the length, where the input's is unknown."""
    if output_size is None:
        return geometry, None
    output_size = requested_length(output_size, shape.rank, data_format)
    length = shape[-1 if data_format == "channels_first" else -2]
    return (geometry, output_size) if length is None else (geometry.for_output_size(length, output_size), None)


@functools.cache
def _jitted(*how):
    """One compiled function per geometry, shared by every layer that has it; XLA compiles it once per input shape."""
    return tf.function(functools.partial(_compute, *how), jit_compile=True, autograph=False)


@functools.lru_cache(maxsize=256)
def _traced(*how):
    """For eager calls: as a graph, two to four times as fast as op by op; a second input shape relaxes its trace."""
    return tf.function(functools.partial(_compute, *how), reduce_retracing=True, autograph=False)


def _compute(geometry, data_format, lowering, output_size, x, weight, bias):
    """The operation on a batched input."""
    if data_format == "channels_first":
        x = tf.transpose(x, [0, 2, 1])
    y = _to_length(geometry, x, weight, bias, lowering, output_size)
    return tf.transpose(y, [0, 2, 1]) if data_format == "channels_first" else y


def _to_length(geometry, x, weight, bias, lowering, output_size):
    """The operation on `[N, L, C_in]`; where L is unknown it is checked at run time, and `output_size` may be given."""
    if x.shape[1] is not None:
        return LOWER[lowering](geometry, x, weight, bias)
    if output_size is None:
        x = _checked_at_run_time(x, geometry, lambda out: out >= 0, "The output length must not be negative")
        return LOWER[lowering](geometry, x, weight, bias)
    longest = dataclasses.replace(geometry, output_padding=geometry.stride - 1)
    x = _checked_at_run_time(
        x,
        longest,
        lambda out: (out - geometry.stride < output_size) & (output_size <= out),
        f"requested an output size of {output_size}, which is outside the valid sizes for this input length",
    )
    return LOWER[lowering](longest, x, weight, bias)[:, :output_size]


def _checked_at_run_time(x, geometry, output_length_is_valid, rule):
    """`x [N, L, C]` behind assertions on its length; XLA and LiteRT, which know no assertions, leave them out."""
    length = tf.shape(x)[1]
    out = length * geometry.stride + geometry.length_offset
    checks = [
        tf.debugging.Assert(length > 0, ["Expected an input of at least one position. Received: length", length]),
        tf.debugging.Assert(output_length_is_valid(out), [f"{rule}. Received: input length", length, str(geometry)]),
    ]
    with tf.control_dependencies(checks):
        return tf.identity(x)


def _check_dtypes(x, weight, bias):
    if not x.dtype.is_floating:
        raise TypeError(f"The input must be floating point. Received: an input of dtype {x.dtype.name}")
    for name, tensor in (("weight", weight), ("bias", bias)):
        if tensor is not None and tensor.dtype != x.dtype:
            raise TypeError(
                f"The input and the {name} must have one dtype. Received: an input of dtype {x.dtype.name}, "
                f"a {name} of dtype {tensor.dtype.name}"
            )


def check_choice(name, value, choices):
    """Raise unless `value` is one of the strings in `choices`."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}. Received: {name}={value!r}")
