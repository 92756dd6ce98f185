"""Decoders of other people's in PyTorch, of the official sizes or small, with the inputs that they take: one registry.

Those of `transformers` are the library's own classes. Oobleck, SNAC and HTDemucs's decoder are written here from their
papers: Z. Evans et al., "Stable Audio Open", arXiv:2407.14358; H. Siuzdak et al., "SNAC", arXiv:2410.14411; S. Rouard
et al., "Hybrid Transformers for Music Source Separation", arXiv:2211.08553.
"""

import dataclasses
import math
import re
from collections.abc import Callable

import bigvgan_generator
import torch
import transformers
import vocos_decoder
from comparison import randomize
from torch import nn
from torch.nn.utils.parametrizations import weight_norm


@dataclasses.dataclass(frozen=True)
class Decoder:
    """`make(small)` gives a module with weights drawn, and its example inputs for `frames` frames."""

    make: Callable
    inputs: Callable
    frames: int = 12
    rate: int = 24_000  # samples a second
    hop: int = 256  # samples a frame

    def example(self, small=True):
        module = self.make(small).eval()
        inputs = self.inputs(module, self.frames)
        return drawn(module, inputs), inputs


class Of(nn.Module):
    """A part of a model, or a method of it, as a module whose output is a tensor."""

    def __init__(self, model, run):
        super().__init__()
        self.model, self.run = model, run

    def forward(self, *inputs):
        return self.run(self.model, *inputs)


BRANCH = re.compile(r".*(convs2\.\d|res_unit\d\.conv2|block\.3(\.conv)?)")  # the last convolution of one


def drawn(module, inputs):
    """Weights with which each convolution gives these inputs' signal the same level, in branches a quieter one as in
    trained decoders, and other parameters away from where they begin, which would hide an error in their order.
    """
    randomize(module)
    hooks = []
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.endswith(("alpha", "beta")):
                parameter.add_(torch.empty_like(parameter).uniform_(-0.3, 0.3))
            elif name.endswith(("gamma", "scale")):
                parameter.uniform_(0.1, 0.5)
            elif parameter.ndim == 2 and name.endswith("weight"):
                parameter.normal_(std=parameter.shape[1] ** -0.5)
        for name, buffer in module.named_buffers():
            if name.endswith("embed_sum"):  # Mimi's codebooks
                buffer.normal_()
        for name, layer in module.named_modules():
            if isinstance(layer, nn.Conv1d | nn.ConvTranspose1d):
                hooks.append(layer.register_forward_hook(levelled(0.1 if BRANCH.fullmatch(name) else 0.3)))
        module(*inputs)
    for hook in hooks:
        hook.remove()
    return module


def levelled(level):
    """A hook that scales a convolution's weights, or what weight norm takes for their length, and its bias."""

    def hook(layer, _, output):
        scales = {"weight_g", "bias", "parametrizations.weight.original0"}
        if not any("weight_" in name or "parametrizations" in name for name, _ in layer.named_parameters()):
            scales.add("weight")
        factor = level / output.std()
        for name, parameter in layer.named_parameters():
            if name in scales:
                parameter.mul_(factor)
        return factor * output

    return hook


class Snake(nn.Module):
    """As DAC and SNAC write it, or, with logarithms of two parameters, as Oobleck and BigVGAN."""

    def __init__(self, channels, logarithmic):
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(1, channels, 1) if logarithmic else torch.ones(1, channels, 1))
        self.beta = nn.Parameter(torch.zeros(1, channels, 1)) if logarithmic else None

    def forward(self, x):
        if self.beta is None:
            return x + (self.alpha + 1e-9).reciprocal() * torch.sin(self.alpha * x).pow(2)
        return x + (self.beta.exp() + 1e-9).reciprocal() * torch.sin(self.alpha.exp() * x).pow(2)


class ResidualUnit(nn.Module):
    def __init__(self, channels, dilation, logarithmic, groups=1):
        super().__init__()
        conv = nn.Conv1d(channels, channels, 7, padding=3 * dilation, dilation=dilation, groups=groups)
        self.block = nn.Sequential(
            Snake(channels, logarithmic),
            weight_norm(conv),
            Snake(channels, logarithmic),
            weight_norm(nn.Conv1d(channels, channels, 1)),
        )

    def forward(self, x):
        return x + self.block(x)


