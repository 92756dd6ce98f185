"""A neural audio decoder, live: one frame of 13 ms at a time through a `.tflite` file, equal to the whole decode.

    python examples/live_decoder.py                              the recording that comes with the package
    python examples/live_decoder.py speech.wav                   yours, mono; any rate becomes 24 kHz
    python examples/live_decoder.py --weights decoder.weights.h5 your training's weights
    python examples/live_decoder.py --minutes 60                 a stream of an hour, in constant memory
    python examples/live_decoder.py --model hifigan              a vocoder that looks ahead: HiFi-GAN V2
    python examples/live_decoder.py --for-c folder               what examples/c/live_decoder.c takes, and its line

The decoder has the shape of EnCodec's for 24 kHz: 75 frames a second of 128 numbers, two LSTM layers, upsampling by
8, 5, 4 and 2 with a dilated residual block after each, everything causal. Without `--weights` its weights are random
and so is its voice; what is shown is that the live decode is the whole decode, and how fast it is.

Source: A. Défossez et al., "High Fidelity Neural Audio Compression", arXiv:2210.13438.
"""

import argparse
import os
import pathlib
import resource
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's notes would hide the results

import keras
import numpy as np
import soundfile
from ai_edge_litert.interpreter import Interpreter

import lucid_keras as lk
from lucid_keras.runtimes import recording_of

SAMPLE_RATE = 24_000
FRAME = 320  # samples
LATENTS = 128
RATIOS = (8, 5, 4, 2)
RECORDING = pathlib.Path(lk.__file__).parent / "recording" / "guitar_slide.flac"

layers = keras.layers


