"""EnCodec's 24 kHz decoder: the example's model on quantized latents, its LSTM unrolled where its length is fixed."""

import encodec_decoder

from benchmarks.model_cases import without_weight_norm
from benchmarks.ports.drawn import codebook_of, drawn
from benchmarks.ports.port import Port, windows

LEVELS = 8  # codebooks of a frame, which make 6 kbit/s


def port(**configuration):
    """transformers' EnCodec; by default its own configuration, that of the official model at 24 kHz."""
    import transformers

    config = transformers.EncodecConfig(**configuration)
    names = ("hidden_size", "num_filters", "upsampling_ratios")
    return Port(
        rate=config.sampling_rate,
        hop=config.hop_length,
        make=lambda: _original(configuration),
        decode=lambda model, features: model.decoder(features["latents"].mT).mT.numpy(),
        features_of=lambda model, windows: {"latents": _latents(model, windows).mT.numpy()},
        build=lambda length: encodec_decoder.encodec_decoder(
            **{name: getattr(config, name) for name in names}, length=length
        ),
        state=lambda model: model.state_dict(),
        rename=encodec_decoder.DECODER_ONLY,
    )


def _original(configuration):
    """With weights drawn, and codebooks of the recording's latents, where the library has zeros."""
    import torch

    model = without_weight_norm(encodec_decoder.reference_model(**configuration))
    samples = windows(model.config.sampling_rate, 32 * model.config.hop_length, count=8)
    branches = {r".*block\.3\.conv": 0.5}
    with drawn(model.encoder, branches), drawn(model.decoder, branches | {r"layers\.15\.conv": 0.2}):
        residual = model.encoder(torch.from_numpy(samples)[:, None])
        for level in model.quantizer.layers[:LEVELS]:
            level.codebook.embed.copy_(codebook_of(residual.mT, model.config.codebook_size))
            residual = residual - level.decode(level.encode(residual))
        model.decoder(_latents(model, samples))
    return model


def _latents(model, samples):
    import torch

    codes = model.quantizer.encode(model.encoder(torch.from_numpy(samples)[:, None]))
    return model.quantizer.decode(codes[:LEVELS])
