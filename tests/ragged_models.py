"""Models that treat the end of a signal in the ways there are."""

import keras
import tensorflow as tf

import lucid_keras as lk


def causal():
    x = keras.Input((None, 4))
    y = keras.layers.Conv1D(8, 5, padding="causal", activation="relu")(x)
    y = lk.ConvTranspose1d(8, 2, 8, 4, data_format="channels_last")(y)
    return keras.Model(x, keras.layers.Cropping1D((0, 4))(y))


def looking_ahead(layer=None):
    """Eleven positions at its second convolution, which hears after a signal what the first one's biases are there."""
    x = keras.Input((None, 4))
    y = keras.layers.Conv1D(8, 3, padding="same", activation="relu", bias_initializer="random_normal")(x)
    y = keras.layers.Conv1D(8, 23, padding="same")(y)
    y = y if layer is None else layer(y)
    return keras.Model(x, lk.ConvTranspose1d(8, 2, 8, 4, 2, data_format="channels_last")(keras.layers.LeakyReLU()(y)))


def channels_first():
    x = keras.Input((4, None))
    return keras.Model(x, lk.ConvTranspose1d(4, 2, 9, 4, 2, 1)(lk.ConvTranspose1d(4, 4, 3, 1, 1)(x)))


def over_all():
    """Each sample of each signal hears the whole of it."""
    return looking_ahead(keras.layers.Lambda(lambda y: y - tf.reduce_mean(y, 1, keepdims=True)))


def rounding():
    """A signal of any length becomes one of whole blocks of 4."""
    x = keras.Input((None, 4))
    y = keras.layers.Conv1D(8, 8, strides=4, padding="same")(x)
    return keras.Model(x, lk.ConvTranspose1d(8, 2, 8, 4, 2, data_format="channels_last")(y))


def far_apart():
    """A signal of any length becomes one of whole blocks of 32."""
    x = keras.Input((None, 4))
    y = keras.layers.Conv1D(8, 64, strides=32, padding="same")(x)
    return keras.Model(x, lk.ConvTranspose1d(8, 2, 64, 32, 16, data_format="channels_last")(y))


def of_symbols():
    """Indices, of which noise is none."""
    x = keras.Input((None,), dtype="int32")
    return keras.Model(
        x, lk.ConvTranspose1d(4, 2, 4, 2, 1, data_format="channels_last")(keras.layers.Embedding(9, 4)(x))
    )


def mirrored(reach=16):
    """A signal of fewer than 17 positions is too short to be mirrored at its ends."""
    x = keras.Input((None, 4))
    y = keras.layers.Lambda(lambda x: tf.pad(x, [[0, 0], [reach, reach], [0, 0]], "REFLECT"))(x)
    y = keras.layers.Conv1D(8, 2 * reach + 1)(y)
    return keras.Model(x, lk.ConvTranspose1d(8, 2, 8, 4, 2, data_format="channels_last")(y))
