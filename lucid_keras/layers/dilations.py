"""Dilated convolutions as one: Keras (3.15) has TensorFlow lay positions into the batch and back.

Of a known length the converter makes a CONV_2D of that; of an open one a dozen operators, which no delegate takes, nor
what lies behind them.
"""

import functools

import keras
import tensorflow as tf

from lucid_keras._lowering.edges import as_rows


def one_convolution(operation):
    """What computes the same as a dilated `Conv1D`, by one convolution with a dilation; None of any other operation."""
    if type(operation) is not keras.layers.Conv1D or operation.dilation_rate == (1,):
        return None
    return functools.partial(_convolved, operation) if operation.data_format == "channels_last" else None


def _convolved(layer, x):
    (taps,), (dilation,), padding = layer.kernel_size, layer.dilation_rate, layer.padding.upper()
    if padding == "CAUSAL":
        x, padding = tf.pad(x, [[0, 0], [(taps - 1) * dilation, 0], [0, 0]]), "VALID"
    kernel = tf.expand_dims(layer.kernel, 0)
    y = tf.squeeze(tf.nn.conv2d(as_rows(x), kernel, 1, padding, dilations=[1, 1, dilation, 1]), 1)
    return layer.activation(y if layer.bias is None else tf.nn.bias_add(y, layer.bias))
