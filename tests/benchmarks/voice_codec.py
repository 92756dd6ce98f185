"""A small codec of EnCodec's kind, trained for a few minutes: `python -m benchmarks.voice_codec FOLDER`.

The decoder is the example's with a quarter of the channels; the encoder is strided convolutions, and what passes
between them is rounded to `2 * LEVELS + 1` values. It learns the recordings but for their last seconds and writes
`FOLDER/codec.keras`, and `FOLDER/codec.npz` with the latents that are known to it and those that are held out.

Source of the rounding: F. Mentzer et al., "Finite Scalar Quantization", arXiv:2309.15505.
"""

import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's notes would hide the progress

import keras
import numpy as np
import tensorflow as tf
from encodec_decoder import SAMPLE_RATE, encodec_decoder
from keras import layers

from benchmarks.model_cases import RECORDING, ROOT, samples_at

GUITAR = ROOT / "lucid_keras" / "recording" / "guitar_slide.flac"
DECODER = {"hidden_size": 32, "num_filters": 8, "upsampling_ratios": (8, 5, 4, 2), "num_lstm_layers": 1}
HOP, LEVELS = 320, 7
FRAMES = 30  # of a crop
BATCH, STEPS, STEPS_AT_ONCE = 8, 1500, 50
HELD_OUT = 1 / 6  # of the first recording, its end, in whole seconds, at least one
WINDOWS = (256, 1024, 2048)  # samples


@keras.saving.register_keras_serializable(package="voice")
class Rounded(layers.Layer):
    """Whole numbers in -LEVELS..LEVELS; gradients pass as if nothing were rounded."""

    def call(self, x):
        bounded = LEVELS * tf.tanh(x)
        return bounded + tf.stop_gradient(tf.round(bounded) - bounded)

    def compute_output_shape(self, shape):
        return shape


def encoder():
    """`[batch, samples, 1]` to the rounded latents `[batch, frames, hidden_size]`."""
    samples = keras.Input((None, 1))
    channels = DECODER["num_filters"]
    x = layers.Conv1D(channels, 7, padding="same")(samples)
    for ratio in reversed(DECODER["upsampling_ratios"]):
        channels *= 2
        x = layers.Conv1D(channels, 2 * ratio, strides=ratio, padding="same")(layers.ELU()(x))
        x = x + layers.Conv1D(channels, 3, padding="same")(layers.ELU()(x))
    return keras.Model(samples, Rounded()(layers.Conv1D(DECODER["hidden_size"], 3, padding="same")(x)))


def spectral_loss(samples, made):
    """The difference of the samples, and of their spectra's magnitudes and logarithms, over three sizes of window."""
    loss = tf.reduce_mean(tf.abs(samples - made))
    for size in WINDOWS:
        wanted, found = (tf.abs(tf.signal.stft(one[..., 0], size, size // 4)) + 1e-3 for one in (samples, made))
        loss += tf.norm(wanted - found) / tf.norm(wanted) + tf.reduce_mean(tf.abs(tf.math.log(wanted / found)))
    return loss


def crops(recordings):
    """An endless dataset of random excerpts, each its own target; a longer recording is as much more often taken."""
    whole = tf.constant(np.concatenate(recordings))
    starts = tf.data.Dataset.random(seed=0).map(lambda number: number % (len(whole) - FRAMES * HOP))
    excerpts = starts.map(lambda start: whole[start : start + FRAMES * HOP, tf.newaxis])
    return excerpts.map(lambda x: (x, x)).batch(BATCH, drop_remainder=True).prefetch(2)


def trained(recordings, steps=STEPS):
    """The encoder and the decoder, after so many steps."""
    keras.utils.set_random_seed(0)
    encode, decode = encoder(), encodec_decoder(**DECODER)
    samples = keras.Input((FRAMES * HOP, 1))
    both = keras.Model(samples, decode(encode(samples)))
    rate = keras.optimizers.schedules.CosineDecay(2e-3, steps)
    both.compile(optimizer=keras.optimizers.Adam(rate, clipnorm=1.0), loss=spectral_loss)
    both.fit(crops(recordings), epochs=steps // STEPS_AT_ONCE, steps_per_epoch=STEPS_AT_ONCE, shuffle=False, verbose=2)
    return encode, decode


def recordings():
    """What is learned, and the seconds that are held out, each recording at a peak of 0.9."""
    real, *more = (samples_at(SAMPLE_RATE, path) for path in dict.fromkeys((RECORDING, GUITAR)))
    held_out = max(1, int(HELD_OUT * len(real) / SAMPLE_RATE)) * SAMPLE_RATE
    loud = lambda x: 0.9 * x / np.abs(x).max()  # noqa: E731
    return [loud(one) for one in (real[:-held_out], *more)], loud(real[-held_out:])


def main(folder):
    """Train, and write both files."""
    known, held_out = recordings()
    encode, decode = trained(known)
    latents = lambda x: encode.predict(x[np.newaxis, : len(x) // HOP * HOP, np.newaxis], verbose=0)[0]  # noqa: E731
    folder = pathlib.Path(folder)
    decode.save(folder / "codec.keras")
    known = np.concatenate([latents(one) for one in known])
    np.savez(folder / "codec.npz", known=known, held_out=latents(held_out), samples=held_out)


if __name__ == "__main__":
    main(*sys.argv[1:])
