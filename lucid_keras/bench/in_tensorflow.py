"""Subjects in TensorFlow: this package's layer, Keras's layer, and a matrix product of as many multiply-adds."""

import keras
import numpy as np
import tensorflow as tf

from lucid_keras.bench.prepared import Prepared, channels_last, held_bytes
from lucid_keras.layers.conv_transpose1d import ConvTranspose1d


def ours(workload, arrays, threads, *, graph=True, jit_compile=None, **options):
    """Our layer with `options`, called eagerly, or in a `tf.function`, which `jit_compile` has XLA compile."""
    layer = ConvTranspose1d(**workload.layer_arguments, **options)
    return _prepared(workload, arrays, layer, layer.weight, np.asarray, graph, jit_compile)


def keras_layer(workload, arrays, threads, *, jit_compile=False):
    """`keras.layers.Conv1DTranspose`, in its own layout, channels last, in a `tf.function`."""
    layer = keras.layers.Conv1DTranspose(
        workload.out_channels,
        workload.kernel_size,
        workload.stride,
        "valid" if workload.padding == 0 else "same",
        data_format="channels_last",
        dilation_rate=workload.dilation,
    )
    layer.build((None, workload.length, workload.in_channels))
    return _prepared(workload, arrays, layer, layer.kernel, np.transpose, True, jit_compile)


def product(workload, arrays, threads):
    """The ceiling: one matrix product forward, the two of its gradients besides in training."""
    rows, inner, columns = workload.product_shape
    a, b, dy = (tf.random.normal(shape) for shape in ([rows, inner], [inner, columns], [rows, columns]))

    def train(a):
        return a @ b, tf.matmul(dy, b, transpose_b=True), tf.matmul(a, dy, transpose_a=True)

    function = tf.function(train if workload.mode == "train" else lambda a: a @ b, autograph=False)
    return Prepared(_ending(function, a), None, 4 * (rows * inner + inner * columns))


def _prepared(workload, arrays, layer, weight, weight_in_layout, graph, jit_compile):
    """The layer, or in training the gradients of input, weight and bias; each change of layout is its own inverse."""
    in_layout = channels_last if layer.data_format == "channels_last" else np.asarray
    weight.assign(weight_in_layout(arrays.weight))
    layer.bias.assign(arrays.bias)
    x, dy = tf.constant(in_layout(arrays.x)), tf.constant(in_layout(arrays.dy))

    def train(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
        return tape.gradient(y, [x, weight.value, layer.bias.value], output_gradients=dy)

    function = train if workload.mode == "train" else layer
    if graph:
        function = tf.function(function, jit_compile=jit_compile, autograph=False)

    def results():
        first, *rest = [tensor.numpy() for tensor in tf.nest.flatten(function(x))]
        return [in_layout(first), *map(weight_in_layout, rest)]

    return Prepared(_ending(function, x), results, held_bytes(workload, arrays))


def _ending(function, x):
    """`function(x)` that returns when its numbers are there, and does nothing besides.

    On a CPU that is the call itself. TensorFlow's eager context runs operations and functions synchronously
    (`tf.config.experimental.get_synchronous_execution()` is True unless a user turns it off), and a function compiled
    by XLA for the host runs on the calling thread's stream to its end; a test shows that reading a result afterwards
    takes no longer than copying it. Reading it here would add a slice, a copy and their dispatch, 0.3 ms, to each call.
    """
    if not tf.config.list_physical_devices("GPU"):
        return lambda: function(x)

    def call():
        function(x)
        tf.test.experimental.sync_devices()

    return call