def causal_decoder(filters=32):
    """EnCodec's decoder, frames `[batch, frames, 128]` to samples `[batch, frames * 320, 1]`."""
    width = filters * 2 ** len(RATIOS)
    latents = keras.Input((None, LATENTS))
    x = layers.Conv1D(width, 7, padding="causal")(latents)
    recurrent = layers.LSTM(width, return_sequences=True)(x)
    recurrent = layers.LSTM(width, return_sequences=True)(recurrent)
    x = layers.Add()([x, recurrent])
    for ratio in RATIOS:
        x = lk.ConvTranspose1d(width, width // 2, 2 * ratio, ratio, data_format="channels_last")(layers.ELU()(x))
        x = layers.Cropping1D((0, ratio))(x)  # the taps that reach past the last frame
        width //= 2
        residual = layers.Conv1D(width // 2, 3, padding="causal")(layers.ELU()(x))
        residual = layers.Conv1D(width, 1)(layers.ELU()(residual))
        x = layers.Add()([layers.Conv1D(width, 1)(x), residual])
    return keras.Model(latents, layers.Conv1D(1, 7, padding="causal")(layers.ELU()(x)), name="decoder")


class LiveDecoder:
    """A streaming `.tflite` file: a frame in, 320 samples out, the states in between."""

    def __init__(self, path, threads=1):
        interpreter = Interpreter(str(path), num_threads=threads)
        self.step = interpreter.get_signature_runner("step")
        self.initial_state = interpreter.get_signature_runner("initial_state")
        self.states = self.initial_state()

    def decode(self, frame):
        """`[batch, 1, 128]` to `[batch, 320, 1]`."""
        self.states = self.step(x=frame, **self.states)
        return self.states.pop("y")

    def reset(self, rows=None):
        """Begin the streams at `rows`, a mask of the batch, anew; all of them without a mask."""
        for name, beginning in self.initial_state().items():
            if rows is None:
                self.states[name] = beginning
            else:
                self.states[name][rows] = beginning[rows]


def latents_of(path):
    """A recording as latents `[1, frames, 128]`: each frame's lowest cosine coefficients, for want of an encoder."""
    samples, rate = recording_of(path.read_bytes())
    if samples.shape[1] != 1:
        raise SystemExit(f"the recording must be mono. Received: {samples.shape[1]} channels in {path}")
    samples = samples[:, 0]
    if rate != SAMPLE_RATE:
        at = np.arange(0, len(samples), rate / SAMPLE_RATE)
        samples = np.interp(at, np.arange(len(samples)), samples)
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    basis = np.cos(np.pi / FRAME * np.outer(np.arange(FRAME) + 0.5, np.arange(LATENTS))) / np.sqrt(FRAME)
    return (4 * frames @ basis).astype("float32")[np.newaxis]


def write_wav(path, samples):
    """16 bit, at most full scale."""
    soundfile.write(path, samples / max(1, np.abs(samples).max()), SAMPLE_RATE, subtype="PCM_16")


def relative_error(live, whole):
    return np.abs(live - whole).max() / np.abs(whole).max()


def decode_live(live, latents):
    """All frames, one by one, and the seconds that each took."""
    pieces, seconds = [], []
    for frame in range(latents.shape[1]):
        start = time.perf_counter()
        pieces.append(live.decode(latents[:, frame : frame + 1]))
        seconds.append(time.perf_counter() - start)
    return np.concatenate(pieces, axis=1), np.array(seconds)


def show_reset(live, latents, whole):
    """A stream broken off in the middle and begun anew gives the whole decode again."""
    live.reset()
    decode_live(live, latents[:, 5:12])
    live.reset()
    again, _ = decode_live(live, latents[:, :50])
    print(f"reset in mid-stream:        relative error {relative_error(again, whole[:, : 50 * FRAME]):.1e}")


def show_two_streams(streaming, directory, latents, whole):
    """Two streams in one batch; after 20 frames the second begins anew, the first goes on."""
    path = lk.export.streaming_to_tflite(streaming, directory / "two_streams.tflite", batch=2).path
    live = LiveDecoder(path)
    both = np.concatenate([latents[:, :40], latents[:, 7:47]])
    decode_live(live, both[:, :20])
    live.reset(np.array([False, True]))
    both[1, 20:] = latents[0, :20]
    samples, _ = decode_live(live, both[:, 20:])
    first = relative_error(samples[:1], whole[:, 20 * FRAME : 40 * FRAME])
    second = relative_error(samples[1:], whole[:, : 20 * FRAME])
    print(f"two streams, one reset:     relative errors {first:.1e} and {second:.1e}")


def show_long_stream(live, decoder, latents, minutes):
    """The recording over and over, in one stream; its last whole pass, and the process's peak memory meanwhile."""
    live.reset()
    a_pass = latents.shape[1]
    frames = max(round(minutes * 60 * SAMPLE_RATE / FRAME), a_pass)
    passes, last_pass, peak = frames // a_pass, [], None
    for frame in range(frames):
        samples = live.decode(latents[:, frame % a_pass][:, np.newaxis])
        if frame // a_pass == passes - 1:
            last_pass.append(samples)
        if frame == 75:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak
    print(f"a stream of {minutes:g} minutes:     {frames} frames, peak memory grew by {grown / 1024:.1f} MiB")
    # What the decoder remembers of earlier passes fades within seconds: its second pass is like every later one.
    whole = decoder.predict(np.tile(latents, (1, min(passes, 2), 1)), verbose=0)[:, -a_pass * FRAME :]
    print(f"its last pass:              relative error {relative_error(np.concatenate(last_pass, axis=1), whole):.1e}")


def show_hifigan(latents):
    """HiFi-GAN V2, which looks 148 ms ahead, unchanged: live, and where its latency comes from."""
    from comparison import print_live
    from hifigan_generator import PRESETS, SAMPLE_RATES, hifigan_generator

    generator, rate = hifigan_generator(**PRESETS["v2"]), SAMPLE_RATES["v2"]
    bands = latents[:, :, : generator.inputs[0].shape[-1]]
    with tempfile.TemporaryDirectory() as directory:
        print_live(generator, pathlib.Path(directory) / "hifigan.tflite", bands, rate)
    print(lk.StreamingModel(generator).describe(rate))


def write_for_c(streaming, quantization, folder, latents):
    """A program in C's decoder, its frames one after the other, and the samples that they must become: raw numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    report = lk.export.streaming_to_tflite(streaming, folder / "decoder.tflite", quantization=quantization)
    latents.tofile(folder / "chunks.f32")
    streaming.whole(latents).numpy().tofile(folder / "expected.f32")
    print(f"{report.path}: {report.bytes / 1e6:.1f} MB, {report.snr_db:.1f} dB; now:")
    files = " ".join(str(folder / name) for name in ("decoder.tflite", "chunks.f32", "expected.f32"))
    print(f"./live_decoder {files} {streaming.latency}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recording", nargs="?", type=pathlib.Path, default=RECORDING, help="mono")
    parser.add_argument("--model", choices=["encodec", "hifigan"], default="encodec", help="causal, or one that waits")
    parser.add_argument("--weights", help="a .weights.h5 file of causal_decoder()")
    parser.add_argument("--filters", type=int, default=32, help="EnCodec's 32; fewer for a smaller decoder")
    parser.add_argument("--quantization", default="float32", choices=["float32", "dynamic_int8"])
    parser.add_argument("--minutes", type=float, default=0.5, help="of the long stream")
    parser.add_argument("--seconds", type=float, default=20, help="of the recording to decode")
    parser.add_argument("--output", type=pathlib.Path, help="the decoded WAV; default: a temporary folder")
    parser.add_argument("--for-c", type=pathlib.Path, help="the folder for what the program in C takes, and no more")
    arguments = parser.parse_args()

    keras.utils.set_random_seed(0)
    latents = latents_of(arguments.recording)[:, : round(arguments.seconds * SAMPLE_RATE / FRAME)]
    if arguments.model == "hifigan":
        show_hifigan(latents)
        return
    decoder = causal_decoder(arguments.filters)
    if arguments.weights:
        decoder.load_weights(arguments.weights)
    streaming = lk.StreamingModel(decoder)
    if arguments.for_c:
        write_for_c(streaming, arguments.quantization, arguments.for_c, latents)
        return
    with tempfile.TemporaryDirectory() as directory:
        directory = pathlib.Path(directory)
        report = lk.export.streaming_to_tflite(
            streaming, directory / "decoder.tflite", quantization=arguments.quantization
        )
        print(f"{report.path.name}: {report.bytes / 1e6:.1f} MB, {arguments.quantization}, {report.snr_db:.1f} dB")
        live = LiveDecoder(report.path)
        samples, seconds = decode_live(live, latents)
        whole = decoder.predict(latents, verbose=0)
        print(
            f"live against whole decode:  relative error {relative_error(samples, whole):.1e}, {samples.size} samples"
        )
        p50, p99 = 1e3 * np.percentile(seconds, [50, 99])
        budget = 1e3 * FRAME / SAMPLE_RATE
        print(f"each frame of {budget:.1f} ms:      {p50:.2f} ms (p50), {p99:.2f} ms (p99)")
        print(f"real-time factor:           {seconds.sum() / (samples.size / SAMPLE_RATE):.3f}")
        if arguments.quantization == "float32":
            show_reset(live, latents, whole)
            show_two_streams(streaming, directory, latents, whole)
        show_long_stream(live, decoder, latents, arguments.minutes)
        output = arguments.output or pathlib.Path(tempfile.gettempdir()) / "live_decoder.wav"
        write_wav(output, samples[0, :, 0])
        print(f"written: {output}")


if __name__ == "__main__":
    main()