def oobleck(small):
    widths, strides, channels = (
        ([4, 3, 2], [4, 2], 3) if small else ([2048, 1024, 512, 256, 128, 128], [8, 8, 4, 4, 2], 64)
    )
    layers = [weight_norm(nn.Conv1d(channels, widths[0], 7, padding=3))]
    for index, stride in enumerate(strides):
        into = widths[index + 1]
        up = nn.ConvTranspose1d(widths[index], into, 2 * stride, stride, padding=math.ceil(stride / 2))
        units = [ResidualUnit(into, dilation, logarithmic=True) for dilation in (1, 3, 9)]
        layers.append(nn.Sequential(Snake(widths[index], True), weight_norm(up), *units))
    last = nn.Conv1d(widths[-1], 2, 7, padding=3, bias=False)
    return nn.Sequential(*layers, Snake(widths[-1], True), weight_norm(last))


def snac(small):
    """Without the noise that the original adds."""
    widths, strides, latents = ([8, 4, 2], [3, 2], 6) if small else ([1024, 512, 256, 128, 64], [8, 8, 4, 2], 768)
    layers = [weight_norm(nn.Conv1d(latents, latents, 7, padding=3, groups=latents)),
              weight_norm(nn.Conv1d(latents, widths[0], 1))]  # fmt: skip
    for index, stride in enumerate(strides):
        into = widths[index + 1]
        options = {"padding": math.ceil(stride / 2), "output_padding": stride % 2}
        up = nn.ConvTranspose1d(widths[index], into, 2 * stride, stride, **options)
        units = [ResidualUnit(into, dilation, False, groups=into) for dilation in (1, 3, 9)]
        layers.append(nn.Sequential(Snake(widths[index], False), weight_norm(up), *units))
    last = weight_norm(nn.Conv1d(widths[-1], 1, 7, padding=3))
    return nn.Sequential(*layers, Snake(widths[-1], False), last, nn.Tanh())


class DemucsDecoder(nn.Module):
    """HTDemucs's layers of the time branch: a skip added, a gated convolution, four samples of each."""

    def __init__(self, widths):
        super().__init__()
        pairs = list(zip(widths, [*widths[1:], 8], strict=True))
        self.rewrite = nn.ModuleList([nn.Conv1d(one, 2 * one, 3, padding=1) for one, _ in pairs])
        self.conv_tr = nn.ModuleList([nn.ConvTranspose1d(one, into, 8, 4) for one, into in pairs])

    def forward(self, x, *skips):
        for index, (rewrite, up, skip) in enumerate(zip(self.rewrite, self.conv_tr, skips, strict=True)):
            x = up(nn.functional.glu(rewrite(x + skip), dim=1))[..., 2:-2]
            x = x if index + 1 == len(skips) else nn.functional.gelu(x)
        return x


def demucs_inputs(module, frames):
    widths = [layer.in_channels for layer in module.conv_tr]
    skips = [torch.randn(1, width, frames * 4**index) for index, width in enumerate(widths)]
    return torch.randn(1, widths[0], frames), *skips


def of_transformers(kind, small, official=None, part=None):
    """A class of the library's with options for a small model, or for the official one."""

    def make(is_small):
        config = getattr(transformers, f"{kind}Config")(**(small if is_small else official or {}))
        model = getattr(transformers, f"{kind}Model" if hasattr(transformers, f"{kind}Model") else kind)(config).eval()
        return model if part is None else part(model)

    return make


def channels(count):
    """Inputs `[batch, channels, frames]`, as many channels as an attribute of the module's configuration says."""
    return lambda module, frames: (torch.randn(1, count(module), frames),)


def first_in(module):
    """The channels that the first convolution takes."""
    return next(one.in_channels for one in module.modules() if isinstance(one, nn.Conv1d | nn.ConvTranspose1d))


def mels(module, frames):
    return (torch.randn(1, frames, 80),)


def codes(module, frames):
    return (torch.randint(0, 16, (1, 8, frames)),)


ENCODEC = {"num_filters": 4, "upsampling_ratios": [3, 2], "hidden_size": 6, "codebook_dim": 6}
ENCODEC_48 = {"audio_channels": 2, "use_causal_conv": False, "norm_type": "time_group_norm", "sampling_rate": 48_000,
              "target_bandwidths": [3.0, 6.0, 12.0, 24.0], "normalize": True, "chunk_length_s": 1.0}  # fmt: skip
