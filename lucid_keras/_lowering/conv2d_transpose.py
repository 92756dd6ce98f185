"""The canonical lowering: `tf.nn.conv2d_transpose` with height 1, groups by split and concat.

Dilation is a zero-stuffed kernel, because TensorFlow's CPU kernels refuse it otherwise, and output padding is the
explicit output shape. The kernel can write at most `stride - 1` positions past the last tap; zeros make up the rest.
Narrow dtypes go through float32 on a CPU, also because TensorFlow's gradient by a bfloat16 kernel shorter than the
stride reads foreign memory where there is one output channel and one position (2.21).
"""

import functools

import tensorflow as tf

from lucid_keras._lowering.edges import crop, extents, pad_or_crop
from lucid_keras._lowering.narrow import through_float32


def conv2d_transpose(geometry, x, weight, bias, target):
    """`[N, L, C_in]` and `[C_in, C_out/groups, K]` to `[N, L_out, C_out]`."""
    g = geometry
    extension = min(max(g.output_padding - g.padding, 0), g.stride - 1)
    x = tf.expand_dims(x, 1)
    kernel = _kernel(weight, g.dilation)
    pieces = [
        through_float32(functools.partial(_one_group, g, extension), x_group, kernel_group, target)
        for x_group, kernel_group in zip(
            tf.split(x, g.groups, axis=3) if g.groups > 1 else [x],
            tf.split(kernel, g.groups, axis=3) if g.groups > 1 else [kernel],
            strict=True,
        )
    ]
    full = tf.concat(pieces, axis=3) if g.groups > 1 else pieces[0]
    full = pad_or_crop(full, 0, g.output_padding - g.padding - extension, 2, target)
    y = tf.squeeze(crop(full, g.padding, 0, 2, target), 1)
    return y if bias is None else tf.nn.bias_add(y, bias)


def _kernel(weight, dilation):
    """`[C_in, C_out/groups, K]` to `[1, dilation*(K-1) + 1, C_out/groups, C_in]`, the taps `dilation` apart."""
    kernel = tf.transpose(weight, [2, 1, 0])
    taps, out_channels, in_channels = kernel.shape
    if dilation > 1:
        spread = tf.pad(kernel[:, tf.newaxis], [[0, 0], [0, dilation - 1], [0, 0], [0, 0]])
        kernel = tf.reshape(spread, [taps * dilation, out_channels, in_channels])[: dilation * (taps - 1) + 1]
    return kernel[tf.newaxis]


def _one_group(geometry, extension, x, kernel):
    batch, _, length, _ = extents(x)
    natural = (length - 1) * geometry.stride + geometry.kernel_extent
    output_shape = [batch, 1, natural + extension, kernel.shape[2]]
    return tf.nn.conv2d_transpose(x, kernel, output_shape, strides=[1, 1, geometry.stride, 1], padding="VALID")
