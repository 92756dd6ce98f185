"""Vocos at 24 kHz: the example's on the recording's log-mels.

Source: H. Siuzdak, "Vocos", arXiv:2306.00814.
"""

import functools

from vocos_decoder import TO_LAYERS, VocosConfig, torch_vocos, vocos

from benchmarks.ports.drawn import drawn
from benchmarks.ports.mels import log_mels
from benchmarks.ports.port import Port, windows


def port(**sizes):
    """Vocos of the authors' size, or of other `sizes`."""
    config = VocosConfig(**sizes)
    return Port(
        rate=24_000,
        hop=config.hop,
        make=functools.partial(_original, config),
        decode=lambda model, features: model(features["log_mel"].mT).numpy(),
        features_of=lambda model, windows: {"log_mel": log_mels(windows)},
        build=functools.partial(vocos, config),
        state=lambda model: model.state_dict(),
        rename=TO_LAYERS,
    )


def _original(config):
    """Whose log-magnitudes and phases spread as speech's do: with linear layers' own start each frame is one click."""
    import torch

    model = torch_vocos(config).eval()
    with drawn(model, levels={r"head\.out": 1.5}, spans={r".*gamma": (0.1, 0.5)}):
        model(torch.from_numpy(log_mels(windows(24_000, 12_032, count=4))).mT)
    return model
