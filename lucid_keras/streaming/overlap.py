"""The pure arithmetic of overlap-add: a chunk and an overlap to samples and the next overlap, and the signal's end.

Each chunk goes through the whole-signal operation without its crops; what its last taps wrote ahead is added to the
next chunk's output. Sums of integers are the same in any order, so chunked and whole output agree to the bit.
"""

import dataclasses

import tensorflow as tf

from lucid_keras import ops
from lucid_keras._lowering.edges import crop, pad_or_crop


def advance(plan, x, weight, bias, overlap, data_format, lowering, target):
    """One chunk to `chunk * stride` samples and the next overlap, at fixed shapes; pads no stream's beginning away.

    The first `plan.latency` samples of a stream precede its output and are to be left out by the caller. Weight and
    bias may be variables of another dtype than the chunk and the overlap, which share one.
    """
    weight, bias = cast(weight, x.dtype), cast(bias, x.dtype)
    channels_first, unbatched = data_format == "channels_first", x.shape.rank == 2
    if unbatched:
        x, overlap = tf.expand_dims(x, 0), tf.expand_dims(overlap, 0)
    if channels_first:
        x, overlap = tf.transpose(x, [0, 2, 1]), tf.transpose(overlap, [0, 2, 1])
    y, overlap = _advance(plan, x, weight, bias, overlap, lowering, target)
    if channels_first:
        y, overlap = tf.transpose(y, [0, 2, 1]), tf.transpose(overlap, [0, 2, 1])
    return (tf.squeeze(y, 0), tf.squeeze(overlap, 0)) if unbatched else (y, overlap)


def release(plan, overlap, bias, data_format, target):
    """The `plan.flush_length` samples after the last chunk's, out of the overlap; zeros past the last tap, and bias."""
    axis = overlap.shape.rank - (1 if data_format == "channels_first" else 2)
    tail = pad_or_crop(overlap, 0, plan.flush_length - plan.overlap_length, axis, target)
    if bias is None:
        return tail
    bias = cast(bias, tail.dtype)
    return tail + (bias if data_format == "channels_last" else tf.expand_dims(bias, 1))


def cast(variable, dtype):
    """A layer's variable as a tensor of `dtype`; None where the layer has none."""
    return None if variable is None else tf.cast(tf.convert_to_tensor(variable), dtype)


def _advance(plan, x, weight, bias, overlap, lowering, target):
    """`advance` on `[N, chunk, C_in]` and `[N, overlap_length, C_out]`."""
    geometry, chunk = plan.geometry, x.shape[1]
    if chunk == 0:
        batch = tf.shape(x)[0] if x.shape[0] is None else x.shape[0]
        return tf.zeros([batch, 0, geometry.out_channels], x.dtype), overlap
    samples = geometry.stride * (tf.shape(x)[1] if chunk is None else chunk)
    if chunk is None:  # a chunk that turns out empty gains a zero, whose samples lie beyond the overlap
        x = tf.pad(x, [[0, 0], [0, tf.maximum(1 - tf.shape(x)[1], 0)], [0, 0]])
    spread = _spread(geometry, x, weight, lowering, target)
    if any(plan.fill):
        spread = tf.pad(spread, [[0, 0], plan.fill, [0, 0]])
    if chunk is None:
        spread = spread[:, : samples + plan.overlap_length]
    if plan.overlap_length:
        spread += tf.pad(overlap, [[0, 0], [0, samples], [0, 0]])
    if chunk is None:
        y, overlap = spread[:, :samples], spread[:, samples:]
    else:
        y, overlap = crop(spread, 0, plan.overlap_length, 1, target), crop(spread, samples, 0, 1, target)
    return (y if bias is None else y + bias), overlap


def _spread(geometry, x, weight, lowering, target):
    """All that a chunk `[N, chunk, C_in]` writes, `[N, (chunk - 1)*stride + kernel_extent, C_out]`, without bias."""
    if lowering == "auto" and x.shape[1] == 1 and geometry.groups == geometry.dilation == 1:
        return _spread_one(x, weight)
    uncropped = dataclasses.replace(geometry, padding=0, output_padding=0)
    return ops.apply_geometry(uncropped, x, weight, None, data_format="channels_last", lowering=lowering, target=target)


def _spread_one(x, weight):
    """`_spread` for one position: its product with the weight as it lies, every tap at once.

    A convolution would pad the position on both sides and read the weight once for each of the blocks that it reaches.
    """
    in_channels, out_channels, taps = weight.shape
    product = tf.matmul(tf.reshape(x, [-1, in_channels]), tf.reshape(weight, [in_channels, out_channels * taps]))
    return tf.transpose(tf.reshape(product, [-1, out_channels, taps]), [0, 2, 1])
