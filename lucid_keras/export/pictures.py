"""The pictures of an export report: waveform and spectrogram before and after, and the error of each layer.

They are SVG without a ground, their ink the page's own, so that they are read in light and in dark.
"""

import io
import math

import numpy as np

from lucid_keras._extras import needed

INK = "#010203"  # stands for the page's own colour
BEFORE, AFTER, BETWEEN = "#e08a00", "#2f81f7", "#e5484d"  # told apart on white and on black
COLORS = (BEFORE, AFTER, BETWEEN, "#3fa266", "#a371f7", "#8b8b8b")
COLUMNS = 1000  # of a waveform; of a longer signal each is the band between the extremes there
CLOSE = 64  # positions around the largest difference that are drawn large
SHOWN_LAYERS = 32
ABOVE = {"loc": "lower right", "bbox_to_anchor": (1, 1), "ncols": 2, "frameon": False}  # hides nothing of the axes
FINITE_DB = 160.0  # where the bar of an exact layer ends


def waveforms(reference, result, time_axis=None):
    """(title, SVG): the worst channel in Keras and in the artefact, whole, the difference, and its largest."""
    (before, after), channel = _worst_channel(reference, result, time_axis)
    between, count = after - before, len(before)
    largest = int(np.argmax(np.abs(between)))
    start = max(0, min(largest - CLOSE // 2, count - CLOSE))
    near = np.arange(start, min(start + CLOSE, count))
    figure = _figure(6.4)
    signal, error, close = figure.subplots(3, 1, height_ratios=[3, 2, 3])
    _whole(signal, before, BEFORE, "Keras")
    _whole(signal, after, AFTER, "exported")
    signal.legend(**ABOVE)
    _whole(error, between, BETWEEN, "difference")
    error.sharex(signal)
    close.plot(near, before[near], color=BEFORE, alpha=0.75, linewidth=5)
    close.plot(near, after[near], color=AFTER, linewidth=1.2)
    for axes, label in ((signal, "amplitude"), (error, "difference"), (close, "amplitude")):
        axes.set_ylabel(label)
    error.set_xlabel(f"position, all {count:,}")
    close.set_xlabel(f"position, around the largest difference, at {largest:,}")
    return f"Waveform of channel {channel}", _svg(figure)


def _whole(axes, values, color, label):
    """A whole signal: a line, or the band between the extremes of each column."""
    if len(values) <= COLUMNS:
        axes.plot(values, color=color, alpha=0.6, linewidth=1, label=label)
        return
    starts = np.linspace(0, len(values), COLUMNS, endpoint=False).astype(int)
    least, greatest = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
    axes.fill_between(starts, least, greatest, color=color, alpha=0.6, linewidth=0.5, label=label)


def spectrograms(reference, result, time_axis=None):
    """(title, SVG): power over time and frequency, before, after and between; None for a signal too short."""
    (before, after), channel = _worst_channel(reference, result, time_axis)
    window = min(256, 2 ** int(math.log2(max(len(before) // 4, 1))))
    if window < 16:
        return None
    figure = _figure(3.4)
    spectra = [_power(one, window) for one in (before, after, after - before)]
    titles, axes = ("Keras", "exported", "difference"), figure.subplots(1, 3, sharey=True)
    tops = [max(one.max() for one in spectra[:2])] * 2 + [spectra[2].max()]
    for here, spectrum, title, top in zip(axes, spectra, titles, tops, strict=True):
        extent = (0, len(before), 0, 0.5)
        image = here.imshow(spectrum, origin="lower", aspect="auto", vmin=top - 100, vmax=top, extent=extent)
        here.set_title(title)
        here.set_xlabel("position")
        if title != "Keras":
            figure.colorbar(image, ax=axes[:2] if title == "exported" else here, label="dB", location="bottom")
    axes[0].set_ylabel("cycles per position")
    return f"Spectrogram of channel {channel}", _svg(figure)


def error_per_layer(layers):
    """(title, SVG): the signal-to-noise ratio of each layer's output, and with exact inputs; of the worst layers."""
    count, worst = len(layers), sorted(layers, key=lambda one: one.own_snr_db)[:SHOWN_LAYERS]
    layers = [one for one in layers if one in worst]
    title = "Error per layer" if count <= SHOWN_LAYERS else f"Error of the worst {SHOWN_LAYERS} of {count} layers"
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
    return title, _svg(figure)


def over_kept_layers(points):
    """SVG: of the files that were tried the ratio, the size and a call's time over the layers left in float32."""
    figure = _figure(2.6)
    measures = {
        "SNR in dB": lambda one: min(one.snr_db, FINITE_DB),
        "MB": lambda one: one.bytes / 1e6,
        "ms a call": lambda one: one.milliseconds,
    }
    for axes, (label, measure) in zip(figure.subplots(1, 3), measures.items(), strict=True):
        for recipe in dict.fromkeys(one.recipe for one in points):
            some = sorted((one for one in points if one.recipe == recipe), key=lambda one: len(one.kept))
            color = COLORS[sorted({one.recipe for one in points}).index(recipe) % len(COLORS)]
            axes.plot([len(one.kept) for one in some], [measure(one) for one in some], "o-", color=color, label=recipe)
        axes.set_xlabel("layers in float32")
        axes.set_ylabel(label)
        axes.xaxis.get_major_locator().set_params(integer=True)
    figure.axes[0].legend(**ABOVE | {"ncols": 1, "bbox_to_anchor": (1, 0)})
    return _svg(figure)


def _worst_channel(reference, result, time_axis):
    """Of the first of the batch both arrays' channel that differs most over time, or the longest axis; its number."""
    pair = [np.atleast_1d(np.asarray(one, np.float64)[0]) for one in (reference, result)]
    time = int(np.argmax(pair[0].shape)) if time_axis is None else time_axis - 1
    before, after = (np.moveaxis(one, time, -1).reshape(-1, one.shape[time]) for one in pair)
    worst = int(np.argmax(np.sum(np.square(after - before), axis=1)))
    return (before[worst], after[worst]), worst


def _power(channel, window):
    hop = window // 2
    frames = np.lib.stride_tricks.sliding_window_view(channel, window)[::hop] * np.hanning(window)
    return 10 * np.log10(np.abs(np.fft.rfft(frames)).T ** 2 + 1e-20)


def check_pictures():
    """matplotlib's figures; raises unless they are installed."""
    return needed("matplotlib.figure", "the report's pictures need matplotlib")


def _figure(height):
    return check_pictures().Figure(figsize=(7.2, height), layout="constrained", facecolor="none")


def _svg(figure):
    for axes in figure.axes:
        axes.patch.set_alpha(0)
        axes.tick_params(colors=INK, labelsize=9)
        legend = axes.get_legend()
        for text in (axes.title, axes.xaxis.label, axes.yaxis.label, *(legend.get_texts() if legend else ())):
            text.set_color(INK)
        for spine in axes.spines.values():
            spine.set_color(INK)
    target = io.StringIO()
    figure.savefig(target, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    drawn = target.getvalue()
    return drawn[drawn.index("<svg") :].replace(INK, "currentColor")
