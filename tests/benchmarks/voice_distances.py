"""How far a voice is from another: in decibels, in its spectrum and in its log-mel spectrum.

Decibels follow the loud; noise in a quiet band, which is heard, they leave out. The distances of spectra see it.

Source: R. Yamamoto et al., "Parallel WaveGAN", arXiv:1910.11480, eq. 4 to 6; J. Kong et al., "HiFi-GAN",
arXiv:2010.05646, the log-mel distance.
"""

import numpy as np

from lucid_keras.export import snr_db

SIZES = (256, 512, 1024, 2048)  # of the windows, in samples
LEAST = 1e-5  # added before a logarithm
MEL_SIZE, MEL_BANDS = 1024, 80


def magnitudes(samples, size):
    """`[frames, bins]`: the short-time spectrum by Hann windows, each a quarter of its size from the next."""
    frames = np.lib.stride_tricks.sliding_window_view(np.asarray(samples, np.float64), size)[:: size // 4]
    return np.abs(np.fft.rfft(frames * np.hanning(size)))


def stft_distance(reference, result):
    """Over the sizes of windows the mean of the spectral convergence plus the mean difference of the logarithms."""
    found = []
    for size in SIZES:
        wanted, got = magnitudes(reference, size), magnitudes(result, size)
        logarithms = np.abs(np.log((got + LEAST) / (wanted + LEAST)))
        found.append(np.linalg.norm(got - wanted) / np.linalg.norm(wanted) + logarithms.mean())
    return float(np.mean(found))


def log_mel_distance(reference, result, rate):
    """The mean difference of the logarithms of the mel spectra."""
    bands = mel_bands(rate, MEL_SIZE, MEL_BANDS)
    wanted, got = (magnitudes(one, MEL_SIZE) @ bands for one in (reference, result))
    return float(np.abs(np.log((got + LEAST) / (wanted + LEAST))).mean())


def mel_bands(rate, size, count):
    """`[bins, count]`: overlapping triangles of height 1, their corners evenly spaced in mel up to `rate / 2`."""
    top = 2595 * np.log10(1 + rate / 2 / 700)
    corners = 700 * (10 ** (np.linspace(0, top, count + 2) / 2595) - 1)
    bins = np.linspace(0, rate / 2, size // 2 + 1)[:, np.newaxis]
    rising = (bins - corners[:-2]) / np.diff(corners)[:-1]
    falling = (corners[2:] - bins) / np.diff(corners)[1:]
    return np.clip(np.minimum(rising, falling), 0, None)


def distances(references, results, rate):
    """All of them, each the mean over windows of samples."""
    pairs = list(zip(references, results, strict=True))
    return {
        "snr_db": float(np.mean([snr_db(*pair) for pair in pairs])),
        "stft": float(np.mean([stft_distance(*pair) for pair in pairs])),
        "log_mel": float(np.mean([log_mel_distance(*pair, rate) for pair in pairs])),
    }
