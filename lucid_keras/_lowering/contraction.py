"""The stride-1 convolution inside the polyphase lowering, in the forms that dense, grouped and depthwise weights want.

Every form takes `x [N, 1, L, C_in]`, already padded, the folded weight `[groups, C_in/groups, C_out/groups, taps,
phases]`, whose last tap meets the oldest input, and a bias `[C_out]` or None; it gives `[N, M, phases*C_out]`
with `M = L - (taps - 1)*spacing`, at least 1, phase-major.
"""

import tensorflow as tf

from lucid_keras._lowering.convolution import differentiable
from lucid_keras._lowering.depthwise import depthwise, multiply_add
from lucid_keras._lowering.edges import at_least_one, extents, met_by_taps, reshape
from lucid_keras._lowering.groups import in_lanes
from lucid_keras._lowering.narrow import through_float32


def convolution(x, folded, bias, spacing, target):
    """One `tf.nn.conv2d`, grouped where the weight is; for LiteRT in the groups that its GPU accelerator takes."""
    if target.name == "litert" and folded.shape[0] > 1:
        return in_lanes(_convolution, x, folded, bias, spacing, target)
    return _convolution(x, folded, bias, spacing, target)


def _convolution(x, folded, bias, spacing, target):
    groups, group_in, group_out, taps, phases = folded.shape
    kernel = tf.reverse(tf.transpose(folded, [3, 1, 0, 4, 2]), [0])  # reversed last, when a tap is one long copy
    kernel = tf.reshape(kernel, [1, taps, group_in, groups * phases * group_out])
    if bias is not None:
        bias = _repeated(tf.reshape(bias, [groups, 1, group_out]), phases, axis=1)
        bias = tf.reshape(bias, [groups * phases * group_out])
    z = differentiable(x, kernel, bias, spacing, target)
    if groups > 1 and phases > 1:  # [groups, phases] to [phases, groups]
        batch, count, channels = extents(z)
        if target.name == "litert":  # whose GPU accelerator takes no tensor of five dimensions
            z = tf.transpose(reshape(z, [batch * count, groups, phases, group_out]), [0, 2, 1, 3])
        else:
            z = tf.transpose(reshape(z, [batch, count, groups, phases, group_out]), [0, 1, 3, 2, 4])
        z = reshape(z, [batch, count, channels])
    return z


def depthwise_convolution(x, folded, bias, spacing, target):
    """One `tf.nn.depthwise_conv2d` over the input repeated once per phase; for one input channel a group."""
    groups, _, multiplier, taps, phases = folded.shape
    kernel = tf.reshape(tf.transpose(folded, [3, 4, 0, 1, 2]), [1, taps, phases * groups, multiplier])
    over_phases = _over_phases(bias, phases)

    def convolve(x, kernel):
        return depthwise(x, kernel, None if bias is None else tf.cast(over_phases, x.dtype), spacing, target)

    return through_float32(convolve, _repeated(x, phases, axis=3), kernel, target)


def matrix_product(x, folded, bias, spacing, target):
    """The shifted inputs side by side, times the kernel: one matrix product, batched over the groups."""
    product = _one_product if folded.shape[0] == 1 else _batched_product
    z = product(x, folded, spacing, target)
    return z if bias is None else tf.nn.bias_add(z, _over_phases(bias, folded.shape[4]))


def _one_product(x, folded, spacing, target):
    """Of rank 2, because oneDNN's broadcast batched product overwrites foreign memory (TensorFlow 2.21)."""
    _, group_in, group_out, taps, phases = folded.shape
    kernel = tf.reshape(tf.transpose(folded[0], [2, 0, 3, 1]), [taps * group_in, phases * group_out])
    shifted = met_by_taps(x, taps, spacing, target)
    batch, _, count, _ = extents(shifted[0])
    columns = reshape(tf.concat(shifted, axis=3), [batch * count, taps * group_in])
    return reshape(tf.matmul(columns, kernel), [batch, count, phases * group_out])


def _batched_product(x, folded, spacing, target):
    groups, group_in, group_out, taps, phases = folded.shape
    kernel = tf.reshape(tf.transpose(folded, [0, 3, 1, 4, 2]), [groups, taps * group_in, phases * group_out])
    batch = extents(x)[0]
    filled = at_least_one(x)  # oneDNN's batched product of nothing divides by zero (TensorFlow 2.21)
    shifted = met_by_taps(filled, taps, spacing, target)
    rows, _, count, _ = extents(shifted[0])
    columns = reshape(tf.stack(shifted, axis=3), [rows * count, taps, groups, group_in])
    columns = reshape(tf.transpose(columns, [2, 0, 1, 3]), [groups, rows * count, taps * group_in])
    z = reshape(tf.matmul(columns, kernel), [groups, rows * count, phases, group_out])
    z = reshape(tf.transpose(z, [1, 2, 0, 3]), [rows, count, phases * groups * group_out])
    return z if filled is x else z[:batch]


def elementwise(x, folded, bias, spacing, target):
    """A product a tap and no convolution: for one input channel a group, where an output is a handful of products."""
    groups, _, multiplier, taps, phases = folded.shape
    kernel = tf.reshape(tf.transpose(folded, [3, 4, 0, 1, 2]), [taps, phases, groups, multiplier])
    z = through_float32(lambda *pair: multiply_add(*pair, spacing, target), x, kernel, target)
    batch, count, *_ = extents(z)
    z = z if bias is None else z + tf.reshape(bias, [groups, multiplier])
    return reshape(z, [batch, count, phases * groups * multiplier])


def _over_phases(bias, phases):
    return None if bias is None else _repeated(bias, phases, axis=0)


def _repeated(x, times, axis):
    """`x` once a phase; no TILE, which LiteRT's converter does not fold where it makes a constant much larger."""
    return tf.concat([x] * times, axis)


FORMS = {
    "convolution": convolution,
    "depthwise_convolution": depthwise_convolution,
    "matrix_product": matrix_product,
    "elementwise": elementwise,
}
