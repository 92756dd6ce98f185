"""A Keras user's whole journey: train a small audio autoencoder, export it in int8, and hear what the phone will play.

    python examples/train_audio_autoencoder.py                        two minutes on the package's guitar
    python examples/train_audio_autoencoder.py --audio speech.wav --seconds 600

The encoder is strided convolutions, the decoder `ConvTranspose1d`s that undo their strides exactly.
"""

import importlib.resources
import os
import pathlib
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's notes would hide the results

import keras
import numpy as np
import soundfile
import tensorflow as tf
from comparison import parser_of, run, run_tflite, tell

import lucid_keras as lk
from lucid_keras.runtimes import recording_of

STRIDES = (4, 4, 2)
CHANNELS = (32, 64, 96)
LATENT_CHANNELS = 16
CROP = 8192  # samples
BATCH = 16
STEPS_AT_ONCE = 20


def autoencoder():
    """`[batch, samples, 1]` to the same; samples must be a multiple of the product of the strides."""
    samples = keras.Input((None, 1))
    x = samples
    for stride, channels in zip(STRIDES, CHANNELS, strict=True):
        x = keras.layers.Conv1D(channels, 2 * stride, strides=stride, padding="same")(x)
        x = keras.layers.LeakyReLU(negative_slope=0.1)(x)
    x = keras.layers.Conv1D(LATENT_CHANNELS, 3, padding="same", name="latent")(x)
    x = keras.layers.Conv1D(CHANNELS[-1], 3, padding="same")(x)
    for stride, channels in zip(STRIDES[::-1], (*CHANNELS[-2::-1], 1), strict=True):
        x = keras.layers.LeakyReLU(negative_slope=0.1)(x)
        x = lk.ConvTranspose1d(
            x.shape[-1],
            channels,
            kernel_size=2 * stride,
            stride=stride,
            padding=stride // 2,
            data_format="channels_last",
        )(x)
    return keras.Model(samples, x, name="audio_autoencoder")


def crops(recording, seed=0):
    """An endless dataset of random excerpts at random loudness, each its own target."""
    starts = tf.data.Dataset.random(seed=seed).map(lambda number: number % (len(recording) - CROP))
    whole = tf.constant(recording, tf.float32)

    def excerpt(start):
        gain = tf.random.uniform([], 0.3, 1.0, seed=seed)
        samples = gain * whole[start : start + CROP, tf.newaxis]
        return samples, samples

    return starts.map(excerpt).batch(BATCH, drop_remainder=True).prefetch(2)


class TimeBudget(keras.callbacks.Callback):
    """Shows the training as a bar over seconds, lowers the learning rate along it, and stops at its end."""

    def __init__(self, seconds, learning_rate):
        super().__init__()
        self.seconds, self.learning_rate = seconds, learning_rate

    def on_train_begin(self, logs=None):
        self.start = time.monotonic()
        self.bar = keras.utils.Progbar(self.seconds, unit_name="second", stateful_metrics=["loss"])

    def on_epoch_end(self, epoch, logs=None):
        spent = min(time.monotonic() - self.start, self.seconds)
        progress = spent / self.seconds
        self.bar.update(int(spent), [("loss", logs["loss"])], finalize=progress >= 1)
        self.model.optimizer.learning_rate = self.learning_rate * (0.01 + 0.99 * np.cos(0.5 * np.pi * progress) ** 2)
        self.model.stop_training = progress >= 1


def train(model, recording, seconds, learning_rate=3e-3):
    """Fit the model to a recording for so many seconds."""
    model.compile(optimizer=keras.optimizers.Adam(learning_rate, clipnorm=1.0), loss="mean_squared_error")
    budget = TimeBudget(seconds, learning_rate)
    model.fit(
        crops(recording),
        epochs=1_000_000,
        steps_per_epoch=STEPS_AT_ONCE,
        shuffle=False,
        verbose=0,
        callbacks=[budget],
    )


def read_recording(path):
    """The first channel of a recording at a peak of 0.9, a whole number of latent frames, and its rate in Hz."""
    samples, rate = recording_of(path.read_bytes())
    samples = samples[: len(samples) // np.prod(STRIDES) * np.prod(STRIDES), 0]
    if len(samples) <= CROP:
        raise ValueError(f"the recording must have more than {CROP} samples. Received: {path} with {len(samples)}")
    return 0.9 * samples / np.abs(samples).max(), rate


def main(argv=None):
    """Run the command; what it printed is returned."""
    guitar = importlib.resources.files("lucid_keras") / "recording" / "guitar_slide.flac"
    parser = parser_of(__doc__)
    parser.add_argument("--audio", type=pathlib.Path, default=guitar, help="a recording (the package's guitar)")
    parser.add_argument("--seconds", type=float, default=120, help="how long to train (default: 120)")
    parser.add_argument("--quantization", default="int8", help="as for lucid_keras.export.to_tflite (default: int8)")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("autoencoder"), help="a folder")
    arguments = parser.parse_args(argv)

    keras.utils.set_random_seed(0)
    recording, rate = read_recording(arguments.audio)
    model = autoencoder()
    print(f"{model.count_params():,} weights; {len(recording) / rate:.1f} s of audio at {rate} Hz")
    train(model, recording, arguments.seconds)

    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / f"autoencoder_{arguments.quantization}.tflite"
    whole = recording[np.newaxis, :, np.newaxis]
    model.save(arguments.out / "autoencoder.keras")
    calibrated = arguments.quantization in ("int8", "int16x8")
    options = {"calibration_data" if calibrated else "verification_data": whole}
    tell(f"exporting to {path} and verifying")
    lk.export.to_tflite(model, path, length=len(recording), quantization=arguments.quantization, **options)

    in_keras = model.predict(whole, verbose=0)
    in_litert, seconds = run_tflite(path, whole)
    soundfile.write(arguments.out / "reconstruction.wav", in_litert[0, :, 0], rate)
    numbers = {
        "model_snr_db": lk.export.snr_db(whole, in_keras),
        "file_snr_db": lk.export.snr_db(in_keras, in_litert),
        "bytes": path.stat().st_size,
        "milliseconds": 1e3 * seconds,
        "audio_seconds": len(recording) / rate,
    }
    print(f"the model against the recording: SNR {numbers['model_snr_db']:.1f} dB")
    print(f"the file against the model:      SNR {numbers['file_snr_db']:.1f} dB")
    print(f"{path.name}: {numbers['bytes'] / 1e3:.0f} kB, {len(recording) / rate / seconds:.0f} times real time")
    print(f"wrote {path}, {arguments.out / 'autoencoder.keras'} and {arguments.out / 'reconstruction.wav'}")
    return numbers


if __name__ == "__main__":
    run(main)
