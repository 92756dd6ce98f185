"""`conv_transpose1d`: checks the tensors against the geometry, puts them in `[N, L, C]`, and calls a lowering."""

import dataclasses
import functools
from typing import Literal, get_args

import keras
import tensorflow as tf

from lucid_keras._arguments import check_choice
from lucid_keras._geometry import ConvTranspose1dGeometry
from lucid_keras._lowering.choice import LOWERINGS, Lowering, choose_lowering
from lucid_keras._lowering.lowerings import LOWER
from lucid_keras._lowering.narrow import is_narrow, with_bias_gradient
from lucid_keras._lowering.target import current_target

DataFormat = Literal["channels_first", "channels_last"]
DATA_FORMATS = get_args(DataFormat)


def conv_transpose1d(
    x: tf.types.experimental.TensorLike | keras.KerasTensor,
    weight: tf.types.experimental.TensorLike | keras.KerasTensor,
    bias: tf.types.experimental.TensorLike | keras.KerasTensor | None = None,
    stride: int | tuple[int] = 1,
    padding: int | tuple[int] = 0,
    output_padding: int | tuple[int] = 0,
    groups: int = 1,
    dilation: int | tuple[int] = 1,
    *,
    data_format: DataFormat = "channels_first",
    lowering: Lowering = "auto",
) -> tf.Tensor | keras.KerasTensor:
    """1-D transposed convolution, with PyTorch's semantics in every parameter.

    `y[n, o, t] = bias[o] + sum x[n, i, l] * weight[i, o, k]` over the `l, k` with
    `l*stride + k*dilation - padding == t` and the `i` of `o`'s group; the adjoint of a strided convolution.

    Where an argument is a `keras.KerasTensor`, as `keras.Input` makes them, this is an operation of a functional model,
    as in `keras.ops`. The arrays beside it are constants of that model, and saved in its config.

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
        lowering: `"auto"` (default), `"conv2d_transpose"`, `"fast_fir"`, `"overlap_add"` or `"polyphase"`; all give the
            same result, `"fast_fir"` with a rounding of its own.

    Returns:
        A tensor of `x`'s rank, layout and dtype, with `out_channels` channels and
        `(length - 1)*stride - 2*padding + dilation*(kernel_size - 1) + output_padding + 1` positions.

    Raises:
        ValueError: a parameter, shape or length breaks a rule; the message states the rule and what was received.
        TypeError: a parameter or dtype of the wrong type; a variable in a functional model, which belongs into a layer.

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
    sizes = {"stride": stride, "padding": padding, "output_padding": output_padding, "dilation": dilation}
    if any(isinstance(tensor, keras.KerasTensor) for tensor in (x, weight, bias)):
        symbolic = ConvTranspose1dOperation(**sizes, groups=groups, data_format=data_format, lowering=lowering)
        return symbolic.symbolic_call(x, weight, bias)
    weight = as_tensor("weight", weight)
    bias = None if bias is None else as_tensor("bias", bias)
    geometry = _geometry_of(weight, bias, groups=groups, **sizes)
    return apply_geometry(geometry, x, weight, bias, data_format=data_format, lowering=lowering)


@keras.saving.register_keras_serializable(package="lucid_keras")
class ConvTranspose1dOperation(keras.Operation):
    """`conv_transpose1d` with its arguments but the tensors, as a functional model holds it."""

    def __init__(self, name=None, **arguments):
        super().__init__(name=name)
        self.arguments = arguments

    def call(self, x, weight, bias=None):
        return conv_transpose1d(x, weight, bias, **self.arguments)

    def compute_output_spec(self, x, weight, bias=None):
        x, weight = _specified("x", x), _specified("weight", weight)
        bias = None if bias is None else _specified("bias", bias)
        parameters = dict(self.arguments)
        data_format, _ = parameters.pop("data_format"), parameters.pop("lowering")
        geometry = _geometry_of(weight, bias, **parameters)
        _check_dtypes(x, weight, bias)
        return keras.KerasTensor(geometry.output_shape(extents_of(x), data_format), dtype=x.dtype.name)

    def get_config(self):
        return {**super().get_config(), **self.arguments}


def _specified(name, value):
    """Shape and dtype of a symbolic tensor or of a constant; raises for a variable, which no model would train."""
    if isinstance(value, keras.KerasTensor):
        return tf.TensorSpec(value.shape, value.dtype)
    if isinstance(value, (keras.Variable, tf.Variable)):
        raise TypeError(
            f"{name} must be no variable where a functional model is built, which would neither train nor save it: use "
            f"the layer ConvTranspose1d. Received: {name} of type {type(value).__name__}"
        )
    return as_tensor(name, value)


def _geometry_of(weight, bias, **parameters):
    """The geometry that a weight and the parameters make; raises unless the bias fits it."""
    geometry = ConvTranspose1dGeometry.of_weight(extents_of(weight), **parameters)
    if bias is not None and extents_of(bias) != [geometry.out_channels]:
        raise ValueError(
            f"bias must have the shape [out_channels] = [{geometry.out_channels}]. "
            f"Received: bias of shape {extents_of(bias)}"
        )
    return geometry


def apply_geometry(
    geometry, x, weight, bias, *, data_format, lowering, output_size=None, jit_compile=False, target=None
):
    """`conv_transpose1d` for a geometry that is already validated, and a `weight` and `bias` that fit it.

    A caller that has read the target gives it; else it is read here, once.
    """
    x, weight = as_tensor("x", x), tf.convert_to_tensor(weight)
    bias = None if bias is None else tf.convert_to_tensor(bias)
    _check_dtypes(x, weight, bias)
    if x.shape.rank is None:
        raise ValueError("The input's rank must be known, 2 (unbatched) or 3 (batched). Received: an unknown rank")
    geometry, output_length = geometry.sized(x.shape.as_list(), data_format, output_size)
    unbatched = x.shape.rank == 2
    if unbatched:
        x = tf.expand_dims(x, 0)
    batch, length = x.shape[0], x.shape[2 if data_format == "channels_first" else 1]
    target = current_target() if target is None else target
    if lowering == "auto":  # before a trace is looked up, so that the numbers do not depend on earlier calls
        lowering = choose_lowering(geometry, target, batch, length, x.dtype.name)
    if jit_compile == "auto":  # what traces a graph decides for all of it, and a SavedModel must not ask for XLA
        jit_compile = tf.executing_eagerly() and not target.trained_on_cpu
    jitted = jit_compile and target.name == "tensorflow"  # an exported graph carries no must-compile attribute
    if jitted:
        target = dataclasses.replace(target, name="xla")
    how = (geometry, data_format, lowering, output_length if length is None else None, target)
    run = _function(jitted, *how) if jitted or tf.executing_eagerly() else functools.partial(_compute, *how)
    y = run(x, weight, bias)
    return tf.squeeze(y, 0) if unbatched else y


@functools.lru_cache(maxsize=128)
def _function(jitted, *how):
    """One function per geometry and target, which all layers share; the 128 last used stay.

    Jitted, XLA compiles it once per input shape, and keeps what it compiled. Else it is for eager calls: two to four
    times as fast as op by op; a second input shape relaxes its trace.
    """
    compute = functools.partial(_compute, *how)
    return tf.function(compute, jit_compile=jitted or None, reduce_retracing=not jitted, autograph=False)


def _compute(geometry, data_format, lowering, output_length, target, x, weight, bias):
    """The operation on a batched input; an `output_length` is given only where the input's is unknown."""
    if data_format == "channels_first":
        x = tf.transpose(x, [0, 2, 1])
    if x.shape[1] is None:
        x = _checked_at_run_time(x, geometry, output_length)
    if bias is not None and is_narrow(x) and (target.name == "tensorflow" or target.trained_on_cpu):
        y = with_bias_gradient(LOWER[lowering](geometry, x, weight, tf.stop_gradient(bias), target), bias)
    else:
        y = LOWER[lowering](geometry, x, weight, bias, target)
    if output_length is not None:
        y = y[:, :output_length]
    return tf.transpose(y, [0, 2, 1]) if data_format == "channels_first" else y


