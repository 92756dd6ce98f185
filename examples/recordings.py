"""Recordings as batches for a vocoder's training, their features computed once, and how much of the time it trains.

    python examples/recordings.py folder/                      without a cache, and with one
    python examples/recordings.py folder/ --cache features/    kept for the next time

Recordings are read and turned into log mel frames in parallel; `tf.data` keeps these, and draws excerpts, frames with
the samples that belong to them, in another order and from other places in every pass.
"""

import hashlib
import os
import pathlib
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's notes would hide the results

import keras
import tensorflow as tf
from comparison import parser_of, run

import lucid_keras as lk
from lucid_keras.runtimes.signals import RECORDINGS, signal_of

HOP, WINDOW, BANDS = 256, 1024, 80
EXCERPT = 32  # frames
BATCH = 16
UPSAMPLING = (8, 8, 4)


def log_mel(samples, rate):
    """`[samples]` to `[frames, BANDS]`, a frame each `HOP` samples."""
    padded = tf.pad(samples, [[(WINDOW - HOP) // 2] * 2], "REFLECT")
    power = tf.abs(tf.signal.stft(padded, WINDOW, HOP, WINDOW)) ** 2
    mel = tf.signal.linear_to_mel_weight_matrix(BANDS, WINDOW // 2 + 1, rate, 20.0, rate / 2)
    return tf.math.log(power @ mel + 1e-5)


def read(path):
    """A recording's first channel as whole frames of samples, and its frames of features."""
    path = pathlib.Path(path.numpy().decode())
    samples, rate = signal_of(path.read_bytes(), path.suffix.lower())
    samples = samples[: len(samples) // HOP * HOP, 0]
    return samples, log_mel(samples, rate)


def recordings(paths, cache=None):
    """A dataset of whole recordings, samples and features.

    Args:
        paths: recordings of one rate.
        cache: the folder where `tf.data` keeps what a first whole pass has computed, under a name that is of these
            files as they are now; None computes it in every pass.
    """
    whole = tf.data.Dataset.from_tensor_slices([str(path) for path in paths]).map(
        lambda path: tf.py_function(read, [path], [tf.float32, tf.float32]), num_parallel_calls=tf.data.AUTOTUNE
    )
    if cache is None:
        return whole
    files = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    name = hashlib.sha256(repr((files, HOP, WINDOW, BANDS)).encode()).hexdigest()[:16]
    return whole.cache(str(cache / name))


def batches(whole, seed=0):
    """Endless passes over `recordings`: features `[BATCH, EXCERPT, BANDS]`, samples `[BATCH, EXCERPT * HOP, 1]`."""
    passes = whole.repeat().shuffle(64, seed=seed)
    starts = tf.data.Dataset.random(seed=seed)

    def excerpt(recording, number):
        samples, features = recording
        last = tf.cast(tf.shape(features)[0] - EXCERPT + 1, tf.int64)
        start = tf.cast(number % last, tf.int32)
        samples = samples[start * HOP :][: EXCERPT * HOP, tf.newaxis]
        return tf.ensure_shape(features[start:][:EXCERPT], [EXCERPT, BANDS]), tf.ensure_shape(
            samples, [EXCERPT * HOP, 1]
        )

    drawn = tf.data.Dataset.zip(passes, starts).map(excerpt, num_parallel_calls=tf.data.AUTOTUNE)
    return drawn.batch(BATCH, drop_remainder=True).prefetch(tf.data.AUTOTUNE)


def vocoder(width=64):
    """A small one: frames to samples by three `ConvTranspose1d`s."""
    features = keras.Input((None, BANDS))
    x = keras.layers.Conv1D(width, 7, padding="same")(features)
    for factor in UPSAMPLING:
        x = keras.layers.LeakyReLU(negative_slope=0.1)(x)
        x = lk.ConvTranspose1d(
            x.shape[-1], x.shape[-1] // 2, 2 * factor, factor, factor // 2, data_format="channels_last"
        )(x)
    return keras.Model(features, keras.layers.Conv1D(1, 7, padding="same", activation="tanh")(x))


def device_share(dataset, step, steps):
    """The share of the time in which `step` computes, the rest being spent waiting for batches; and seconds a step."""
    waiting = computing = 0.0
    following = iter(dataset)
    for _ in range(steps):
        begin = time.perf_counter()
        batch = next(following)
        ready = time.perf_counter()
        step(*batch)
        waiting += ready - begin
        computing += time.perf_counter() - ready
    return computing / (waiting + computing), (waiting + computing) / steps


def main(argv=None):
    """Run the command; the shares are returned."""
    parser = parser_of(__doc__)
    parser.add_argument("folder", type=pathlib.Path, help="of recordings")
    parser.add_argument("--cache", type=pathlib.Path, help="a folder (default: a temporary one)")
    parser.add_argument("--steps", type=int, default=30, help="of each measurement (default: 30)")
    given = parser.parse_args(argv)
    paths = sorted(path for path in given.folder.rglob("*") if path.suffix.lower() in RECORDINGS)
    if not paths:
        raise ValueError(f"The folder must hold recordings. Received: {given.folder}")
    model = vocoder()
    model.compile("adam", "mean_absolute_error")
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.cache or pathlib.Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        cached, step = recordings(paths, folder), model.train_on_batch
        bar = keras.utils.Progbar(len(paths), unit_name="recording")
        for number, _ in enumerate(cached):  # a whole pass
            bar.update(number + 1)
        device_share(batches(cached), step, 3)  # traces
        shares = {
            "computed in every pass": device_share(batches(recordings(paths)), step, given.steps),
            "from the cache": device_share(batches(cached), step, given.steps),
        }
    for name, (share, seconds) in shares.items():
        print(f"features {name}: the device computes {share:.0%} of the time, {1e3 * seconds:.0f} ms a step")
    return {name: share for name, (share, _) in shares.items()}


if __name__ == "__main__":
    run(main)
