"""Shapes, zeros and crops at the two ends of the length axis, and the free reshape from blocks to positions."""

import tensorflow as tf


def extents(x):
    """The shape of `x`, each extent a number where it is known and a scalar tensor where it is not."""
    if x.shape.is_fully_defined():
        return x.shape.as_list()
    dynamic = tf.shape(x)
    return [dynamic[axis] if extent is None else extent for axis, extent in enumerate(x.shape)]


def shortfall(extent):
    """How many to add to `extent` to have one at least; None if there is one already."""
    if isinstance(extent, int):
        return 1 - extent if extent < 1 else None
    return tf.maximum(1 - extent, 0)


def crop(x, left, right, axis, target):
    """`x` without its first `left` and last `right` positions along `axis`.

    A SLICE: XNNPACK does not take STRIDED_SLICE, and TensorFlow's gradient of one takes eighteen times as long as the
    padding that is a slice's. Under XLA a strided slice, because there a slice's gradient has itself no gradient, and
    in other exported graphs, which may be compiled and differentiated later.
    """
    if not (left or right):
        return x
    if target.name not in ("litert", "tensorflow") or (target.name == "litert" and x.shape[axis] is None):
        stop = -right if right else None
        return x[(slice(None),) * axis + (slice(left, stop),)]
    size = [-1 if extent is None else extent for extent in x.shape]
    size[axis] = (tf.shape(x)[axis] if x.shape[axis] is None else x.shape[axis]) - left - right
    begin = [0] * x.shape.rank
    begin[axis] = left
    return tf.slice(x, begin, size)


def met_by_taps(x, taps, spacing, target, axis=2):
    """For each tap the part of `x` that it meets, as long as the result; the last tap meets the oldest positions."""
    return [crop(x, (taps - 1 - tap) * spacing, tap * spacing, axis, target) for tap in range(taps)]


def pad_or_crop(x, left, right, axis, target):
    """`left` and `right` zeros before and after; negative counts leave positions out.

    The zeros come first: with both a crop and zeros, a short input may lie wholly inside the crop.
    """
    if left > 0 or right > 0:
        paddings = [[0, 0]] * x.shape.rank
        paddings[axis] = [max(left, 0), max(right, 0)]
        x = _padded(x, paddings, axis, target)
    return crop(x, max(-left, 0), max(-right, 0), axis, target)


def _padded(x, paddings, axis, target):
    """`x` between zeros, by an operation that no convolution after it is fused with where that would end the process.

    TensorFlow fuses a Pad, a convolution and its bias into one operation of oneDNN, which for a single signal of few
    positions with more zeros after than before it writes where it must not (2.21). It leaves PadV2 alone.
    """
    left, right = paddings[axis]
    length = x.shape[axis]
    if target.name in ("tensorflow", "saved_model") and right > left and (length is None or length <= 4 * right):
        return tf.raw_ops.PadV2(input=x, paddings=paddings, constant_values=tf.zeros([], x.dtype))
    return tf.pad(x, paddings)


def blocks_to_positions(blocks, stride):
    """`[N, 1, M, stride*C]` viewed as `[N, M*stride, C]`: in 1-D, channels last, depth-to-space moves nothing."""
    batch, _, count, width = blocks.shape
    channels = width // stride
    if count is not None and (batch is not None or count > 0):
        return tf.reshape(blocks, [-1 if batch is None else batch, count * stride, channels])
    if batch:
        return tf.reshape(blocks, [batch, -1, channels])
    shape = tf.shape(blocks)  # neither is known, or -1 would be ambiguous for an empty batch
    return tf.reshape(blocks, tf.stack([shape[0], shape[2] * stride, channels]))
