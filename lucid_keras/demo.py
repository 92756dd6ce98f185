"""The demo: a recording through STFT, inverse STFT as a transposed convolution, a `.tflite` file, and back to sound."""

import contextlib
import dataclasses
import functools
import pathlib
import time

import keras
import numpy as np

from lucid_keras._extras import needed
from lucid_keras.export import ExportReport, snr_db, to_tflite
from lucid_keras.export.progress import doing
from lucid_keras.export.tables import rich_table
from lucid_keras.layers.istft import ISTFT
from lucid_keras.runtimes import recording_of

RECORDING = pathlib.Path(__file__).parent / "recording" / "guitar_slide.flac"
N_FFT = 1024
HOP = 256


@dataclasses.dataclass(frozen=True)
class Result:
    """What the demo measured: the export's report, `seconds` of audio, and its SNR against the recording in dB."""

    report: ExportReport
    seconds: float
    snr_recording: float
    wav: pathlib.Path
    picture: pathlib.Path


def run(audio=None, out=pathlib.Path("saved_models/demo"), console=None):
    """Reconstruct `audio` (a WAV or FLAC file; default the package's recording) and write the results to `out`.

    Raises:
        ImportError: an extra is missing; the message names it.
        OSError, ValueError: the file cannot be read, or holds nothing that could be reconstructed.
    """
    for module in ("soundfile", "matplotlib.figure"):
        demo_extra(module)
    audio, out = pathlib.Path(audio or RECORDING), pathlib.Path(out)
    console = console or demo_extra("rich.console").Console(quiet=True)
    step = functools.partial(_step, console)
    with step(f"Reading {audio.name}"):
        recording, rate = read_audio(audio)
    with step("Short-time Fourier transform"):
        spectrum = stft(recording)
    with step("Exporting the inverse to TFLite and running the file beside Keras"):
        inverse = ISTFT(N_FFT, HOP, data_format="channels_last")
        model = keras.Sequential([keras.Input(spectrum.shape[1:], batch_size=1), inverse])
        report = to_tflite(model, out / "istft.tflite", verification_data=spectrum)
        in_litert = report.example[1][0, : len(recording)]
    with step("Writing the sound and the picture"):
        wav, picture = out / "reconstruction.wav", out / "reconstruction.png"
        demo_extra("soundfile").write(wav, in_litert, rate, subtype="FLOAT")
        draw(picture, recording, in_litert, rate)
    return Result(report, len(recording) / rate, snr_db(recording, in_litert), wav, picture)


def print_result(result, console):
    """The table of what was measured, and where the files are."""
    from rich.table import Column

    report = result.report
    rows = {
        "operators in the file": ", ".join(f"{count} {name}" for name, count in report.counts().items()),
        "run by the XNNPACK delegate": f"{report.delegated} of {report.total}, partitions: {report.partitions}",
        "milliseconds per second of audio": f"{report.milliseconds / result.seconds:.2f}",
        "SNR against the recording": f"{result.snr_recording:.1f} dB",
        "SNR against Keras": f"{report.snr_db:.1f} dB",
    }
    title = "Inverse STFT as a transposed convolution, float32, under LiteRT"
    console.print(rich_table(("what", Column("measured", justify="right")), rows.items(), title=title))
    for path in (report.path, result.wav, result.picture):
        console.print(f"wrote {path} ({path.stat().st_size / 1024:.0f} KiB)", highlight=False, soft_wrap=True)


def read_audio(path):
    """The samples of a sound file as float64 `[samples]`, channels averaged, and its rate in Hz."""
    demo_extra("soundfile")
    if not path.is_file():
        raise ValueError(f"audio must be a WAV or FLAC file that exists. Received: audio={str(path)!r}")
    try:
        samples, rate = recording_of(path.read_bytes())
    except ValueError as error:
        raise ValueError(
            f"audio must be a readable WAV or FLAC file. Received: audio={str(path)!r} ({error})"
        ) from None
    samples = samples.mean(1, dtype=np.float64)
    if not samples.any() or not np.isfinite(samples).all():
        raise ValueError(f"audio must hold finite samples, not silence. Received: audio={str(path)!r}")
    return samples, rate


def stft(samples):
    """`[1, frames, 2 * bins]` in float32: real parts, then imaginary parts, of centred Hann frames in float64."""
    frames = -(-len(samples) // HOP) + 1
    padded = np.pad(samples, (N_FFT // 2, (frames - 1) * HOP + N_FFT // 2 - len(samples)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP]
    spectrum = np.fft.rfft(windows * np.hanning(N_FFT + 1)[:-1])
    return np.concatenate([spectrum.real, spectrum.imag], 1)[np.newaxis].astype(np.float32)


def draw(path, recording, reconstruction, rate):
    """A PNG: waveform and spectrogram of the recording, of the reconstruction, and of their difference."""
    figure = demo_extra("matplotlib.figure").Figure(figsize=(11, 8), layout="constrained")
    seconds = np.arange(len(recording)) / rate
    difference = reconstruction - recording
    rows = {"recording": recording, "reconstruction by LiteRT": reconstruction, "difference": difference}
    axes = figure.subplots(3, 2, sharex=True)
    for (title, samples), (wave, image) in zip(rows.items(), axes, strict=True):
        wave.plot(seconds, samples, linewidth=0.4)
        wave.set_title(title, loc="left")
        wave.set_ylabel("amplitude")
        real, imaginary = np.split(stft(samples)[0], 2, axis=1)
        power = np.square(real) + np.square(imaginary)
        shown = image.imshow(
            10 * np.log10(power.T + 1e-20),
            origin="lower",
            aspect="auto",
            extent=(0, len(recording) / rate, 0, rate / 2000),
            vmin=-160,
            vmax=60,
            cmap="magma",
        )
        image.set_title(f"{title}: spectrogram", loc="left")
        image.set_ylabel("kHz")
    for axis in axes[-1]:
        axis.set_xlabel("seconds")
    figure.colorbar(shown, ax=axes[:, 1], label="dB")
    figure.savefig(path, dpi=110)


def demo_extra(module):
    """A module of the demo's extra; raises an error that names the extra where it is missing."""
    return needed(module, f"the demo needs {module.split('.')[0]}", "demo")


@contextlib.contextmanager
def _step(console, title):
    """Shows its name while it runs and its seconds afterwards."""
    start = time.perf_counter()
    with doing(title):
        yield
    console.print(f"{title}: {time.perf_counter() - start:.1f} s", highlight=False)
