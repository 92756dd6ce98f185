"""The pictures of an export report: waveform and spectrogram before and after, and the error of each layer."""

import base64
import io
import math

import numpy as np

from lucid_keras._extras import needed

BEFORE, AFTER, BETWEEN = "#57606a", "#0969da", "#cf222e"
SHOWN = 512  # samples of a waveform that can still be told apart
ABOVE = {"loc": "lower right", "bbox_to_anchor": (1, 1), "ncols": 2, "frameon": False}  # hides nothing of the axes
FINITE_DB = 160.0  # where the bar of an exact layer ends


def waveforms(reference, result):
    """(title, PNG in base64): one channel of the Keras model's output, the artefact's over it, and their difference."""
    before, after = _channel(reference), _channel(result)
    figure = _figure(4.2)
    signal, error = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    signal.plot(before[:SHOWN], color=BEFORE, linewidth=2.4, label="Keras")
    signal.plot(after[:SHOWN], color=AFTER, linewidth=1, label="exported")
    signal.legend(**ABOVE)
    signal.set_ylabel("amplitude")
    error.plot((after - before)[:SHOWN], color=BETWEEN, linewidth=1)
    error.set_ylabel("difference")
    error.set_xlabel("position")
    return "Waveform", _png(figure)


def spectrograms(reference, result):
    """(title, PNG in base64): power over time and frequency, before and after; None for a signal too short."""
    before, after = _channel(reference), _channel(result)
    window = min(256, 2 ** int(math.log2(max(len(before) // 4, 1))))
    if window < 16:
        return None
    figure = _figure(3.2)
    spectra = [_power(channel, window) for channel in (before, after)]
    top = max(spectrum.max() for spectrum in spectra)
    for axes, spectrum, title in zip(figure.subplots(1, 2, sharey=True), spectra, ("Keras", "exported"), strict=True):
        image = axes.imshow(
            spectrum, origin="lower", aspect="auto", vmin=top - 100, vmax=top, extent=(0, len(before), 0, 0.5)
        )
        axes.set_title(title)
        axes.set_xlabel("position")
    figure.axes[0].set_ylabel("cycles per position")
    figure.colorbar(image, ax=figure.axes, label="dB")
    return "Spectrogram", _png(figure)


def error_per_layer(layers):
    """(title, PNG in base64): the signal-to-noise ratio of each layer's output, and with exact inputs."""
    figure = _figure(0.8 + 0.32 * len(layers))
    axes = figure.subplots()
    positions = np.arange(len(layers))
    axes.barh(positions - 0.2, [min(one.snr_db, FINITE_DB) for one in layers], 0.4, color=BEFORE, label="output")
    axes.barh(
        positions + 0.2, [min(one.own_snr_db, FINITE_DB) for one in layers], 0.4, color=AFTER, label="layer alone"
    )
    axes.set_yticks(positions, [one.name for one in layers])
    axes.invert_yaxis()
    axes.set_xlabel(f"SNR in dB (exact ends at {FINITE_DB:g})")
    axes.legend(**ABOVE)
    return "Error per layer", _png(figure)


def _channel(array):
    """The first sample's first channel along its longest axis."""
    sample = np.asarray(array, np.float64)[0]
    sample = np.atleast_1d(np.squeeze(sample))
    longest = np.moveaxis(sample, int(np.argmax(sample.shape)), -1)
    return longest.reshape(-1, longest.shape[-1])[0]


def _power(channel, window):
    hop = window // 2
    frames = np.lib.stride_tricks.sliding_window_view(channel, window)[::hop] * np.hanning(window)
    return 10 * np.log10(np.abs(np.fft.rfft(frames)).T ** 2 + 1e-20)


def check_pictures():
    """matplotlib's figures; raises unless they are installed."""
    return needed("matplotlib.figure", "the report's pictures need matplotlib")


def _figure(height):
    return check_pictures().Figure(figsize=(9, height), layout="constrained")


def _png(figure):
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=110, metadata={"Software": None})
    return base64.b64encode(target.getvalue()).decode()
