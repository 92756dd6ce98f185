"""DAC's decoder: Snake activations, transposed convolutions and dilated residual units (transformers' `DacModel`).

Source: R. Kumar et al., "High-Fidelity Audio Compression with Improved RVQGAN", arXiv:2306.06546.
"""

import functools
import math

import keras

import lucid_keras as lk
from benchmarks.ports.drawn import codebook_of, drawn
from benchmarks.ports.port import Port, windows

ALPHA = {r".*\.?alpha": (0.5, 2)}


def dac_decoder(config, length=None):
    """The decoder as a `keras.Model` of latents `[batch, frames, hidden_size]` to samples `[batch, samples, 1]`."""

    def conv(x, filters, taps, name, dilation=1):
        return keras.layers.Conv1D(filters, taps, dilation_rate=dilation, padding="same", name=name)(x)

    def snake(x, name):
        return lk.Snake(weight_shape=(1, x.shape[-1], 1), name=name)(x)

    def residual_unit(x, channels, dilation, name):
        y = conv(snake(x, f"{name}.snake1"), channels, 7, f"{name}.conv1", dilation)
        return x + conv(snake(y, f"{name}.snake2"), channels, 1, f"{name}.conv2")

    latents = keras.Input((length, config.hidden_size), name="latents")
    channels = config.decoder_hidden_size
    x = conv(latents, channels, 7, "conv1")
    for index, stride in enumerate(config.upsampling_ratios):
        name = f"block.{index}"
        x = lk.ConvTranspose1d(
            channels,
            channels // 2,
            kernel_size=2 * stride,
            stride=stride,
            padding=math.ceil(stride / 2),
            data_format="channels_last",
            name=f"{name}.conv_t1",
        )(snake(x, f"{name}.snake1"))
        channels //= 2
        for unit, dilation in enumerate((1, 3, 9)):
            x = residual_unit(x, channels, dilation, f"{name}.res_unit{unit + 1}")
    samples = keras.ops.tanh(conv(snake(x, "snake1"), 1, 7, "conv2"))
    return keras.Model(latents, samples, name="dac_decoder")


def port(**configuration):
    """transformers' DAC; by default its own configuration, that of the official model at 16 kHz."""
    import transformers

    config = transformers.DacConfig(**configuration)
    return Port(
        rate=config.sampling_rate,
        hop=config.hop_length,
        make=functools.partial(_original, config),
        decode=lambda model, features: model.decoder(features["latents"].mT).mT.numpy(),
        features_of=_features,
        build=functools.partial(dac_decoder, config),
        state=lambda model: model.decoder.state_dict(),
    )


def _original(config):
    """With codebooks of the recording's own latents: the library's fade to a constant."""
    import torch
    import transformers

    model = transformers.DacModel(config).eval()
    branches = {r".*res_unit.\.conv2": 0.3}  # louder ones amplify what float32 rounds
    with drawn(model.encoder, branches, ALPHA), drawn(model.decoder, branches | {"conv2": 0.2}, ALPHA):
        samples = windows(config.sampling_rate, 16 * config.hop_length, count=4)
        residual, latents = model.encoder(torch.from_numpy(samples)[:, None]), 0
        for level in model.quantizer.quantizers:
            level.out_proj.weight.copy_(torch.linalg.pinv(level.in_proj.weight[..., 0])[..., None])
            level.codebook.weight.copy_(codebook_of(level.in_proj(residual).mT, config.codebook_size))
            quantized = level(residual)[0]
            latents, residual = latents + quantized, residual - quantized
        model.decoder(latents)
    return model


def _features(model, samples):
    import torch

    return {"latents": model.encode(torch.from_numpy(samples)[:, None]).quantized_representation.mT.numpy()}
