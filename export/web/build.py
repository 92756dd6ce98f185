"""Build the page that decodes live in a browser: a folder with a decoder, its stream, and LiteRT.js beside the page.

    lucid-keras runtimes install browser      LiteRT.js, by npm
    python export/web/build.py                saved_models/web/, in a minute or two
    python export/web/serve.py                http://127.0.0.1:8765/

The decoder is that of `examples/live_decoder.py`, small, and trained for a moment on the recording that comes with the
package, so that there is something to hear. A folder that is there stays as it is.
"""

import argparse
import json
import os
import pathlib
import shutil
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's notes would hide the results
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "examples"))

import keras
import live_decoder
import numpy as np
import soundfile
import tensorflow as tf

import lucid_keras as lk
from lucid_keras.export.files import folder_atomically
from lucid_keras.runtimes.places import place

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PAGE = ("*.html", "*.css", "*.js", "*.svg")
# Of LiteRT.js what a page loads: without and with relaxed SIMD, and with JSPI, which WebGPU takes.
LITERT = ("core/dist/index.js", "wasm-utils/dist/index.js", "core/wasm/litert_wasm_[cij]*")
FILES = {"decoder": "decoder.tflite", "input": "latents.npy", "expected": "samples.npy"}
WINDOW = 32  # frames that are trained on at once
BATCH = 8
STEPS_AT_ONCE = 20


def samples_of(path):
    """A recording's samples at the decoder's rate, at a peak of 0.9: those that `latents_of` describes."""
    samples, rate = soundfile.read(path)
    at = np.arange(0, len(samples), rate / live_decoder.SAMPLE_RATE)
    samples = np.interp(at, np.arange(len(samples)), samples)
    samples = samples[: len(samples) // live_decoder.FRAME * live_decoder.FRAME]
    return (0.9 * samples / np.abs(samples).max()).astype("float32")


def train(decoder, latents, samples, steps):
    """Fit the decoder to one recording."""
    latents, frames = tf.constant(latents[0]), tf.constant(samples.reshape(-1, live_decoder.FRAME))

    def window(number):
        start = number % (len(latents) - WINDOW + 1)
        return latents[start : start + WINDOW], tf.reshape(frames[start : start + WINDOW], [-1, 1])

    windows = tf.data.Dataset.random(seed=0).map(window).batch(BATCH, drop_remainder=True).prefetch(2)
    rate = keras.optimizers.schedules.CosineDecay(2e-3, steps, alpha=0.02)
    decoder.compile(optimizer=keras.optimizers.Adam(rate, clipnorm=1.0), loss="mean_squared_error")
    decoder.fit(windows, steps_per_epoch=STEPS_AT_ONCE, epochs=max(1, steps // STEPS_AT_ONCE), verbose=2)


def write_stream(folder, quantization, filters, steps):
    """The decoder, its input and the whole decode in Keras; the report of the export."""
    keras.utils.set_random_seed(0)
    latents, samples = live_decoder.latents_of(live_decoder.RECORDING), samples_of(live_decoder.RECORDING)
    decoder = live_decoder.causal_decoder(filters)
    train(decoder, latents, samples, steps)
    whole = decoder.predict(latents, verbose=0)
    print(f"the decoder against the recording: SNR {lk.export.snr_db(samples, whole[0, :, 0]):.1f} dB")
    report = lk.export.streaming_to_tflite(
        lk.StreamingModel(decoder), folder / FILES["decoder"], quantization=quantization, verification_data=latents
    )
    np.save(folder / FILES["input"], latents)
    np.save(folder / FILES["expected"], whole)
    title = f"a small decoder of EnCodec's shape, {quantization}"
    manifest = {"title": title, "sample_rate": live_decoder.SAMPLE_RATE, **FILES}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
    return report


def write_page(folder, packages):
    """The page and LiteRT.js."""
    scope = pathlib.Path(packages) / "node_modules" / "@litertjs"
    if not (scope / LITERT[0]).is_file():
        raise FileNotFoundError(
            f"LiteRT.js must be there: lucid-keras runtimes install browser. Received: nothing in {scope}"
        )
    for pattern in PAGE:
        for file in HERE.glob(pattern):
            shutil.copy(file, folder)
    for pattern in LITERT:
        for file in scope.glob(pattern):
            target = folder / "litert" / file.relative_to(scope)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=pathlib.Path, default=ROOT / "saved_models" / "web")
    parser.add_argument("--packages", type=pathlib.Path, default=place("browser"), help="the folder with node_modules")
    parser.add_argument("--quantization", default="float32", help="as for streaming_to_tflite (default: float32)")
    parser.add_argument("--filters", type=int, default=8, help="EnCodec has 32 (default: 8)")
    parser.add_argument("--steps", type=int, default=400, help="of the training (default: 400)")
    given = parser.parse_args(argv)
    if given.folder.exists():
        print(f"{given.folder} stays as it is")
        return
    try:
        with folder_atomically(given.folder) as folder:
            write_page(folder, given.packages)
            report = write_stream(folder, given.quantization, given.filters, given.steps)
    except (OSError, ValueError) as error:
        sys.exit(f"build: {error}")
    print(f"wrote {given.folder}: {report.bytes / 1e6:.1f} MB of decoder, {report.snr_db:.1f} dB under LiteRT here")


if __name__ == "__main__":
    main()
