"""The examples' decoders that recipes are chosen for: weights trained or drawn, on short windows of recordings."""

import dataclasses
import functools

import bigvgan_generator
import demucs_decoder
import keras
import live_decoder
import numpy as np
import train_audio_autoencoder

from benchmarks.model_cases import ROOT
from benchmarks.ports import held_out
from benchmarks.ports.drawn import drawn
from benchmarks.ports.port import WINDOWS, windows
from benchmarks.ports.speecht5 import log_mels
from benchmarks.voice_cases import VOICES, Voice
from lucid_keras.interop import load_state_dict

RECORDED = ROOT / ".cache" / "voice"
FRAMES = 25  # of BigVGAN in a window, a quarter of a second
CHANNELS = 512  # of BigVGAN, as the example has them
SAMPLES = 11_025  # of Demucs in a window, a quarter of a second
LATENTS = 38  # of the live decoder in a window, half a second
LOUDNESS = 0.1  # of each window of the guitar, as standard deviation
STEPS = 300  # that the autoencoder learns


def bigvgan():
    """Drawn weights, on the recording's mel spectrogram."""
    import torch

    model = bigvgan_generator.reference_model(upsample_initial_channel=CHANNELS)
    log_mel = torch.from_numpy(log_mels(windows(16_000, 256 * FRAMES)) * np.log(10, dtype=np.float32))
    with drawn(model, {"conv_post": 0.2, r"resblocks.*\.convs2\..": 0.5}, {r".*\.(alpha|beta)": (-0.5, 0.5)}):
        model(log_mel[:1].mT)
    mel = np.stack([model.process_mel_spectrogram(one).numpy() for one in log_mel])
    generator = bigvgan_generator.bigvgan_generator(upsample_initial_channel=CHANNELS)
    load_state_dict(generator, model.state_dict(), rename=bigvgan_generator.WITHOUT_FILTERS)
    return _voice(generator, bigvgan_generator.SAMPLE_RATE, [mel])


def demucs():
    """Drawn weights, on what strided convolutions make of the recording."""
    reference, _ = demucs_decoder.reference_model()
    decoder = demucs_decoder.demucs_decoder(SAMPLES)
    load_state_dict(decoder, reference.state_dict())
    keras.utils.set_random_seed(0)
    x, skips = windows(demucs_decoder.SAMPLE_RATE, SAMPLES)[..., np.newaxis], []
    for skip in reversed(decoder.inputs):
        x = keras.layers.Conv1D(skip.shape[-1], 8, strides=4, padding="same", activation="gelu")(x).numpy()
        x = _level(x)
        skips.insert(0, x)
    return _voice(decoder, demucs_decoder.SAMPLE_RATE, skips)


def _level(x):
    """Windows `[count, length, channels]`, each as loud as the others, as what a decoder was trained on mostly is."""
    return x / x.std((1, 2), keepdims=True)


def autoencoder():
    """Trained for a minute on the package's guitar, and given windows of it."""
    keras.utils.set_random_seed(0)
    recording, rate = train_audio_autoencoder.read_recording(live_decoder.RECORDING)
    model = train_audio_autoencoder.autoencoder()
    model.compile(optimizer=keras.optimizers.Adam(3e-3, clipnorm=1.0), loss="mean_squared_error")
    model.fit(train_audio_autoencoder.crops(recording), steps_per_epoch=STEPS, shuffle=False, verbose=0)
    starts = np.linspace(0, len(recording) - train_audio_autoencoder.CROP, WINDOWS).astype(int)
    excerpts = [recording[start : start + train_audio_autoencoder.CROP, np.newaxis] for start in starts]
    return _voice(model, rate, [LOUDNESS * _level(np.stack(excerpts))])


def live():
    """Keras's own random weights, on the package's guitar."""
    keras.utils.set_random_seed(0)
    latents = live_decoder.latents_of(live_decoder.RECORDING)[0]
    starts = np.linspace(0, len(latents) - LATENTS, WINDOWS).astype(int)
    excerpts = [latents[start : start + LATENTS] for start in starts]
    return _voice(live_decoder.causal_decoder(), live_decoder.SAMPLE_RATE, [LOUDNESS * _level(np.stack(excerpts))])


def _voice(model, rate, arrays):
    return Voice(model, rate, *held_out(dict(zip([one.name for one in model.inputs], arrays, strict=True))))


def _other(name):
    """What the other benchmarks have of an example, verified on one window, for those of Kokoro take minutes in int16.

    None where it needs what `make voice` records and is not there.
    """
    recorded = {"kokoro": "kokoro.npz", "codec": "codec.npz"}.get(name)
    if recorded and not (RECORDED / recorded).exists():
        return None
    voice = VOICES[name](RECORDED)
    return dataclasses.replace(voice, held_out={key: windows[:1] for key, windows in voice.held_out.items()})


CASES = {
    "`bigvgan_generator.py`": bigvgan,
    "`demucs_decoder.py`": demucs,
    "`encodec_decoder.py`": functools.partial(_other, "EnCodec 24 kHz"),
    "`encodec_decoder.py`, small and trained": functools.partial(_other, "codec"),
    "`hifigan_generator.py`": functools.partial(_other, "HiFi-GAN, SpeechT5's"),
    "`kokoro_vocoder.py`, trained": functools.partial(_other, "kokoro"),
    "`live_decoder.py`": live,
    "`train_audio_autoencoder.py`, trained": autoencoder,
}
