"""VITS's decoder, a HiFi-GAN that a speaker's embedding steers (transformers' `VitsModel`).

Source: J. Kim et al., "Conditional Variational Autoencoder with Adversarial Learning", arXiv:2106.06103.
"""

import functools

import keras
import numpy as np

import lucid_keras as lk
from benchmarks.ports.drawn import drawn
from benchmarks.ports.port import Port

# What the official model of many speakers, VCTK's, has beside the library's own configuration.
VCTK = {"sampling_rate": 22_050, "num_speakers": 109, "speaker_embedding_size": 256}


def vits_decoder(config, length=None):
    """The decoder as a `keras.Model` of `latents [batch, frames, flow_size]` and `speaker [batch, 1, size]` to samples
    `[batch, samples, 1]`.
    """

    def activated(x, slope=config.leaky_relu_slope):
        return keras.layers.LeakyReLU(negative_slope=slope)(x)

    def conv(x, filters, taps, name, dilation=1, bias=True):
        return keras.layers.Conv1D(filters, taps, dilation_rate=dilation, padding="same", use_bias=bias, name=name)(x)

    def residual_block(x, channels, taps, dilations, name):
        for index, dilation in enumerate(dilations):
            y = conv(activated(x), channels, taps, f"{name}.convs1.{index}", dilation)
            x = x + conv(activated(y), channels, taps, f"{name}.convs2.{index}")
        return x

    latents = keras.Input((length, config.flow_size), name="latents")
    speaker = keras.Input((1, config.speaker_embedding_size), name="speaker")
    channels = config.upsample_initial_channel
    x = conv(latents, channels, 7, "conv_pre") + conv(speaker, channels, 1, "cond")
    kinds = list(zip(config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True))
    for stage, (rate, taps) in enumerate(zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True)):
        x = lk.ConvTranspose1d(
            channels,
            channels // 2,
            kernel_size=taps,
            stride=rate,
            padding=(taps - rate) // 2,
            data_format="channels_last",
            name=f"upsampler.{stage}",
        )(activated(x))
        channels //= 2
        x = keras.layers.Average()(
            [
                residual_block(x, channels, taps, dilations, f"resblocks.{stage * len(kinds) + kind}")
                for kind, (taps, dilations) in enumerate(kinds)
            ]
        )
    samples = keras.ops.tanh(conv(activated(x, slope=0.01), 1, 7, "conv_post", bias=False))
    return keras.Model({"latents": latents, "speaker": speaker}, samples, name="vits_decoder")


def port(**configuration):
    """transformers' VITS with speakers; by default the configuration of the official model of VCTK's voices."""
    import transformers

    config = transformers.VitsConfig(**VCTK | configuration)
    return Port(
        rate=config.sampling_rate,
        hop=int(np.prod(config.upsample_rates)),
        make=functools.partial(_original, config),
        decode=_decode,
        features_of=_features,
        build=functools.partial(vits_decoder, config),
        state=lambda model: model.decoder.state_dict(),
    )


def _decode(model, features):
    return model.decoder(features["latents"].mT, features["speaker"].mT).mT.numpy()


def _original(config):
    """With the decoder's weights drawn: the library's saturate."""
    import torch
    import transformers

    model = transformers.VitsModel(config).eval()
    with drawn(model.decoder, levels={"conv_post": 0.2, r"resblocks.*\.convs2\..": 0.5}):
        model.decoder(torch.randn(2, config.flow_size, 43), model.embed_speaker(torch.tensor([[0], [1]])).mT)
    return model


def _features(model, windows):
    """Normal latents, as the flow's prior is, each with the library's embedding of a speaker."""
    import torch

    count, length = windows.shape
    frames = length // int(np.prod(model.config.upsample_rates))
    latents = np.random.default_rng(0).standard_normal((count, frames, model.config.flow_size))
    speakers = torch.arange(count)[:, None] % model.config.num_speakers
    return {"latents": latents.astype(np.float32), "speaker": model.embed_speaker(speakers).numpy()}
