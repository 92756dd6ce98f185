"""The stride-1 convolution inside the polyphase lowering, in the forms that dense, grouped and depthwise weights want.

Every form takes `x [N, 1, L, C_in]`, already padded, the folded weight `[groups, C_in/groups, C_out/groups, taps,
phases]`, whose last tap meets the oldest input, and a bias `[C_out]` or None; it gives `[N, 1, M, phases*C_out]`
with `M = L - (taps - 1)*spacing`, phase-major.
"""

import tensorflow as tf

from lucid_keras._lowering.convolution import convolve, differentiable
from lucid_keras._lowering.depthwise import depthwise, multiply_add
from lucid_keras._lowering.edges import extents, met_by_taps, shortfall
from lucid_keras._lowering.narrow import through_float32


def contract(form, x, folded, bias, spacing, target):
    """The form by that name, never given an empty batch or asked for an empty output.

    TensorFlow's CPU kernels get those wrong (2.21): oneDNN's convolution gives an empty batch the shape of its input,
    its batched product divides by zero, and the gradient of a kernel from an empty output is whatever the memory held.
    So an empty input gains a row or positions of zeros, which go again. Where the shape is known and not empty, as
    almost always, this adds nothing to the graph.
    """
    batch, _, length, _ = extents(x)
    receptive = (folded.shape[3] - 1) * spacing
    rows, positions = shortfall(batch), shortfall(length - receptive)
    if target.name == "litert" or (rows is None and positions is None):
        return FORMS[form](x, folded, bias, spacing, target)
    filled = tf.pad(x, [[0, 0 if rows is None else rows], [0, 0], [0, 0 if positions is None else positions], [0, 0]])
    return FORMS[form](filled, folded, bias, spacing, target)[:batch, :, : length - receptive]


def convolution(x, folded, bias, spacing, target):
    """One `tf.nn.conv2d`, grouped where the weight is."""
    groups, group_in, group_out, taps, phases = folded.shape
    kernel = tf.reverse(tf.transpose(folded, [3, 1, 0, 4, 2]), [0])  # reversed last, when a tap is one long copy
    kernel = tf.reshape(kernel, [1, taps, group_in, groups * phases * group_out])
    z = differentiable(x, kernel, spacing, target) if target.name == "tensorflow" else convolve(x, kernel, spacing)
    if bias is not None:
        over_phases = _repeated(tf.reshape(bias, [groups, 1, group_out]), phases, axis=1)
        over_phases = tf.reshape(over_phases, [groups * phases * group_out])
        # TensorFlow fuses a bias_add into the convolution, and without oneDNN refuses the fused one with groups (2.21).
        z = tf.nn.bias_add(z, over_phases) if groups == 1 else z + over_phases
    if groups > 1 and phases > 1:  # [groups, phases] to [phases, groups]
        shape = extents(z)
        z = tf.reshape(z, [shape[0], shape[2], groups, phases, group_out])
        z = tf.reshape(tf.transpose(z, [0, 1, 3, 2, 4]), [shape[0], 1, shape[2], phases * groups * group_out])
    return z


def depthwise_convolution(x, folded, bias, spacing, target):
    """One `tf.nn.depthwise_conv2d` over the input repeated once per phase; for one input channel a group."""
    groups, _, multiplier, taps, phases = folded.shape
    kernel = tf.reshape(tf.transpose(folded, [3, 4, 0, 1, 2]), [1, taps, phases * groups, multiplier])
    z = through_float32(lambda *pair: depthwise(*pair, spacing, target), _repeated(x, phases, axis=3), kernel, target)
    return z if bias is None else tf.nn.bias_add(z, _repeated(bias, phases, axis=0))


def matrix_product(x, folded, bias, spacing, target):
    """The shifted inputs side by side, times the kernel: one matrix product, batched over the groups."""
    groups, group_in, group_out, taps, phases = folded.shape
    kernel = tf.reshape(tf.transpose(folded, [0, 3, 1, 4, 2]), [groups, taps * group_in, phases * group_out])
    shifted = met_by_taps(x, taps, spacing, target)
    batch, _, length, _ = extents(shifted[0])
    if groups == 1:  # rank 2, because oneDNN's broadcast batched product overwrites foreign memory (TensorFlow 2.21)
        columns = tf.reshape(tf.concat(shifted, axis=3), [batch * length, taps * group_in])
        z = tf.reshape(tf.matmul(columns, kernel[0]), [batch, 1, length, phases * group_out])
    else:
        columns = tf.reshape(tf.stack(shifted, axis=3), [batch * length, taps, groups, group_in])
        columns = tf.reshape(tf.transpose(columns, [2, 0, 1, 3]), [groups, batch * length, taps * group_in])
        z = tf.reshape(tf.matmul(columns, kernel), [groups, batch * length, phases, group_out])
        z = tf.reshape(tf.transpose(z, [1, 2, 0, 3]), [batch, 1, length, phases * groups * group_out])
    return z if bias is None else tf.nn.bias_add(z, _repeated(bias, phases, axis=0))


def elementwise(x, folded, bias, spacing, target):
    """A product a tap and no convolution: for one input channel a group, where an output is a handful of products."""
    groups, _, multiplier, taps, phases = folded.shape
    kernel = tf.reshape(tf.transpose(folded, [3, 4, 0, 1, 2]), [taps, phases, groups, multiplier])
    z = through_float32(lambda *pair: multiply_add(*pair, spacing, target), x, kernel, target)
    batch, count, *_ = extents(z)
    z = z if bias is None else z + tf.reshape(bias, [groups, multiplier])
    return tf.reshape(z, [batch, 1, count, phases * groups * multiplier])


def _repeated(x, times, axis):
    """`x` once a phase; no TILE, which LiteRT's converter does not fold where it makes a constant much larger."""
    return tf.concat([x] * times, axis)


FORMS = {
    "convolution": convolution,
    "depthwise_convolution": depthwise_convolution,
    "matrix_product": matrix_product,
    "elementwise": elementwise,
}
