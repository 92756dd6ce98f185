"""Dtypes narrower than float32, of which TensorFlow's CPU kernels sum some in that very dtype (2.21).

A sum of equal numbers no longer grows there from 256 of them on in bfloat16, from 2,048 on in float16.
"""

import tensorflow as tf

from lucid_keras._lowering.gradient import with_gradient


def is_narrow(x):
    """Whether `x` has a dtype narrower than float32."""
    return x.dtype.size < tf.float32.size


def through_float32(convolution, x, kernel, target):
    """`convolution(x, kernel)`, in float32 where narrow dtypes would be trained on a CPU."""
    if not (is_narrow(x) and target.trained_on_cpu):
        return convolution(x, kernel)
    return tf.cast(convolution(tf.cast(x, tf.float32), tf.cast(kernel, tf.float32)), x.dtype)


def with_bias_gradient(y, bias):
    """`y [N, L, C]`, to which `bias` was added unseen by tapes, with that bias's gradient, summed in float32."""

    def backward(dy, y, bias):
        return dy, tf.cast(tf.reduce_sum(tf.cast(dy, tf.float32), axis=[0, 1]), bias.dtype)

    return with_gradient(lambda y, bias: tf.identity(y), backward, y, bias)
