"""Stride-1 convolutions of each channel with kernels of its own, and gradients by those kernels that are fast on a CPU.

Such a gradient sums products over every position of the batch and leaves a handful of numbers a channel. TensorFlow's
and XLA's CPU kernels do that one number at a time; what is here works on all channels side by side (row 14 of
`tests/benchmarks/NOTES.md`). Accelerators, and graphs that are exported, keep the frameworks' own gradients.

Throughout `x` is `[N, 1, L, C]`, the last tap of a kernel meets the oldest input, and `M = L - (taps - 1)*spacing`.
"""

import tensorflow as tf

from lucid_keras._lowering.convolution import MANY_TAPS, differentiable, finished, with_own_gradients
from lucid_keras._lowering.edges import extents, met_by_taps
from lucid_keras._lowering.gradient import with_gradient

ROWS = 128  # positions, of all signals of the batch together, that a step of XLA's loop takes


def depthwise(x, kernel, bias, spacing, target):
    """`tf.nn.depthwise_conv2d` with a kernel `[1, taps, C, multiplier]`: `[N, M, C*multiplier]`."""
    _, taps, channels, multiplier = kernel.shape
    kernel = tf.reverse(kernel, [1])
    if spacing > 1 and x.shape[0] is None and target.name == "tensorflow":
        # Of a dilated one LiteRT's converter makes one operator only where it knows the batch; of a grouped one always.
        return differentiable(x, tf.reshape(kernel, [1, taps, 1, channels * multiplier]), bias, spacing, target)
    few = taps <= MANY_TAPS or spacing > 1 or not target.trained_on_cpu
    if few and (x.shape[0] or target.name != "tensorflow"):
        return _correlate(x, kernel, bias, spacing)

    def compute(x, kernel, bias=None):
        return _correlate(x, kernel, bias, spacing)

    def gradients(dz, x, kernel):
        if few:
            return _vector_jacobian(compute, dz, x, kernel)
        dz = tf.expand_dims(dz, 1)
        dx = tf.nn.depthwise_conv2d_backprop_input(tf.shape(x), kernel, dz, [1, 1, 1, 1], "VALID")
        return dx, _correlate_by_kernel(x, dz, multiplier)

    return with_own_gradients(compute, gradients, x, kernel, bias)


def _vector_jacobian(compute, dz, *inputs):
    """TensorFlow's own gradients of `compute(*inputs)`."""
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        z = compute(*inputs)
    return tape.gradient(z, inputs, dz)


def _correlate(x, kernel, bias, spacing):
    z = tf.nn.depthwise_conv2d(x, kernel, strides=[1, 1, 1, 1], padding="VALID", dilations=[1, spacing])
    return finished(z, x, (kernel.shape[1] - 1) * spacing, bias)


def _correlate_by_kernel(x, dz, multiplier):
    """`x` convolved with `dz` as if that were the kernel, every signal of the batch a channel: `[1, taps, C, mult]`."""
    batch, _, length, channels = extents(x)
    _, _, count, _ = extents(dz)
    signals = tf.reshape(tf.transpose(x, [1, 2, 0, 3]), [1, 1, length, batch * channels])
    kernel = tf.reshape(tf.transpose(dz, [1, 2, 0, 3]), [1, count, batch * channels, multiplier])
    products = tf.nn.depthwise_conv2d(signals, kernel, strides=[1, 1, 1, 1], padding="VALID")
    return tf.reduce_sum(tf.reshape(products, [1, length - count + 1, batch, channels, multiplier]), axis=2)


def multiply_add(x, kernel, spacing, target):
    """Tap by tap, elementwise, with a kernel `[taps, phases, C, multiplier]`: `[N, M, phases, C, multiplier]`."""

    def compute(x, kernel):
        return _multiply_add(x, kernel, spacing, target)

    def backward(dz, x, kernel):
        return _by_input(dz, kernel, spacing), _by_kernel(x, dz, kernel.shape[0], spacing, target)

    return with_gradient(compute, backward, x, kernel) if target.trained_on_cpu else compute(x, kernel)


def _multiply_add(x, kernel, spacing, target):
    taps = kernel.shape[0]
    met = met_by_taps(x, taps, spacing, target)
    batch, _, count, channels = extents(met[0])
    return sum(tf.reshape(part, [batch, count, 1, channels, 1]) * kernel[tap] for tap, part in enumerate(met))


def _by_input(dz, kernel, spacing):
    """Every tap's way back: `[N, 1, L, C]`."""
    last = kernel.shape[0] - 1
    back = [tf.reduce_sum(dz * taps, axis=[2, 4]) for taps in tf.unstack(kernel)]
    padded = [tf.pad(part, [[0, 0], [(last - tap) * spacing, tap * spacing], [0, 0]]) for tap, part in enumerate(back)]
    return tf.expand_dims(sum(padded), 1)


def _by_kernel(x, dz, taps, spacing, target):
    """For each tap the sum of the input that it met times what came of it, a loop over rows: `[taps, phases, C, mult]`.

    It is linear in both, and its gradients are therefore the two functions above; XLA has none of such a loop.
    """

    def compute(x, dz):
        # Unseen by tapes: under two of them a loop stores what its gradient would need, which XLA refuses.
        return _summed(tf.stop_gradient(x), tf.stop_gradient(dz), taps, spacing, target)

    def backward(upstream, x, dz):
        return _by_input(dz, upstream, spacing), _multiply_add(x, upstream, spacing, target)

    return with_gradient(compute, backward, x, dz)


def _summed(x, dz, taps, spacing, target):
    batch, count, phases, channels, multiplier = extents(dz)
    rows = max(ROWS // max(batch, 1), 8) if isinstance(batch, int) else 32
    steps, reach = -(-count // rows), (taps - 1) * spacing
    dz = tf.pad(dz, [[0, 0], [0, steps * rows - count], [0, 0], [0, 0], [0, 0]])
    x = tf.pad(x[:, 0], [[0, 0], [0, steps * rows - count], [0, 0]])

    def step(number, sums):
        met = tf.slice(x, [0, number * rows, 0], [batch, rows + reach, channels])
        came = tf.slice(dz, [0, number * rows, 0, 0, 0], [batch, rows, phases, channels, multiplier])
        parts = met_by_taps(met, taps, spacing, target, axis=1)
        parts = [tf.reshape(part, [batch, rows, 1, channels, 1]) for part in parts]
        return number + 1, [total + part * came for total, part in zip(sums, parts, strict=True)]

    nothing = [tf.zeros([batch, rows, phases, channels, multiplier], x.dtype)] * taps
    _, sums = tf.while_loop(lambda number, _: number < steps, step, [0, nothing])
    return tf.stack([tf.reduce_sum(total, axis=[0, 1]) for total in sums])
