"""Groups of channels as LiteRT's GPU accelerator computes them, laid out once, in the exported file.

That accelerator (2.3) takes a grouped convolution whose groups have a multiple of four channels in and of four out. Of
others it gives zeros without an error, or ends the process. So neighbouring groups become a wider one, whose kernel is
zero where an input is of another group than an output; or, where that would multiply too many zeros, a convolution
each. Both are as fast on the CPU as the groups were, narrow ones much faster (row 17 of `tests/benchmarks/NOTES.md`).
"""

import numpy as np
import tensorflow as tf

from lucid_keras._lowering.edges import crop, extents, reshape, side_by_side

LANES = 4  # channels that are one vector of a GPU
WIDE = 32  # channels from which the zeros of a wider group cost more than a convolution more


def in_lanes(convolve, x, folded, bias, spacing, target):
    """`convolve(x, folded, bias, spacing, target)`, one of the contractions, in groups of whole lanes or in none."""
    groups, group_in, group_out, _, phases = folded.shape
    divisors = [some for some in range(1, groups + 1) if groups % some == 0]
    narrow = [some for some in divisors if some == 1 or some * group_in <= WIDE]
    for together in narrow:
        if together == groups or together * group_in % LANES == together * group_out * phases % LANES == 0:
            return convolve(x, _together(folded, together), bias, spacing, target)
    return _one_by_one(convolve, x, _together(folded, narrow[-1]), bias, spacing, target)


def _together(folded, count):
    """The folded weight with `count` groups in each one."""
    if count == 1:
        return folded
    _, group_in, group_out, taps, phases = folded.shape
    rows = tf.reshape(folded, [-1, count * group_in, group_out, taps * phases])
    own = np.kron(np.eye(count), np.ones([group_in, group_out]))[:, :, np.newaxis]
    # A concatenation and a product, which LiteRT's converter folds into the file.
    wide = tf.concat([rows] * count, axis=2) * tf.constant(own, folded.dtype)
    return tf.reshape(wide, [-1, count * group_in, count * group_out, taps, phases])


def _one_by_one(convolve, x, folded, bias, spacing, target):
    """A convolution for each group, and their channels side by side within each phase."""
    groups, group_in, group_out, _, phases = folded.shape
    parts = []
    for number in range(groups):
        before, after = number * group_in, (groups - number - 1) * group_in
        own_bias = None if bias is None else bias[number * group_out : (number + 1) * group_out]
        part = convolve(crop(x, before, after, 3, target), folded[number : number + 1], own_bias, spacing, target)
        batch, count, _ = extents(part)
        parts.append(reshape(part, [batch, count, phases, group_out]))
    joined = side_by_side(parts, axis=3)
    batch, count, _, channels = extents(joined)
    return reshape(joined, [batch, count, phases * channels])
