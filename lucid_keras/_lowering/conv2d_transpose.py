"""The canonical lowering: `tf.nn.conv2d_transpose` with height 1, groups by split and concat.

Dilation is a zero-stuffed kernel, because TensorFlow's CPU kernels refuse it otherwise, and output padding is the
explicit output shape. The kernel can write at most `stride - 1` positions past the last tap; zeros make up the rest.
"""

import tensorflow as tf

from lucid_keras._lowering.edges import crop, extents, pad_or_crop


def conv2d_transpose(geometry, x, weight, bias, target):
    """`[N, L, C_in]` and `[C_in, C_out/groups, K]` to `[N, L_out, C_out]`."""
    g = geometry
    x, kernel = tf.expand_dims(x, 1), _kernel(weight, g)
    beyond = g.output_padding - g.padding + g.kernel_extent - kernel.shape[1]
    extension = min(max(beyond, 0), g.stride - 1)
    pieces = [
        _one_group(g, x_group, kernel_group, extension)
        for x_group, kernel_group in zip(
            tf.split(x, g.groups, axis=3) if g.groups > 1 else [x],
            tf.split(kernel, g.groups, axis=3) if g.groups > 1 else [kernel],
            strict=True,
        )
    ]
    full = tf.concat(pieces, axis=3) if g.groups > 1 else pieces[0]
    full = pad_or_crop(full, 0, beyond - extension, 2, target)
    y = tf.squeeze(crop(full, g.padding, 0, 2, target), 1)
    return y if bias is None else tf.nn.bias_add(y, bias)


def _kernel(weight, geometry):
    """`[C_in, C_out/groups, K]` to `[1, kernel_extent, C_out/groups, C_in]`, the taps `dilation` apart.

    In bfloat16 at least `stride` positions long: TensorFlow's gradient by a shorter kernel is wrong, from foreign
    memory, where there is one output channel and one position (2.21).
    """
    dilation, missing = geometry.dilation, geometry.stride - geometry.kernel_extent
    kernel = tf.transpose(weight, [2, 1, 0])
    taps, out_channels, in_channels = kernel.shape
    if dilation > 1:
        spread = tf.pad(kernel[:, tf.newaxis], [[0, 0], [0, dilation - 1], [0, 0], [0, 0]])
        kernel = tf.reshape(spread, [taps * dilation, out_channels, in_channels])[: geometry.kernel_extent]
    if missing > 0 and weight.dtype == tf.bfloat16:
        kernel = tf.pad(kernel, [[0, missing], [0, 0], [0, 0]])
    return kernel[tf.newaxis]


def _one_group(geometry, x, kernel, extension):
    batch, _, length, _ = extents(x)
    natural = (length - 1) * geometry.stride + kernel.shape[1]
    output_shape = [batch, 1, natural + extension, kernel.shape[2]]
    return tf.nn.conv2d_transpose(x, kernel, output_shape, strides=[1, 1, geometry.stride, 1], padding="VALID")
