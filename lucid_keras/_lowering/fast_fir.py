"""The fast FIR lowering: polyphase of two taps a phase, with three products for each two blocks and not four.

Block `m` hears `x[m+1]` by the tap `a` and `x[m]` by the tap `b`, matrices of `[C_in, phases*C_out]` both, so that

    y[2q]   = a x[2q+1] + b x[2q]   = (a+b) x[2q+1] + b (x[2q]   - x[2q+1])
    y[2q+1] = a x[2q+2] + b x[2q+1] = (a+b) x[2q+1] + a (x[2q+2] - x[2q+1])

share a product, and so do their gradients. Under XLA the CPU gains in the gradients alone (row 26 of
`tests/benchmarks/NOTES.md`), and has all products forward. Exact but for rounding, and on small integers exact.
(Winograd, "Arithmetic Complexity of Computations", 1980; Parker and Parhi, "Low-Area/Power Parallel FIR Digital Filter
Implementations", 1997.)
"""

import tensorflow as tf

from lucid_keras._lowering.choice import has_two_taps
from lucid_keras._lowering.convolution import finished, with_own_gradients
from lucid_keras._lowering.edges import as_rows, blocks_to_positions, crop, extents, pad_or_crop, reshape, with_zeros
from lucid_keras._lowering.narrow import is_narrow
from lucid_keras._lowering.phases import phase_plan
from lucid_keras._lowering.polyphase import fold, polyphase


def fast_fir(geometry, x, weight, bias, target):
    """`[N, L, C_in]` and `[C_in, C_out/groups, K]` to `[N, L_out, C_out]`.

    Polyphase itself for other kernels, where no block is known to come of it, in narrow dtypes, whose rounding is too
    coarse for sums of taps, and for LiteRT, whose files have their own form of it (`export/fewer_products.py`).
    """
    plan = phase_plan(geometry)
    (left, right), (crop_left, crop_right) = plan.kernels[0].pad, plan.crop
    nothing = x.shape[1] is not None and x.shape[1] + left + right < 2
    if not has_two_taps(geometry) or nothing or is_narrow(x) or target.name == "litert":
        return polyphase(geometry, x, weight, bias, target)
    kernel, bias = _kernel(fold(geometry, plan, weight)), _over_phases(bias, geometry)
    if target.name == "xla":
        met = pad_or_crop(as_rows(x), left, right, 2, target)  # as its compiler takes zeros into a convolution
        blocks = with_own_gradients(_four_products, _gradients_of_four, met, kernel, bias)
        return crop(blocks_to_positions(blocks, geometry.stride), crop_left, crop_right, 1, target)
    met = pad_or_crop(x, left, right, 1, target)
    count = extents(met)[1] - 1
    odd = count % 2  # a block more then, which is cut off again
    pairs = _pairs(met, 1 + odd)
    if target.name == "tensorflow":
        blocks = with_own_gradients(_three_products, _gradients, pairs, kernel, bias)
    else:  # read back in another process, it has the gradients that TensorFlow finds
        blocks = _three_products(pairs, kernel, bias)
    y = blocks_to_positions(blocks, geometry.stride)
    if isinstance(odd, int):
        return crop(y, crop_left, crop_right + odd * geometry.stride, 1, target)
    return crop(y[:, : count * geometry.stride], crop_left, crop_right, 1, target)


def _pairs(x, missing):
    """`x [N, L, C]` and so many zeros, each two neighbours side by side: `[N, M, 2*C]`."""
    batch, length, channels = extents(x)
    return reshape(with_zeros(x, missing, 1), [batch, (length + missing) // 2, 2 * channels])


def _kernel(folded):
    """`[1, C_in, C_out, 2, phases]` to the two taps, `[2, C_in, phases*C_out]`."""
    _, in_channels, out_channels, taps, phases = folded.shape
    return tf.reshape(tf.transpose(folded[0], [2, 0, 3, 1]), [taps, in_channels, phases * out_channels])


def _over_phases(bias, geometry):
    """`[C_out]` once a phase, as rows: XLA has no concatenation then."""
    return None if bias is None else tf.reshape(tf.stack([bias] * geometry.stride), [-1])


def _four_products(x, kernel, bias=None):
    """`[N, 1, M+1, C]`, the taps and a bias to `[N, M, phases*C_out]`, as polyphase does."""
    taps = tf.reverse(kernel, [0])[tf.newaxis]  # TensorFlow's first tap meets the oldest position
    return finished(tf.nn.conv2d(x, taps, strides=1, padding="VALID"), x, 1, bias)


def _gradients_of_four(dz, x, kernel):
    """`_gradients` by positions and not by pairs."""
    batch, _, length, channels = extents(x)
    odd = (length - 1) % 2
    pairs = _pairs(reshape(x, [batch, length, channels]), 1 + odd)
    dpairs, dkernel = _gradients(with_zeros(dz, odd, 1), pairs, kernel)
    return reshape(dpairs, [batch, 1, length + 1 + odd, channels])[:, :, :length], dkernel


def _three_products(pairs, kernel, bias=None):
    """`[N, M+1, 2*C]`, the taps and a bias to `[N, 2*M, phases*C_out]`."""
    before, between, after = _met(pairs)
    a, b = tf.unstack(kernel)
    shared = tf.matmul(between, a + b)
    if bias is not None:
        shared = tf.nn.bias_add(shared, bias)
    first = tf.matmul(before - between, b) + shared
    second = tf.matmul(after - between, a) + shared
    batch, count, _ = extents(pairs)
    return reshape(tf.stack([first, second], axis=1), [batch, 2 * (count - 1), kernel.shape[2]])


def _met(pairs):
    """Of each pair of blocks the inputs that it hears, `x[2q]`, `x[2q+1]` and `x[2q+2]`, as rows: `[N*M, C]`."""
    channels = pairs.shape[2] // 2
    heard = [pairs[:, :-1, :channels], pairs[:, :-1, channels:], pairs[:, 1:, :channels]]
    return [tf.reshape(one, [-1, channels]) for one in heard]


def _gradients(dz, pairs, kernel):
    """By the pairs and by the taps: three products each, of the same sums and differences."""
    before, between, after = _met(pairs)
    a, b = tf.unstack(kernel)
    first, second = tf.unstack(tf.reshape(dz, [-1, 2, kernel.shape[2]]), axis=1)
    both = first + second
    to_both = tf.matmul(between, both, transpose_a=True)
    da = tf.matmul(after - between, second, transpose_a=True) + to_both
    db = tf.matmul(before - between, first, transpose_a=True) + to_both
    return _back(pairs, first, second, both, a, b), tf.stack([da, db])


def _back(pairs, first, second, both, a, b):
    """What reaches the pairs again: the even positions hear two blocks of neighbouring pairs, the odd ones both."""
    batch, count, width = extents(pairs)
    to_before, to_after, shared = (
        tf.matmul(dy, tap, transpose_b=True) for dy, tap in ((first, b), (second, a), (both, a + b))
    )
    to_between = shared - to_before - to_after
    before, between, after = (
        tf.pad(reshape(dx, [batch, count - 1, width // 2]), [[0, 0], zeros, [0, 0]])
        for dx, zeros in ((to_before, [0, 1]), (to_between, [0, 1]), (to_after, [1, 0]))
    )
    return tf.concat([before + after, between], axis=2)
