"""UnivNet: convolutions whose kernels another network predicts, new ones for each frame (transformers' `UnivNetModel`).

A frame's convolution is a product of its samples' patches with its kernel, and so one matrix product for all frames.

Source: W. Jang et al., "UnivNet", arXiv:2106.07889; Z. Zeng et al., "LVCNet", arXiv:2102.10815.
"""

import functools

import keras
import numpy as np

import lucid_keras as lk
from benchmarks.ports.drawn import drawn
from benchmarks.ports.mels import log_mels
from benchmarks.ports.port import Port, windows


def location_variable_convolution(x, kernels, biases, taps):
    """`x [batch, frames*hop, in]` convolved, in each frame, with `kernels [batch, frames, taps*in*out]`."""
    ops, (_, frames, out), (_, length, channels) = keras.ops, biases.shape, x.shape
    padded = ops.pad(x, [[0, 0], [taps // 2, taps // 2], [0, 0]])
    patches = ops.concatenate([padded[:, tap : tap + length] for tap in range(taps)], axis=-1)
    patches = ops.reshape(patches, [-1, frames, length // frames, taps * channels])
    y = ops.matmul(patches, ops.reshape(kernels, [-1, frames, taps * channels, out]))
    return ops.reshape(y + ops.expand_dims(biases, 2), [-1, length, out])


def univnet(config, length):
    """The vocoder as a `keras.Model` of `noise [batch, length, model_in_channels]` and `log_mel [batch, length, bands]`
    to samples `[batch, samples, 1]`.
    """
    width, hidden = config.model_hidden_channels, config.kernel_predictor_hidden_channels

    def activated(x):
        return keras.layers.LeakyReLU(negative_slope=config.leaky_relu_slope)(x)

    def conv(x, filters, taps, name, dilation=1):
        return keras.layers.Conv1D(filters, taps, dilation_rate=dilation, padding="same", name=name)(x)

    def reflected_conv(x, filters, name):
        x = keras.ops.pad(x, [[0, 0], [3, 3], [0, 0]], mode="reflect")
        return keras.layers.Conv1D(filters, 7, name=name)(x)

    def predicted(log_mel, layers, taps, name):
        """The kernels and the biases of `layers` layers, in the order `[layer, tap, in, out]`."""
        reach = config.kernel_predictor_conv_size
        x = activated(conv(log_mel, hidden, 5, f"{name}.input_conv"))
        for index in range(config.kernel_predictor_num_blocks):
            y = activated(conv(x, hidden, reach, f"{name}.resblocks.{index}.conv1"))
            x = x + activated(conv(y, hidden, reach, f"{name}.resblocks.{index}.conv2"))
        kernels = conv(x, layers * taps * width * 2 * width, reach, f"{name}.kernel_conv")
        biases = conv(x, layers * 2 * width, reach, f"{name}.bias_conv")
        return (keras.ops.split(one, layers, axis=-1) for one in (kernels, biases))

    noise = keras.Input((length, config.model_in_channels), name="noise")
    log_mel = keras.Input((length, config.num_mel_bins), name="log_mel")
    x = reflected_conv(noise, width, "conv_pre")
    blocks = zip(
        config.resblock_kernel_sizes, config.resblock_stride_sizes, config.resblock_dilation_sizes, strict=True
    )
    for index, (taps, stride, dilations) in enumerate(blocks):
        name = f"resblocks.{index}"
        x = lk.ConvTranspose1d(
            width,
            width,
            kernel_size=2 * stride,
            stride=stride,
            padding=stride // 2 + stride % 2,
            output_padding=stride % 2,
            data_format="channels_last",
            name=f"{name}.convt_pre",
        )(activated(x))
        kernels, biases = predicted(log_mel, len(dilations), taps, f"{name}.kernel_predictor")
        for layer, (dilation, kernel, bias) in enumerate(zip(dilations, kernels, biases, strict=True)):
            y = activated(conv(activated(x), width, taps, f"{name}.resblocks.{layer}.conv", dilation))
            opening, signal = keras.ops.split(location_variable_convolution(y, kernel, bias, taps), 2, axis=-1)
            x = x + keras.ops.sigmoid(opening) * keras.ops.tanh(signal)
    samples = keras.ops.tanh(reflected_conv(activated(x), 1, "conv_post"))
    return keras.Model({"noise": noise, "log_mel": log_mel}, samples, name="univnet")


def port(**configuration):
    """transformers' UnivNet; by default its own configuration, that of the official model at 24 kHz."""
    import transformers

    config = transformers.UnivNetConfig(**configuration)
    return Port(
        rate=24_000,
        hop=int(np.prod(config.resblock_stride_sizes)),
        make=functools.partial(_original, config),
        decode=lambda model, features: model(features["log_mel"], features["noise"]).waveforms.numpy()[..., None],
        features_of=_features,
        build=functools.partial(univnet, config),
        state=_state,
    )


def _original(config):
    """With weights drawn, the predicted kernels' at the level of kernels: the library's fade."""
    import torch
    import transformers

    model = transformers.UnivNetModel(config).eval()
    kernels = (config.model_hidden_channels * config.resblock_kernel_sizes[0]) ** -0.5
    features = _features(model, windows(24_000, 12_032, count=4))
    with drawn(model, levels={r".*kernel_conv": kernels, r".*bias_conv": 0.3, "conv_post": 0.2}):
        model(torch.from_numpy(features["log_mel"]), torch.from_numpy(features["noise"]))
    return model


def _features(model, windows):
    mels = log_mels(windows)
    noise = np.random.default_rng(0).standard_normal((*mels.shape[:2], model.config.model_in_channels))
    return {"noise": noise.astype(np.float32), "log_mel": mels}


def _state(model):
    """The state dict with the predicted kernels as `[layer, tap, in, out]`, in PyTorch `[layer, in, out, tap]`."""
    state, width = dict(model.state_dict()), model.config.model_hidden_channels
    for index, taps in enumerate(model.config.resblock_kernel_sizes):
        for entry in ("weight", "bias"):
            name = f"resblocks.{index}.kernel_predictor.kernel_conv.{entry}"
            by_tap = state[name].reshape(-1, width, 2 * width, taps, *state[name].shape[1:]).movedim(3, 1)
            state[name] = by_tap.reshape(state[name].shape)
    return state
