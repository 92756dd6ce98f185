"""Vocos at 24 kHz: a ConvNeXt backbone and an inverse short-time Fourier transform.

Its class is in none of the libraries here; the one in PyTorch below follows the paper, section 3.2 and 3.3, and has the
sizes of the authors' model for mel spectrograms and their parameters' names.

Source: H. Siuzdak, "Vocos", arXiv:2306.00814; the blocks: Z. Liu et al., "A ConvNet for the 2020s", arXiv:2201.03545.
"""

import dataclasses
import functools

import keras
from mimi_decoder import LayerScale

import lucid_keras as lk
from benchmarks.ports.drawn import drawn
from benchmarks.ports.mels import log_mels
from benchmarks.ports.port import Port, windows

LOUDEST = 100.0  # magnitude of a bin


@dataclasses.dataclass(frozen=True)
class VocosConfig:
    """The sizes of a Vocos; the defaults are those of the authors' model at 24 kHz."""

    bands: int = 100
    width: int = 512
    intermediate: int = 1536
    blocks: int = 8
    n_fft: int = 1024
    hop: int = 256


def vocos(config, length=None):
    """The vocoder as a `keras.Model` of log-mels `[batch, frames, bands]` to samples `[batch, hop*(frames - 1)]`."""

    def norm(x, name):
        return keras.layers.LayerNormalization(epsilon=1e-6, name=name)(x)

    log_mel = keras.Input((length, config.bands), name="log_mel")
    x = keras.layers.Conv1D(config.width, 7, padding="same", name="backbone.embed")(log_mel)
    x = norm(x, "backbone.norm")
    for index in range(config.blocks):
        name = f"backbone.convnext.{index}"
        y = norm(keras.layers.DepthwiseConv1D(7, padding="same", name=f"{name}.dwconv")(x), f"{name}.norm")
        y = keras.layers.Dense(config.intermediate, activation="gelu", name=f"{name}.pwconv1")(y)
        y = keras.layers.Dense(config.width, name=f"{name}.pwconv2")(y)
        x = x + LayerScale(name=f"{name}.gamma")(y)
    x = norm(x, "backbone.final_layer_norm")
    x = keras.layers.Dense(config.n_fft + 2, name="head.out")(x)
    magnitude, phase = keras.ops.split(x, 2, axis=-1)
    magnitude = keras.ops.minimum(keras.ops.exp(magnitude), LOUDEST)
    spectrum = keras.ops.concatenate([magnitude * keras.ops.cos(phase), magnitude * keras.ops.sin(phase)], axis=-1)
    samples = lk.ISTFT(config.n_fft, config.hop, data_format="channels_last", name="head.istft")(spectrum)
    return keras.Model(log_mel, samples, name="vocos")


def torch_vocos(config):
    """The same in PyTorch, on `[batch, bands, frames]`."""
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.dwconv = nn.Conv1d(config.width, config.width, 7, padding=3, groups=config.width)
            self.norm = nn.LayerNorm(config.width, eps=1e-6)
            self.pwconv1 = nn.Linear(config.width, config.intermediate)
            self.pwconv2 = nn.Linear(config.intermediate, config.width)
            self.gamma = nn.Parameter(torch.full([config.width], 1 / config.blocks))

        def forward(self, x):
            y = self.pwconv1(self.norm(self.dwconv(x).mT))
            return x + (self.gamma * self.pwconv2(nn.functional.gelu(y))).mT

    class Backbone(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Conv1d(config.bands, config.width, 7, padding=3)
            self.norm = nn.LayerNorm(config.width, eps=1e-6)
            self.convnext = nn.ModuleList([Block() for _ in range(config.blocks)])
            self.final_layer_norm = nn.LayerNorm(config.width, eps=1e-6)

        def forward(self, x):
            x = self.norm(self.embed(x).mT).mT
            for block in self.convnext:
                x = block(x)
            return self.final_layer_norm(x.mT)

    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            self.out = nn.Linear(config.width, config.n_fft + 2)

        def forward(self, x):
            magnitude, phase = self.out(x).mT.chunk(2, dim=1)
            spectrum = torch.polar(magnitude.exp().clip(max=LOUDEST), phase)
            window = torch.hann_window(config.n_fft, dtype=x.dtype)
            return torch.istft(spectrum, config.n_fft, config.hop, window=window, center=True)

    class Vocos(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone, self.head = Backbone(), Head()

        def forward(self, log_mel):
            return self.head(self.backbone(log_mel))

    return Vocos()


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
        rename={r"gamma$": "gamma.scale"},
    )


def _original(config):
    """Whose log-magnitudes and phases spread as speech's do: with linear layers' own start each frame is one click."""
    import torch

    model = torch_vocos(config).eval()
    with drawn(model, levels={r"head\.out": 1.5}, spans={r".*gamma": (0.1, 0.5)}):
        model(torch.from_numpy(log_mels(windows(24_000, 12_032, count=4))).mT)
    return model
