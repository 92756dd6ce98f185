"""Mimi's decoder: a depthwise upsampler, a transformer and a causal SEANet (transformers' `MimiModel`).

Source: A. Défossez et al., "Moshi", arXiv:2410.00037; J. Su et al., "RoFormer", arXiv:2104.09864.
"""

import functools

import keras
import numpy as np
from encodec_decoder import Trim

import lucid_keras as lk
from benchmarks.ports.drawn import codebook_of, drawn
from benchmarks.ports.port import Port, windows
from benchmarks.ports.scale import Scale

LEVELS = 8  # codebooks of a frame, which make 1.1 kbit/s


class RotaryAttention(keras.layers.Layer):
    """Causal attention of queries, keys and values `[batch, length, heads*size]` over the last `window` positions.

    Queries and keys are turned by their positions: of each head, channel `i` and `i + size/2` make a plane. The length
    must be known.
    """

    def __init__(self, heads, window, theta, **kwargs):
        super().__init__(**kwargs)
        self.heads, self.window, self.theta = heads, window, theta

    def call(self, query, key, value):
        ops, (_, length, channels) = keras.ops, query.shape
        size = channels // self.heads
        frequencies = np.float32(1) / self.theta ** (np.arange(0, size, 2, dtype=np.float32) / size)
        angles = np.arange(length, dtype=np.float32)[:, np.newaxis] * np.tile(frequencies, 2)
        cos, sin = np.cos(angles), np.sin(angles) * np.repeat(np.array([-1, 1], np.float32), size // 2)

        def by_head(x):
            return ops.transpose(ops.reshape(x, [-1, length, self.heads, size]), [0, 2, 1, 3])

        def turned(x):
            first, second = ops.split(x, 2, axis=-1)
            return x * cos + ops.concatenate([second, first], axis=-1) * sin

        query, key, value = turned(by_head(query)), turned(by_head(key)), by_head(value)
        apart = np.subtract.outer(np.arange(length), np.arange(length))
        hidden = np.where((apart >= 0) & (apart < self.window), 0, -1e9).astype(np.float32)
        scores = ops.matmul(query, ops.transpose(key, [0, 1, 3, 2])) * size**-0.5 + hidden
        mixed = ops.matmul(ops.softmax(scores, axis=-1), value)
        return ops.reshape(ops.transpose(mixed, [0, 2, 1, 3]), [-1, length, channels])


def mimi_decoder(config, length):
    """The decoder as a `keras.Model` of latents `[batch, length, hidden_size]` to samples `[batch, samples, 1]`."""

    def dense(x, units, name):
        return keras.layers.Dense(units, use_bias=False, name=name)(x)

    def norm(x, name):
        return keras.layers.LayerNormalization(epsilon=config.norm_eps, name=name)(x)

    def transformer_layer(x, name):
        y = norm(x, f"{name}.input_layernorm")
        units = config.num_attention_heads * config.head_dim
        turned = [dense(y, units, f"{name}.self_attn.{letter}_proj") for letter in "qkv"]
        theta = config.rope_parameters["rope_theta"]
        y = RotaryAttention(config.num_attention_heads, config.sliding_window, theta)(*turned)
        y = dense(y, config.hidden_size, f"{name}.self_attn.o_proj")
        x = x + Scale(name=f"{name}.self_attn_layer_scale")(y)
        y = dense(norm(x, f"{name}.post_attention_layernorm"), config.intermediate_size, f"{name}.mlp.fc1")
        y = dense(keras.layers.Activation("gelu")(y), config.hidden_size, f"{name}.mlp.fc2")
        return x + Scale(name=f"{name}.mlp_layer_scale")(y)

    def causal_conv(x, filters, taps, name):
        return keras.layers.Conv1D(filters, taps, padding="causal", name=f"decoder_seanet.layers.{name}.conv")(x)

    def upsampled(x, channels, stride, name, **options):
        options |= {"kernel_size": 2 * stride, "stride": stride, "data_format": "channels_last"}
        return Trim(stride)(lk.ConvTranspose1d(x.shape[-1], channels, name=name, **options)(x))

    latents = keras.Input((length, config.hidden_size), name="latents")
    once = {"groups": config.upsample_groups, "bias": False}
    x = upsampled(latents, config.hidden_size, config.latent_stride, "upsample.conv", **once)
    for index in range(config.num_hidden_layers):
        x = transformer_layer(x, f"decoder_transformer.layers.{index}")
    channels = config.num_filters * 2 ** len(config.upsampling_ratios)
    x = causal_conv(x, channels, config.kernel_size, "0")
    for stage, stride in enumerate(config.upsampling_ratios):
        channels //= 2
        x = upsampled(keras.layers.ELU()(x), channels, stride, f"decoder_seanet.layers.{3 * stage + 2}.conv")
        block = f"{3 * stage + 3}.block"
        y = causal_conv(keras.layers.ELU()(x), channels // config.compress, config.residual_kernel_size, f"{block}.1")
        x = x + causal_conv(keras.layers.ELU()(y), channels, 1, f"{block}.3")
    last = f"{3 * len(config.upsampling_ratios) + 2}"
    samples = causal_conv(keras.layers.ELU()(x), 1, config.last_kernel_size, last)
    return keras.Model(latents, samples, name="mimi_decoder")


def port(**configuration):
    """transformers' Mimi; by default its own configuration, that of the official model."""
    import transformers

    config = transformers.MimiConfig(**configuration)
    return Port(
        rate=config.sampling_rate,
        hop=config.frame_size,
        make=functools.partial(_original, config),
        decode=lambda model, features: model.decoder(features["latents"].mT).audio_values.mT.numpy(),
        features_of=lambda model, windows: {"latents": _latents(model, windows).mT.numpy()},
        build=functools.partial(mimi_decoder, config),
        state=lambda model: model.decoder.state_dict(),
    )


def _original(config):
    """With weights drawn, and codebooks of the recording's latents, where the library has zeros.

    Its layer scales start at 0.01, with which the transformer would hardly count.
    """
    import torch
    import transformers

    model = transformers.MimiModel(config).eval()
    samples = windows(config.sampling_rate, 16 * config.frame_size, count=4)
    branches, scales = {r".*block\.3\.conv": 0.5}, {r".*_layer_scale\.scale": (0.1, 0.5)}
    last = rf"decoder_seanet\.layers\.{3 * len(config.upsampling_ratios) + 2}\.conv"
    with drawn(model.encoder, branches, scales), drawn(model.decoder, branches | {last: 0.2}, scales):
        latents = model.encoder(torch.from_numpy(samples)[:, None]).latents
        semantic, acoustic = (
            getattr(model.quantizer, f"{kind}_residual_vector_quantizer") for kind in ("semantic", "acoustic")
        )
        for quantizer, levels in ((semantic, config.num_semantic_quantizers), (acoustic, LEVELS)):
            residual = quantizer.input_proj(latents)
            for level in quantizer.layers[:levels]:
                level.codebook.embed_sum.copy_(codebook_of(residual.mT, config.codebook_size))
                residual = residual - level.decode(level.encode(residual))
        model.decoder(_latents(model, samples))
    return model


def _latents(model, samples):
    import torch

    codes = model.encode(torch.from_numpy(samples)[:, None], num_quantizers=LEVELS).audio_codes
    return model.quantizer.decode(codes)