def _checked_at_run_time(x, geometry, output_length):
    """`x [N, L, C]` behind assertions on its length; XLA and LiteRT, which know no assertions, leave them out."""
    length = tf.shape(x)[1]
    out = length * geometry.stride + geometry.length_offset
    valid, rule = out >= 0, "The output length must not be negative"
    if output_length is not None:
        valid = (out - geometry.stride < output_length) & (output_length <= out)
        rule = f"requested an output size of {output_length}, which is outside the valid sizes for this input length"
    checks = [
        tf.debugging.Assert(length > 0, ["Expected an input of at least one position. Received: length", length]),
        tf.debugging.Assert(valid, [f"{rule}. Received: input length", length, str(geometry)]),
    ]
    with tf.control_dependencies(checks):
        return tf.identity(x)


def _check_dtypes(x, weight, bias):
    check_floating(x.dtype)
    for name, tensor in (("weight", weight), ("bias", bias)):
        if tensor is not None and tensor.dtype != x.dtype:
            raise TypeError(
                f"The input and the {name} must have one dtype. Received: an input of dtype {x.dtype.name}, "
                f"a {name} of dtype {tensor.dtype.name}"
            )


def as_tensor(what, value):
    """`value` as a tensor; raises unless it is one, an array or nested numbers. The last word of `what` is its name."""
    try:
        return tf.convert_to_tensor(value)
    except (TypeError, ValueError, AttributeError, tf.errors.OpError):
        name = what.rpartition(" ")[2]
        raise TypeError(
            f"{what} must be a tensor or an array. Received: {name} of type {type(value).__name__}"
        ) from None


def extents_of(tensor):
    """The shape of a tensor as a list; None where not even its rank is known."""
    return None if tensor.shape.rank is None else tensor.shape.as_list()


def check_floating(dtype):
    """Raise unless an input's dtype, or its name, is a floating-point one."""
    if not tf.as_dtype(dtype).is_floating:
        raise TypeError(f"The input must be floating point. Received: an input of dtype {tf.as_dtype(dtype).name}")
