"""Log-mel spectrograms of 24 kHz audio, 100 bands, a frame each 256 samples: what Vocos and UnivNet were trained on."""

import functools

import numpy as np


@functools.cache
def _extractor():
    from transformers import UnivNetFeatureExtractor

    return UnivNetFeatureExtractor()


def log_mels(windows):
    """`[batch, samples]` of audio to `[batch, samples // 256, 100]`."""
    return np.stack([_extractor().mel_spectrogram(one) for one in windows]).astype(np.float32)
