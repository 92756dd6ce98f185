"""The overlap-add lowering: the input times the weight as it lies, and the taps' products added where they land.

The product `[N*L, C_in] x [C_in, C_out*K]` needs no other layout of the weight, nor do its two gradients. What it costs
instead is `K/stride` values for each output, written and added. So it is for weights that outweigh the signal.
(It is the synthesis of a short-time transform: Allen and Rabiner, "A unified approach to short-time Fourier analysis
and synthesis", 1977.)
"""

import tensorflow as tf

from lucid_keras._lowering.edges import at_least_one, extents, pad_or_crop, reshape


def overlap_add(geometry, x, weight, bias, target):
    """`[N, L, C_in]` and `[C_in, C_out/groups, K]` to `[N, L_out, C_out]`."""
    batch = extents(x)[0]
    # oneDNN's batched product of nothing divides by zero (TensorFlow 2.21).
    filled = at_least_one(x) if geometry.groups > 1 else x
    taps = _to_whole_blocks(geometry, _products(geometry, filled, weight), target)
    blocks = _added(taps)
    rows, count, channels, stride = extents(blocks)
    y = reshape(tf.transpose(blocks, [0, 1, 3, 2]), [rows, count * stride, channels])
    beyond = (taps.shape[3] - 1) * stride  # positions of the blocks past L*stride
    y = pad_or_crop(y, -geometry.padding, geometry.padding + geometry.length_offset - beyond, 1, target)
    y = y if filled is x else y[:batch]
    return y if bias is None else tf.nn.bias_add(y, bias)


def _products(geometry, x, weight):
    """Each input position times each tap: `[N, L, C_out, K]`."""
    g = geometry
    batch, length, _ = extents(x)
    group_in, group_out = g.in_channels // g.groups, g.out_channels // g.groups
    if g.groups == 1:
        z = tf.matmul(reshape(x, [batch * length, g.in_channels]), tf.reshape(weight, [g.in_channels, -1]))
        return reshape(z, [batch, length, g.out_channels, g.kernel_size])
    x = tf.transpose(reshape(x, [batch * length, g.groups, group_in]), [1, 0, 2])
    z = tf.matmul(x, tf.reshape(weight, [g.groups, group_in, group_out * g.kernel_size]))
    z = reshape(z, [g.groups, batch * length, group_out * g.kernel_size])
    return reshape(tf.transpose(z, [1, 0, 2]), [batch, length, g.out_channels, g.kernel_size])


def _to_whole_blocks(geometry, products, target):
    """Zeros between dilated taps and after the last one: `[N, L, C_out, blocks, stride]`."""
    g = geometry
    batch, length, channels, taps = extents(products)
    if g.dilation > 1 and taps > 1:
        spread = tf.pad(products[..., tf.newaxis], [[0, 0]] * 4 + [[0, g.dilation - 1]])
        products = reshape(spread, [batch, length, channels, taps * g.dilation])[..., : g.kernel_extent]
    blocks = -(-g.kernel_extent // g.stride)
    products = pad_or_crop(products, 0, blocks * g.stride - g.kernel_extent, 3, target)
    return reshape(products, [batch, length, channels, blocks, g.stride])


def _added(taps):
    """Block `j` of input position `l` is part of block `l + j` of the output: `[N, M, C_out, stride]`."""
    pieces = tf.unstack(taps, axis=3)
    last = len(pieces) - 1
    return sum(tf.pad(piece, [[0, 0], [j, last - j], [0, 0], [0, 0]]) for j, piece in enumerate(pieces))
