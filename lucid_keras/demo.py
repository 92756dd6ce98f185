"""The demo: a recording through STFT, inverse STFT as a transposed convolution, a `.tflite` file, and back to sound."""

import contextlib
import dataclasses
import importlib
import pathlib
import time

import keras
import numpy as np

from lucid_keras.export import litert, snr_db, to_tflite
from lucid_keras.layers.istft import ISTFT

RECORDING = pathlib.Path(__file__).parent / "recording" / "guitar_slide.flac"
N_FFT = 1024
HOP = 256


@dataclasses.dataclass(frozen=True)
class Result:
    """What the demo measured; `snr_*` in dB, `milliseconds` per invocation, `seconds` of audio."""

    coverage: litert.Coverage
    milliseconds: float
    seconds: float
    snr_recording: float
    snr_keras: float
    tflite: pathlib.Path
    wav: pathlib.Path
    picture: pathlib.Path

    @property
    def milliseconds_per_second(self):
        """Milliseconds of computation for one second of audio."""
        return self.milliseconds / self.seconds


def run(audio=None, out=pathlib.Path("saved_models/demo"), console=None):
    """Reconstruct `audio` (a WAV or FLAC file; default the package's recording) and write the results to `out`.

    Raises:
        ImportError: an extra is missing; the message names it.
        OSError, ValueError: the file cannot be read, or holds nothing that could be reconstructed.
    """
    audio, out = pathlib.Path(audio or RECORDING), pathlib.Path(out)
    step = _steps(console)
    with step(f"Reading {audio.name}"):
        recording, rate = read_audio(audio)
    with step("Short-time Fourier transform"):
        spectrum = stft(recording)
    with step("Inverse in Keras"):
        frames = spectrum.shape[1]
        model = keras.Sequential(
            [
                keras.Input((frames, spectrum.shape[2]), batch_size=1),
                ISTFT(N_FFT, HOP, data_format="channels_last"),
            ]
        )
        in_keras = model(spectrum).numpy()[0, : len(recording)]
    with step("Exporting to TFLite"):
        out.mkdir(parents=True, exist_ok=True)
        tflite = out / "istft.tflite"
        to_tflite(model, tflite)
    with step("Running the file under LiteRT"):
        interpreter = litert.interpreter(tflite.read_bytes())
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], spectrum)
        milliseconds = litert.milliseconds(interpreter.invoke)
        in_litert = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0, : len(recording)]
    with step("Writing the sound and the picture"):
        wav, picture = out / "reconstruction.wav", out / "reconstruction.png"
        write_audio(wav, in_litert, rate)
        draw(picture, recording, in_litert, rate)
    return Result(
        coverage=litert.coverage(interpreter),
        milliseconds=milliseconds,
        seconds=len(recording) / rate,
        snr_recording=snr_db(recording, in_litert),
        snr_keras=snr_db(in_keras, in_litert),
        tflite=tflite,
        wav=wav,
        picture=picture,
    )


def print_result(result, console):
    """The table of what was measured, and where the files are."""
    from rich.table import Table

    table = Table(title="Inverse STFT as a transposed convolution, float32, under LiteRT")
    table.add_column("what")
    table.add_column("measured", justify="right")
    coverage = result.coverage
    table.add_row("operators in the file", ", ".join(f"{count} {name}" for name, count in coverage.counts().items()))
    table.add_row(
        "run by the XNNPACK delegate",
        f"{coverage.delegated} of {len(coverage.ops)}, in {coverage.partitions} partition"
        + ("s" if coverage.partitions != 1 else ""),
    )
    table.add_row("milliseconds per second of audio", f"{result.milliseconds_per_second:.2f}")
    table.add_row("SNR against the recording", f"{result.snr_recording:.1f} dB")
    table.add_row("SNR against Keras", f"{result.snr_keras:.1f} dB")
    console.print(table)
    for path in (result.tflite, result.wav, result.picture):
        console.print(f"wrote {path} ({path.stat().st_size / 1024:.0f} KiB)", highlight=False, soft_wrap=True)


def read_audio(path):
    """The samples of a sound file as float64 `[samples]`, channels averaged, and its rate in Hz."""
    soundfile = demo_extra("soundfile")
    if not path.is_file():
        raise ValueError(f"audio must be a WAV or FLAC file that exists. Received: audio={str(path)!r}")
    try:
        samples, rate = soundfile.read(path, dtype="float64", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ValueError(
            f"audio must be a readable WAV or FLAC file. Received: audio={str(path)!r} ({error})"
        ) from None
    samples = samples.mean(1)
    if not len(samples) or not np.isfinite(samples).all():
        raise ValueError(f"audio must hold finite samples. Received: audio={str(path)!r} with {len(samples)} samples")
    return samples, rate


def write_audio(path, samples, rate):
    """Write float samples `[samples]` as a 32-bit float WAV."""
    demo_extra("soundfile").write(path, samples, rate, subtype="FLOAT")


def stft(samples):
    """`[1, frames, 2 * bins]` in float32: real parts, then imaginary parts, of centred Hann frames in float64."""
    frames = -(-len(samples) // HOP) + 1
    padded = np.zeros((frames - 1) * HOP + N_FFT)
    padded[N_FFT // 2 : N_FFT // 2 + len(samples)] = samples
    windows = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT)
    spectrum = np.fft.rfft(windows * hann)
    return np.concatenate([spectrum.real, spectrum.imag], 1)[np.newaxis].astype(np.float32)


def draw(path, recording, reconstruction, rate):
    """A PNG: waveform and spectrogram of the recording, of the reconstruction, and of their difference."""
    figure_module = demo_extra("matplotlib.figure")
    figure = figure_module.Figure(figsize=(11, 8), layout="constrained")
    seconds = np.arange(len(recording)) / rate
    rows = {"recording": recording, "reconstruction by LiteRT": reconstruction}
    rows["difference"] = reconstruction - recording
    axes = figure.subplots(3, 2, sharex=True)
    for (title, samples), (wave, image) in zip(rows.items(), axes, strict=True):
        wave.plot(seconds, samples, linewidth=0.4)
        wave.set_title(title, loc="left")
        wave.set_ylabel("amplitude")
        spectrum = stft(np.asarray(samples))[0]
        power = np.square(spectrum[:, : N_FFT // 2 + 1]) + np.square(spectrum[:, N_FFT // 2 + 1 :])
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
    try:
        return importlib.import_module(module)
    except ImportError:
        raise ImportError(f"the demo needs {module.split('.')[0]}: pip install 'lucid_keras[demo]'") from None


def _steps(console):
    """A context manager per step that shows its name while it runs and its seconds afterwards."""

    @contextlib.contextmanager
    def step(title):
        if console is None:
            yield
            return
        start = time.perf_counter()
        with console.status(f"{title} ..."):
            yield
        console.print(f"{title}: {time.perf_counter() - start:.1f} s", highlight=False)

    return step
