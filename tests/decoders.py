"""Small causal decoders of the kinds that people stream, by name."""

import keras

import lucid_keras as lk

layers = keras.layers


def upsampling(kernel_size, stride, out_channels=6, **parameters):
    return lk.ConvTranspose1d(6, out_channels, kernel_size, stride, data_format="channels_last", **parameters)


def encodec():
    """Recurrence with a skip, then causal upsampling blocks with a dilated residual."""
    frames = x = keras.Input((None, 8))
    x = layers.Conv1D(6, 7, padding="causal")(x)
    recurrent = layers.LSTM(6, return_sequences=True)(x)
    recurrent = layers.GRU(6, return_sequences=True)(recurrent)
    x = layers.Add()([x, recurrent])
    for stride in (4, 3):
        x = upsampling(2 * stride, stride)(layers.ELU()(x))
        x = layers.Cropping1D((0, stride))(x)
        residual = layers.Conv1D(3, 3, padding="causal", dilation_rate=2)(layers.ELU()(x))
        residual = layers.Conv1D(6, 1)(layers.ELU()(residual))
        x = layers.Add()([x, residual])
    x = layers.Conv1D(1, 7, padding="causal", activation="tanh")(layers.ELU()(x))
    return keras.Model(frames, x, name="encodec")


def tail():
    """Nothing trimmed: each transposed convolution's tail runs through all that follows."""
    return keras.Sequential(
        [
            keras.Input((None, 8)),
            layers.Dense(6, activation="gelu"),
            upsampling(5, 2),
            layers.LayerNormalization(),
            layers.Conv1D(6, 3, padding="causal", groups=2),
            upsampling(7, 3, output_padding=2, groups=3),
            layers.LeakyReLU(),
            layers.GRU(6, return_sequences=True, reset_after=False),
        ]
    )


def lagging():
    """A padded transposed convolution at the end, and only pointwise layers after it."""
    return keras.Sequential(
        [
            keras.Input((None, 8)),
            layers.Conv1D(6, 3, padding="causal"),
            upsampling(8, 4, padding=2),
            layers.Activation("tanh"),
            layers.Dense(2),
        ]
    )


def nested():
    """Models inside a model."""
    frames = keras.Input((None, 8))
    block = keras.Sequential([keras.Input((None, 6)), upsampling(4, 2), layers.Cropping1D((0, 2))], name="block")
    x = layers.Conv1D(6, 3, padding="causal")(frames)
    inner = keras.Input((None, 6))
    residual = keras.Model(inner, layers.Add()([inner, layers.Conv1D(6, 3, padding="causal")(inner)]), name="residual")
    return keras.Model(frames, residual(block(x)))


def channels_first():
    """PyTorch's layout throughout, the recurrence and the crop between turns; layers that work along the channels."""
    first = {"data_format": "channels_first"}
    frames = keras.Input((8, None))
    x = layers.Conv1D(6, 3, padding="causal", dilation_rate=2, **first)(frames)
    x = layers.Permute((2, 1))(layers.GRU(6, return_sequences=True)(layers.Permute((2, 1))(x)))
    x = lk.ConvTranspose1d(6, 6, 7, stride=3, groups=2)(layers.LeakyReLU()(x))
    x = layers.Permute((2, 1))(layers.Cropping1D((0, 4))(layers.Permute((2, 1))(x)))
    x = layers.LayerNormalization(axis=1)(layers.Concatenate(axis=1)([x, layers.PReLU(shared_axes=[2])(x)]))
    return keras.Model(frames, layers.Conv1D(2, 5, padding="causal", activation="tanh", **first)(x))


def first_to_last():
    """Channels first in, channels last out, with a latency and a flush."""
    return keras.Sequential(
        [keras.Input((8, None)), lk.ConvTranspose1d(8, 6, 8, 4, padding=2), layers.Permute((2, 1)), layers.Dense(2)]
    )


DECODERS = {
    "encodec": encodec,
    "tail": tail,
    "lagging": lagging,
    "nested": nested,
    "channels_first": channels_first,
    "first_to_last": first_to_last,
}


def time_axis(data_format):
    return 2 if data_format == "channels_first" else 1
