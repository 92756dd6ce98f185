"""Shapes, zeros and crops at the two ends of the length axis, and the free reshape from blocks to positions."""

import tensorflow as tf

from lucid_keras._lowering.gradient import with_gradient


def extents(x):
    """The shape of `x`, each extent a number where it is known and a scalar tensor where it is not."""
    if x.shape.is_fully_defined():
        return x.shape.as_list()
    dynamic = tf.shape(x)
    return [dynamic[axis] if extent is None else extent for axis, extent in enumerate(x.shape)]


def reshape(x, shape):
    """`tf.reshape`, with -1 for the one extent that is unknown: converters follow that, and no shape at run time."""
    known = [extent for extent in shape if isinstance(extent, int)]
    if len(known) == len(shape) - 1 and 0 not in known:
        shape = [extent if isinstance(extent, int) else -1 for extent in shape]
    return tf.reshape(x, shape)


def shortage(extent):
    """How many positions `extent` lacks to be one at least."""
    return max(1 - extent, 0) if isinstance(extent, int) else tf.maximum(1 - extent, 0)


def at_least_one(x):
    """`x` with a row of zeros where its batch has none, and as it was where it is known to have some."""
    missing = shortage(extents(x)[0])
    return x if isinstance(missing, int) and not missing else with_zeros(x, missing, 0)


def with_zeros(x, count, axis):
    """`x` with `count` zeros at the end of `axis`; where that is a number at run time, the other extents stay known."""
    paddings = [[0, 0]] * x.shape.rank
    paddings[axis] = [0, count]
    shape = extents(x)
    shape[axis] += count
    return reshape(tf.pad(x, paddings), shape)


def crop(x, left, right, axis, target):
    """`x` without its first `left` and last `right` positions along `axis`.

    A SLICE: older XNNPACKs do not take STRIDED_SLICE, and TensorFlow's gradient of one takes eighteen times as long as
    the padding that is a slice's. Under XLA a strided slice, because there a slice's gradient has itself no gradient,
    in other exported graphs, which may be compiled and differentiated later, and where an extent is unknown, of which
    XNNPACK takes no slice.
    """
    if not (left or right):
        return x
    known, length = x.shape.is_fully_defined(), x.shape[axis]
    if known and target.name in ("litert", "tensorflow"):
        size = x.shape.as_list()
        size[axis] -= left + right
        return tf.slice(x, [left if one == axis else 0 for one in range(x.shape.rank)], size)
    stop = (-right or None) if length is None else length - right
    kept = (slice(None),) * axis + (slice(left, stop),)
    if target.name != "tensorflow":
        return x[kept]
    zeros = [[0, 0]] * axis + [[left, right]] + [[0, 0]] * (x.shape.rank - axis - 1)
    return with_gradient(lambda x: x[kept], lambda dy, _: tf.pad(dy, zeros), x)


def met_by_taps(x, taps, spacing, target, axis=2):
    """For each tap the part of `x` that it meets, as long as the result; the last tap meets the oldest positions."""
    return [crop(x, (taps - 1 - tap) * spacing, tap * spacing, axis, target) for tap in range(taps)]


def between_zeros(x, left, right, axis, target):
    """`x` with zeros before and after.

    Of several signals LiteRT's GPU accelerator (2.3) pads three dimensions wrongly without a word, and four rightly.
    """
    paddings = [[0, 0]] * x.shape.rank
    paddings[axis] = [left, right]
    if target.name != "litert" or x.shape.rank != 3 or x.shape[0] == 1:
        return tf.pad(x, paddings)
    shape = extents(x)
    shape[axis] += left + right
    return reshape(tf.pad(as_rows(x), [paddings[0], [0, 0], *paddings[1:]]), shape)


def pad_or_crop(x, left, right, axis, target):
    """`left` and `right` zeros before and after; negative counts leave positions out.

    The zeros come first: with both a crop and zeros, a short input may lie wholly inside the crop.
    """
    if left > 0 or right > 0:
        x = between_zeros(x, max(left, 0), max(right, 0), axis, target)
    return crop(x, max(-left, 0), max(-right, 0), axis, target)


def as_rows(x):
    """`[N, L, C]` as `[N, 1, L, C]`, by the operation that XNNPACK takes with an unknown batch too."""
    return tf.expand_dims(x, 1) if x.shape[1] is None else reshape(x, [extents(x)[0], 1, *x.shape[1:]])


def side_by_side(parts, axis):
    """A concatenation, of four at a time: of more XNNPACK takes none."""
    while len(parts) > 1:
        parts = [tf.concat(parts[first : first + 4], axis) for first in range(0, len(parts), 4)]
    return parts[0]


def blocks_to_positions(blocks, stride):
    """`[N, M, stride*C]` viewed as `[N, M*stride, C]`: in 1-D, channels last, depth-to-space moves nothing."""
    batch, count, width = extents(blocks)
    return reshape(blocks, [batch, count * stride, width // stride])
