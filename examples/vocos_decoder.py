"""Vocos at 24 kHz in Keras: a ConvNeXt backbone and an inverse short-time Fourier transform.

    python examples/vocos_decoder.py                              random weights, compared with the same in PyTorch
    python examples/vocos_decoder.py --checkpoint FILE            your weights, the authors' names
    python examples/vocos_decoder.py --live                       frame by frame, equal to the whole decode

Its class is in none of the libraries here; the one in PyTorch below follows the paper, section 3.2 and 3.3, and has the
sizes of the authors' model for mel spectrograms and their parameters' names.

Source: H. Siuzdak, "Vocos", arXiv:2306.00814; the blocks: Z. Liu et al., "A ConvNet for the 2020s", arXiv:2201.03545.
"""

import dataclasses
import os
import pathlib
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's notes would hide the results

import keras
import numpy as np
from comparison import add_live, parser_of, print_comparison, print_live, run, tell

import lucid_keras as lk

SAMPLE_RATE = 24_000
LOUDEST = 100.0  # magnitude of a bin

# From the authors' names to the layers here; their windows and filters follow from the sizes.
TO_LAYERS = {r"gamma$": "gamma.scale", r"^(feature_extractor\.|head\.istft\.)": None}


@dataclasses.dataclass(frozen=True)
class VocosConfig:
    """The sizes of a Vocos; the defaults are those of the authors' model at 24 kHz."""

    bands: int = 100
    width: int = 512
    intermediate: int = 1536
    blocks: int = 8
    n_fft: int = 1024
    hop: int = 256


@keras.saving.register_keras_serializable(package="vocos")
class Scale(keras.layers.Layer):
    """`x * scale` for each channel of `[batch, length, channels]`."""

    def build(self, shape):
        self.scale = self.add_weight(name="scale", shape=shape[-1:], initializer="ones")

    def call(self, x):
        return x * self.scale


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
        x = x + Scale(name=f"{name}.gamma")(y)
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


def reference_model(config=VocosConfig(), state=None):
    """The model in PyTorch with the weights of a `state`, or with random ones.

    Their log-magnitudes and phases spread: with what PyTorch itself draws for linear layers each frame is one click.
    """
    import torch

    torch.manual_seed(0)
    model = torch_vocos(config).eval()
    if state is not None:
        model.load_state_dict(state, strict=False)
        return model
    with torch.no_grad():
        for name, module in model.named_modules():
            if isinstance(module, torch.nn.Linear):
                level = 1.5 if name == "head.out" else 1
                module.weight.normal_(std=level * module.in_features**-0.5)
        for name, parameter in model.named_parameters():
            if name.endswith("gamma"):
                parameter.uniform_(0.1, 0.5)
    return model


def main(argv=None):
    """Run the command; what it printed is returned."""
    parser = parser_of(__doc__)
    parser.add_argument("--checkpoint", help="a checkpoint with the authors' names")
    parser.add_argument("--seconds", type=float, default=1.0, help="of audio in a call of the file (default: 1)")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("vocos_decoder.tflite"))
    add_live(parser)
    arguments = parser.parse_args(argv)

    import torch

    config = VocosConfig()
    frames = round(arguments.seconds * SAMPLE_RATE / config.hop) + 1
    log_mel = np.random.default_rng(0).normal(-4, 2, (1, frames, config.bands)).astype("float32")
    decoder = vocos(config)
    with tempfile.TemporaryDirectory() as directory:
        checkpoint = arguments.checkpoint
        if checkpoint is None:
            checkpoint = pathlib.Path(directory) / "vocos.pt"
            torch.save(reference_model(config).state_dict(), checkpoint)
        tell(f"loading {checkpoint} into Keras")
        lk.interop.load_state_dict(decoder, checkpoint, rename=TO_LAYERS)
        state = {name: torch.from_numpy(array) for name, array in lk.interop.read_state_dict(checkpoint).items()}
    if arguments.live:
        return print_live(decoder, arguments.output, log_mel, SAMPLE_RATE, pointwise=[Scale])
    with torch.no_grad():
        expected = reference_model(config, state)(torch.from_numpy(log_mel).mT).numpy()
    tell(f"exporting to {arguments.output} and verifying")
    lk.export.to_tflite(decoder, arguments.output, length=frames)
    return print_comparison(arguments.output, log_mel, decoder(log_mel), expected, expected.shape[1] / SAMPLE_RATE)


if __name__ == "__main__":
    run(main)
