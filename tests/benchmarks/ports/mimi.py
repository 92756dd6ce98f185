"""Mimi's decoder: the example's model on quantized latents (transformers' `MimiModel`)."""

import functools

from mimi_decoder import mimi_decoder, options_of

from benchmarks.ports.drawn import codebook_of, drawn
from benchmarks.ports.port import Port, windows

LEVELS = 8  # codebooks of a frame, which make 1.1 kbit/s


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
        build=lambda length: mimi_decoder(**options_of(config), length=length),
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
