"""The decoders whose whole speed is measured: their PyTorch originals, their Keras models, and real features.

The originals have the official configurations and random weights; their features are those of a recording.
"""

import dataclasses
import functools
import pathlib
import sys
from collections.abc import Callable

import numpy as np

ROOT = pathlib.Path(__file__).parents[2]
BESIDE = ROOT.parent / "shared" / "data" / "real_audio_24k.wav"
RECORDING = BESIDE if BESIDE.exists() else ROOT / "lucid_keras" / "recording" / "guitar_slide.flac"

LEAST_SECONDS = 10

sys.path.insert(0, str(ROOT / "examples"))


@dataclasses.dataclass(frozen=True)
class Decoder:
    """A decoder of `hop` samples a frame at `rate` samples a second.

    `original()` is the PyTorch model that checkpoints are of; `decoding(original)` its part that is timed, on
    `[1, channels, frames]` if `channels_first`, else on `[1, frames, channels]`; `features(original, samples)` gives
    `[frames, channels]`; `keras_model(length)` with `rename` takes the original's state dict.
    """

    rate: int
    hop: int
    channels_first: bool
    original: Callable
    decoding: Callable
    features: Callable
    keras_model: Callable
    rename: dict

    @property
    def frames(self):
        """The frames of one second."""
        return round(self.rate / self.hop)

    def to_native(self, x):
        """Features `[1, frames, channels]` in PyTorch's layout."""
        return np.ascontiguousarray(x.mT if self.channels_first else x)


def samples_at(rate, path=RECORDING):
    """The first channel of a recording at another rate."""
    import soundfile

    samples, own = soundfile.read(path, dtype="float32", always_2d=True)
    return resampled(samples[:, 0], own, rate)


def resampled(samples, own, rate):
    """Samples at `own` Hz at `rate` Hz, by their spectrum."""
    length = len(samples) * rate // own
    spectrum = np.fft.rfft(samples)
    spectrum = np.pad(spectrum, (0, max(0, length // 2 + 1 - len(spectrum))))[: length // 2 + 1]
    return (np.fft.irfft(spectrum, length) * (length / len(samples))).astype(np.float32)


def recording_at(rate):
    """The recording at another rate, again and again where it is too short to hold a fifth second out."""
    samples = samples_at(rate)
    return np.resize(samples, max(len(samples), LEAST_SECONDS * rate))


def seconds_of(features, frames):
    """`[frames, channels]` cut into whole seconds, `[seconds, frames, channels]`."""
    whole = len(features) // frames * frames
    return features[:whole].reshape(-1, frames, features.shape[1])


def without_weight_norm(model):
    """The model with its weights folded, as anyone runs it."""
    from torch.nn.utils import parametrize

    for module in model.modules():
        if parametrize.is_parametrized(module):
            parametrize.remove_parametrizations(module, "weight")
    return model


def _encodec():
    import encodec_decoder

    def latents(original, samples):
        import torch

        with torch.no_grad():
            return original.encoder(torch.from_numpy(samples)[None, None])[0].mT.numpy()

    return Decoder(
        rate=encodec_decoder.SAMPLE_RATE,
        hop=320,
        channels_first=True,
        original=encodec_decoder.reference_model,
        decoding=lambda original: original.decoder,
        features=latents,
        keras_model=lambda length: encodec_decoder.encodec_decoder(length=length),
        rename=encodec_decoder.DECODER_ONLY,
    )


def _log_mel(samples, rate, **options):
    """`[frames, 80]` of samples."""
    from transformers import SpeechT5FeatureExtractor

    extract = SpeechT5FeatureExtractor(sampling_rate=rate, **options)
    return np.asarray(extract(audio_target=samples, sampling_rate=rate)["input_values"][0], np.float32)


def _hifigan(preset):
    import hifigan_generator

    def original():
        """The vocoder whose statistics are those of what it gets, as a trained one's are."""
        import torch

        model = hifigan_generator.reference_model(preset)
        mel = log_mel(model, recording_at(hifigan_generator.SAMPLE_RATES[preset]))
        model.mean.copy_(torch.from_numpy(mel.mean(0)))
        model.scale.copy_(torch.from_numpy(mel.std(0)))
        return model

    def log_mel(_, samples):
        return _log_mel(samples, hifigan_generator.SAMPLE_RATES[preset])

    options = hifigan_generator.PRESETS[preset]
    return Decoder(
        rate=hifigan_generator.SAMPLE_RATES[preset],
        hop=int(np.prod(options["upsample_rates"])),
        channels_first=False,
        original=original,
        decoding=lambda original: original,
        features=log_mel,
        keras_model=lambda length: hifigan_generator.hifigan_generator(**options),
        rename=hifigan_generator.to_layers(**options),
    )


def _bigvgan():
    import bigvgan_generator

    def mel(original, samples):
        import torch

        found = _log_mel(samples, bigvgan_generator.SAMPLE_RATE, hop_length=10)
        return type(original).process_mel_spectrogram(original, torch.from_numpy(found[np.newaxis]))[0].numpy()

    def original():
        """The generator alone, on what the model makes of a mel spectrogram first."""
        model = bigvgan_generator.reference_model(upsample_initial_channel=512)
        model.process_mel_spectrogram = lambda mel: mel
        return model

    return Decoder(
        rate=bigvgan_generator.SAMPLE_RATE,
        hop=240,
        channels_first=True,
        original=original,
        decoding=lambda original: original,
        features=mel,
        keras_model=lambda length: bigvgan_generator.bigvgan_generator(upsample_initial_channel=512),
        rename=bigvgan_generator.WITHOUT_FILTERS,
    )


DECODERS = {
    "EnCodec 24 kHz": _encodec,
    "HiFi-GAN, SpeechT5's": functools.partial(_hifigan, "speecht5"),
    "HiFi-GAN V1": functools.partial(_hifigan, "v1"),
    "BigVGAN, 512 channels": _bigvgan,
}
