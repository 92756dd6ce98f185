"""A stride-1 `tf.nn.conv2d` over the length with gradients of its own: they are faster, and TensorFlow's CPU kernels
lack some.

With oneDNN off, or on other processors, TensorFlow convolves with groups or dilation but does not differentiate it.
The gradient by the input is again such a convolution, that by the kernel one matrix product a tap, or TensorFlow's own
where there are many taps (row 4 of `tests/benchmarks/NOTES.md`), except in narrow dtypes, in which that one sums. They
live in this process, so exported graphs, which are read back elsewhere, do without.
"""

import tensorflow as tf

from lucid_keras._lowering.edges import at_least_one, extents, met_by_taps, reshape
from lucid_keras._lowering.gradient import with_gradient
from lucid_keras._lowering.narrow import is_narrow

MANY_TAPS = 4


def differentiable(x, kernel, bias, spacing, target):
    """`[N, 1, L, C_in]` and `[1, taps, C_in/groups, C_out]`, `spacing` between the taps, to `[N, M, C_out]`.

    In this process on the CPU with gradients of its own; elsewhere, where an accelerator may have better ones, with
    those that it has.
    """
    groups = x.shape[3] // kernel.shape[2]
    if target.name != "tensorflow" or (groups == spacing == 1 and not target.trained_on_cpu):
        return _convolve(x, kernel, bias, spacing)

    def compute(x, kernel, bias=None):
        return _convolve(x, kernel, bias, spacing)

    def gradients(dz, x, kernel):
        dx = _by_input(dz, kernel, groups, spacing, target)
        return dx, _by_kernel(x, dz, kernel.shape, groups, spacing, target)

    return with_own_gradients(compute, gradients, x, kernel, bias)


def with_own_gradients(compute, gradients, x, kernel, bias):
    """`compute(x, kernel[, bias])`, whose `gradients(dz, x, kernel)` by the first two are never asked of nothing.

    Of an empty batch TensorFlow's gradient by a kernel is what the memory held (2.21).
    """

    def backward(dz, x, kernel, bias=None):
        filled, dz = at_least_one(x), at_least_one(dz)
        dx, dkernel = gradients(dz, filled, kernel)
        dx = dx if filled is x else dx[: extents(x)[0]]
        return (dx, dkernel) if bias is None else (dx, dkernel, tf.reduce_sum(dz, [0, 1]))

    return with_gradient(compute, backward, x, kernel, *([] if bias is None else [bias]))


def _convolve(x, kernel, bias, spacing):
    _, taps, group_in, _ = kernel.shape
    if taps == 1:
        spacing = 1  # one tap has no neighbour to be distant from, and undilated it has a gradient
    z = tf.nn.conv2d(x, kernel, strides=1, padding="VALID", dilations=[1, 1, spacing, 1])
    # TensorFlow fuses a bias_add into the convolution, and without oneDNN refuses the fused one with groups (2.21).
    return finished(z, x, (taps - 1) * spacing, bias, tf.nn.bias_add if group_in == x.shape[3] else tf.add)


def finished(z, x, reach, bias, add=tf.nn.bias_add):
    """`z [N, 1, M, C]`, a convolution of `x` with a kernel of `reach`, as `[N, M, C]` and with the bias added.

    To an empty batch oneDNN's convolution gives the shape of its input (TensorFlow 2.21). So where the batch may be
    empty its result is told its own before anything is done with it, and in another rank, since TensorFlow drops a
    reshape to the rank and shape that it expects; LiteRT's converter sees through it, and fuses the bias all the same.
    """
    batch, _, length, _ = extents(x)
    there = isinstance(batch, int) and batch > 0
    if bias is not None and there:
        z = add(z, bias)
    z = reshape(z, [batch, length - reach, z.shape[3]])
    return z if bias is None or there else z + bias


def _by_input(dz, kernel, groups, spacing, target):
    """Every tap's way back: the kernel reversed, its inputs and outputs exchanged within each group."""
    _, taps, group_in, out_channels = kernel.shape
    back = tf.reshape(kernel, [taps, group_in, groups, out_channels // groups])
    back = tf.reshape(tf.transpose(back, [0, 3, 2, 1]), [1, taps, out_channels // groups, groups * group_in])
    reach = (taps - 1) * spacing
    dz = tf.pad(tf.expand_dims(dz, 1), [[0, 0], [0, 0], [reach, reach], [0, 0]])
    return tf.expand_dims(differentiable(dz, tf.reverse(back, [1]), None, spacing, target), 1)


def _by_kernel(x, dz, shape, groups, spacing, target):
    """For each tap the input that it met, times what came of it."""
    _, taps, group_in, out_channels = shape
    if taps > MANY_TAPS and groups == 1 and spacing == 1 and not is_narrow(x):
        dz = tf.expand_dims(dz, 1)
        return tf.compat.v1.nn.conv2d_backprop_filter(x, shape, dz, strides=[1, 1, 1, 1], padding="VALID")
    dz = _by_group(dz, groups)
    met = reversed(met_by_taps(x, taps, spacing, target))  # in TensorFlow a convolution's first tap meets the oldest
    by_tap = tf.stack([tf.matmul(_by_group(part, groups), dz, transpose_a=True) for part in met])
    by_tap = by_tap[:, tf.newaxis] if groups == 1 else by_tap  # [taps, groups, group_in, group_out]
    return tf.reshape(tf.transpose(by_tap, [0, 2, 1, 3]), [1, taps, group_in, out_channels])


def _by_group(x, groups):
    """`[N, M, groups*C]` to `[N*M, C]` for one group, to `[groups, N*M, C]` for several; `[N, 1, M, ...]` too."""
    channels = x.shape[-1]
    if groups == 1:
        return tf.reshape(x, [-1, channels])
    return tf.transpose(tf.reshape(x, [-1, groups, channels // groups]), [1, 0, 2])