DAC = {"encoder_hidden_size": 4, "decoder_hidden_size": 8, "downsampling_ratios": [2, 3], "n_codebooks": 2}
DAC_24, DAC_44 = ({"decoder_hidden_size": 1536, "downsampling_ratios": ratios, "sampling_rate": rate}
                  for ratios, rate in (([2, 4, 5, 8], 24_000), ([2, 4, 8, 8], 44_100)))  # fmt: skip
MIMI = {"hidden_size": 16, "num_filters": 2, "num_hidden_layers": 2, "num_attention_heads": 4, "head_dim": 4,
        "num_key_value_heads": 4, "intermediate_size": 24, "sliding_window": 30, "upsample_groups": 16,
        "codebook_size": 16, "codebook_dim": 8, "vector_quantization_hidden_dimension": 8}  # fmt: skip
HIFIGAN = {"upsample_initial_channel": 16, "upsample_rates": [4, 2], "upsample_kernel_sizes": [8, 4],
           "resblock_kernel_sizes": [3, 5], "resblock_dilation_sizes": [[1, 3], [1, 2]]}  # fmt: skip
BIGVGAN = {"upsample_initial_channel": 8, "upsample_rates": (3, 2), "upsample_kernel_sizes": (5, 4),
           "resblock_kernel_sizes": (3,), "resblock_dilation_sizes": ((1, 3, 5),)}  # fmt: skip
UNIVNET = {"model_hidden_channels": 4, "resblock_stride_sizes": [2, 2, 2]}


def decode(model, audio_codes):
    return model.decode(audio_codes).audio_values


def of_latents(model):
    return Of(model.decoder, lambda decoder, x: decoder(x).audio_values)


DECODERS = {
    "EnCodec 24 kHz": Decoder(
        of_transformers("Encodec", ENCODEC, part=lambda model: model.decoder), channels(first_in), 20, 24_000, 320
    ),
    "EnCodec 48 kHz": Decoder(
        of_transformers("Encodec", ENCODEC_48 | ENCODEC, ENCODEC_48, lambda model: model.decoder),
        channels(first_in), 20, 48_000, 320,
    ),
    **{
        f"DAC {rate // 1000} kHz": Decoder(
            of_transformers("Dac", DAC, official, lambda model: model.decoder), channels(first_in), 12, rate, hop
        )
        for rate, official, hop in ((16_000, None, 320), (24_000, DAC_24, 320), (44_100, DAC_44, 512))
    },
    "Mimi, from latents": Decoder(of_transformers("Mimi", MIMI, part=of_latents), channels(first_in), 12, 24_000, 1920),
    "Mimi, from codes": Decoder(
        of_transformers("Mimi", MIMI, part=lambda model: Of(model, decode)), codes, 12, 24_000, 1920
    ),
    "HiFi-GAN, SpeechT5's": Decoder(of_transformers("SpeechT5HifiGan", HIFIGAN), mels, 20, 16_000),
    "HiFi-GAN, FastSpeech2's": Decoder(of_transformers("FastSpeech2ConformerHifiGan", HIFIGAN), mels, 20, 22_050),
    "VITS": Decoder(
        of_transformers("Vits", HIFIGAN | {"flow_size": 6}, part=lambda model: model.decoder),
        channels(first_in), 20, 16_000,
    ),
    "BigVGAN": Decoder(
        lambda small: bigvgan_generator.reference_model(**(BIGVGAN if small else {})),
        channels(first_in), 12, 24_000, 240,
    ),
    "UnivNet": Decoder(
        of_transformers("UnivNet", UNIVNET, part=lambda model: Of(model, lambda one, *two: one(*two).waveforms)),
        lambda module, frames: (torch.randn(1, frames, 100), torch.randn(1, frames, 64)), 20,
    ),
    "Oobleck": Decoder(oobleck, channels(first_in), 12, 44_100, 2048),
    "SNAC": Decoder(snac, channels(first_in), 12, 24_000, 512),
    "Vocos": Decoder(
        lambda small: vocos_decoder.torch_vocos(
            vocos_decoder.VocosConfig(bands=5, width=12, intermediate=20, blocks=2, n_fft=16, hop=4)
            if small
            else vocos_decoder.VocosConfig()
        ),
        channels(first_in), 20,
    ),
    "HTDemucs's decoder": Decoder(
        lambda small: DemucsDecoder([8, 4] if small else [384, 192, 96, 48]), demucs_inputs, 12, 44_100, 256
    ),
}  # fmt: skip
