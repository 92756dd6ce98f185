"""A stride-1 `tf.nn.conv2d` over the length with gradients of its own: they are faster, and TensorFlow's CPU kernels
lack some.

With oneDNN off, or on other processors, TensorFlow convolves with groups or dilation but does not differentiate it.
The gradient by the input is again such a convolution, that by the kernel one matrix product a tap, or TensorFlow's own
where there are many taps (row 4 of `tests/benchmarks/NOTES.md`), except in narrow dtypes, in which that one sums. They
live in this process, so exported graphs, which are read back elsewhere, do without.
"""

import tensorflow as tf

from lucid_keras._lowering.edges import extents, met_by_taps
from lucid_keras._lowering.gradient import with_gradient
from lucid_keras._lowering.narrow import is_narrow

MANY_TAPS = 4


def convolve(x, kernel, spacing):
    """`[N, 1, L, C_in]` and `[1, taps, C_in/groups, C_out]`, `spacing` between the taps, to `[N, 1, M, C_out]`."""
    if kernel.shape[1] == 1:
        spacing = 1  # one tap has no neighbour to be distant from, and undilated it has a gradient
    return tf.nn.conv2d(x, kernel, strides=1, padding="VALID", dilations=[1, 1, spacing, 1])


def differentiable(x, kernel, spacing, target):
    """`convolve` with gradients of its own; where an accelerator may have better ones, those that it has."""
    groups = x.shape[3] // kernel.shape[2]
    if groups == spacing == 1 and not target.trained_on_cpu:
        return convolve(x, kernel, spacing)

    def backward(dz, x, kernel):
        dx = _by_input(dz, kernel, groups, spacing, target)
        return dx, _by_kernel(x, dz, kernel.shape, groups, spacing, target)

    return with_gradient(lambda x, kernel: convolve(x, kernel, spacing), backward, x, kernel)


def _by_input(dz, kernel, groups, spacing, target):
    """Every tap's way back: the kernel reversed, its inputs and outputs exchanged within each group."""
    _, taps, group_in, out_channels = kernel.shape
    back = tf.reshape(kernel, [taps, group_in, groups, out_channels // groups])
    back = tf.reshape(tf.transpose(back, [0, 3, 2, 1]), [1, taps, out_channels // groups, groups * group_in])
    reach = (taps - 1) * spacing
    return differentiable(tf.pad(dz, [[0, 0], [0, 0], [reach, reach], [0, 0]]), tf.reverse(back, [1]), spacing, target)


def _by_kernel(x, dz, shape, groups, spacing, target):
    """For each tap the input that it met, times what came of it."""
    _, taps, group_in, out_channels = shape
    if taps > MANY_TAPS and groups == 1 and spacing == 1 and not is_narrow(x):
        return tf.compat.v1.nn.conv2d_backprop_filter(x, shape, dz, strides=[1, 1, 1, 1], padding="VALID")
    dz = _by_group(dz, groups)
    met = reversed(met_by_taps(x, taps, spacing, target))  # in TensorFlow a convolution's first tap meets the oldest
    by_tap = tf.stack([tf.matmul(_by_group(part, groups), dz, transpose_a=True) for part in met])
    by_tap = by_tap[:, tf.newaxis] if groups == 1 else by_tap  # [taps, groups, group_in, group_out]
    return tf.reshape(tf.transpose(by_tap, [0, 2, 1, 3]), [1, taps, group_in, out_channels])


def _by_group(x, groups):
    """`[N, 1, M, groups*C]` to `[N*M, C]` for one group, to `[groups, N*M, C]` for several."""
    batch, _, length, channels = extents(x)
    if groups == 1:
        return tf.reshape(x, [batch * length, channels])
    return tf.transpose(tf.reshape(x, [batch * length, groups, channels // groups]), [1, 0, 2])
