"""SpeechT5's vocoder: the example's HiFi-GAN on the recording's log-mels.

Source: J. Kong et al., "HiFi-GAN", arXiv:2010.05646.
"""

import functools
import math

import hifigan_generator
import keras
import numpy as np

from benchmarks.model_cases import without_weight_norm
from benchmarks.ports.drawn import drawn
from benchmarks.ports.port import Port, windows


def port(preset="speecht5"):
    """transformers' `SpeechT5HifiGan` of one of the example's presets at 16 kHz, by default the official one."""
    options = hifigan_generator.PRESETS[preset]
    return Port(
        rate=hifigan_generator.SAMPLE_RATES[preset],
        hop=math.prod(options["upsample_rates"]),
        make=functools.partial(_original, preset),
        decode=lambda model, features: model(features["log_mel"]).numpy()[..., None],
        features_of=lambda model, windows: {"log_mel": log_mels(windows)},
        build=functools.partial(_of_length, options),
        state=lambda model: model.state_dict(),
        rename=hifigan_generator.to_layers(**options),
    )


def _of_length(options, length):
    """The example's model, whose length is open, with a known one as the other ports have."""
    log_mel = keras.Input((length, 80), name="log_mel")
    return keras.models.clone_model(hifigan_generator.hifigan_generator(**options), input_tensors=log_mel)


def _original(preset):
    """With weights drawn and the recording's own statistics, as a trained one has those of what it gets."""
    import torch

    model = without_weight_norm(hifigan_generator.reference_model(preset))
    mels = torch.from_numpy(log_mels(windows(hifigan_generator.SAMPLE_RATES[preset], 8_192, count=4)))
    with drawn(model, levels={"conv_post": 0.2, r"resblocks.*\.convs2\..": 0.5}):
        model.mean.copy_(mels.mean([0, 1]))
        model.scale.copy_(mels.std([0, 1]))
        model(mels)
    return model


@functools.cache
def _extractor():
    from transformers import SpeechT5FeatureExtractor

    return SpeechT5FeatureExtractor()


def log_mels(windows):
    """`[batch, samples]` of audio at 16 kHz to `[batch, samples // 256, 80]`."""
    extract = _extractor()
    mels = [extract(audio_target=one, sampling_rate=extract.sampling_rate)["input_values"][0] for one in windows]
    return np.stack(mels).astype(np.float32)[:, : windows.shape[1] // 256]
