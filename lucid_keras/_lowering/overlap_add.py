"""The overlap-add lowering: the input times the weight as it lies, and the taps' products added where they land.

The product `[N*L, C_in] x [C_in, C_out*K]` needs no other layout of the weight, nor do its two gradients. What it costs
instead is `K/stride` values for each output, written and added. So it is for weights that outweigh the signal.
(It is the synthesis of a short-time transform: Allen and Rabiner, "A unified approach to short-time Fourier analysis
and synthesis", 1977.)
"""

import tensorflow as tf

from lucid_keras._lowering.edges import extents, pad_or_crop, shortfall


def overlap_add(geometry, x, weight, bias, target):
    """`[N, L, C_in]` and `[C_in, C_out/groups, K]` to `[N, L_out, C_out]`."""
    rows = shortfall(extents(x)[0])
    if rows is None:
        y = _overlap_add(geometry, x, weight, target)
    else:  # an empty batch gains a row, which goes again: an empty batched product divides by zero (TensorFlow 2.21)
        y = _overlap_add(geometry, tf.pad(x, [[0, rows], [0, 0], [0, 0]]), weight, target)[: extents(x)[0]]
    return y if bias is None else tf.nn.bias_add(y, bias)


def _overlap_add(geometry, x, weight, target):
    taps = _to_whole_blocks(geometry, _products(geometry, x, weight), target)
    blocks = _added(taps)
    batch, count, channels, stride = extents(blocks)
    y = tf.reshape(tf.transpose(blocks, [0, 1, 3, 2]), [batch, count * stride, channels])
    beyond = (taps.shape[3] - 1) * stride  # positions of the blocks past L*stride
    return pad_or_crop(y, -geometry.padding, geometry.padding + geometry.length_offset - beyond, 1, target)


def _products(geometry, x, weight):
    """Each input position times each tap: `[N, L, C_out, K]`."""
    g = geometry
    batch, length, _ = extents(x)
    group_in, group_out = g.in_channels // g.groups, g.out_channels // g.groups
    if g.groups == 1:
        z = tf.matmul(tf.reshape(x, [batch * length, g.in_channels]), tf.reshape(weight, [g.in_channels, -1]))
        return tf.reshape(z, [batch, length, g.out_channels, g.kernel_size])
    x = tf.transpose(tf.reshape(x, [batch * length, g.groups, group_in]), [1, 0, 2])
    z = tf.matmul(x, tf.reshape(weight, [g.groups, group_in, group_out * g.kernel_size]))
    z = tf.reshape(z, [g.groups, batch * length, group_out * g.kernel_size])
    return tf.reshape(tf.transpose(z, [1, 0, 2]), [batch, length, g.out_channels, g.kernel_size])


def _to_whole_blocks(geometry, products, target):
    """Zeros between dilated taps and after the last one: `[N, L, C_out, blocks, stride]`."""
    g = geometry
    batch, length, channels, taps = extents(products)
    if g.dilation > 1 and taps > 1:
        spread = tf.pad(products[..., tf.newaxis], [[0, 0]] * 4 + [[0, g.dilation - 1]])
        products = tf.reshape(spread, [batch, length, channels, taps * g.dilation])[..., : g.kernel_extent]
    blocks = -(-g.kernel_extent // g.stride)
    products = pad_or_crop(products, 0, blocks * g.stride - g.kernel_extent, 3, target)
    return tf.reshape(products, [batch, length, channels, blocks, g.stride])


def _added(taps):
    """Block `j` of input position `l` is part of block `l + j` of the output: `[N, M, C_out, stride]`."""
    pieces = tf.unstack(taps, axis=3)
    last = len(pieces) - 1
    return sum(tf.pad(piece, [[0, 0], [j, last - j], [0, 0], [0, 0]]) for j, piece in enumerate(pieces))
