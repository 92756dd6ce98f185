"""Write the golden artefacts under saved_models/golden: today's files that tomorrow's code must still read.

    python export/build_saved_models.py

Small decoders with what is hard about transposed convolutions, whole and live, in every format, with inputs and
expected outputs: a folder each, with a manifest of seeds, versions and the SHA-256 of every file. A folder that is
there stays as it is: what an older version wrote is worth more than what today's would write.
"""

import functools
import hashlib
import json
import pathlib

import keras
import numpy as np

import lucid_keras as lk
from lucid_keras.export import streaming_to_tflite, to_saved_model, to_stablehlo, to_tflite
from lucid_keras.export.files import folder_atomically
from lucid_keras.export.live import LiveArtefact, cut
from lucid_keras.export.recipes import RECIPES
from lucid_keras.export.versions import versions
from lucid_keras.runtimes import LiteRT

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "saved_models" / "golden"
SEED = 20260
LENGTH = 24
CHUNKS = (1, 3)
LIVE = {
    "explicit": {},
    "variables": {"states": "variables"},
    "dynamic_int8": {"quantization": "dynamic_int8"},
}


def whole_decoder():
    """Groups, an odd stride with padding, output padding, dilation with stride, depthwise: `[batch, 8, length]` in."""
    keras.utils.set_random_seed(SEED)
    return keras.Sequential(
        [
            keras.Input((8, None), name="mel"),
            lk.ConvTranspose1d(8, 8, 10, stride=5, padding=3, groups=2, name="odd_stride"),
            keras.layers.LeakyReLU(0.1, name="leaky"),
            lk.ConvTranspose1d(8, 8, 3, stride=2, padding=1, output_padding=1, groups=8, name="depthwise"),
            lk.ConvTranspose1d(8, 4, 5, stride=2, dilation=3, bias=False, name="dilated"),
            lk.ConvTranspose1d(4, 1, 3, padding=1, name="to_wave"),
            keras.layers.Activation("tanh", name="wave"),
        ],
        name="golden",
    )


def live_decoder():
    """A recurrence, a causal convolution, groups, a crop, a latency and a flush: `[batch, positions, 6]` in."""
    keras.utils.set_random_seed(SEED)
    layers = keras.layers
    upsampling = functools.partial(lk.ConvTranspose1d, data_format="channels_last")
    return keras.Sequential(
        [
            keras.Input((None, 6), name="codes"),
            layers.Conv1D(8, 3, padding="causal", dilation_rate=2, name="causal"),
            layers.LSTM(8, return_sequences=True, name="recurrence"),
            upsampling(8, 8, 6, stride=3, groups=2, name="grouped"),
            layers.Cropping1D((0, 3), name="crop"),
            layers.LeakyReLU(0.1, name="leaky"),
            upsampling(8, 2, 8, stride=4, padding=1, output_padding=2, name="to_wave"),
            layers.Activation("tanh", name="wave"),
        ],
        name="golden_live",
    )


def live_layer():
    """A streaming layer called as a layer, its overlap in and out: a functional model, as `.keras` files hold it."""
    keras.utils.set_random_seed(SEED)
    upsampling = lk.ConvTranspose1d(4, 3, 7, stride=2, padding=2, dilation=2, name="up")
    streaming = lk.StreamingConvTranspose1d(upsampling, trim=1, name="live")
    chunk = keras.Input((4, 3), name="chunk")
    overlap = keras.Input((3, streaming.state_length), name="overlap")
    return keras.Model([chunk, overlap], list(streaming(chunk, overlap)), name="golden_layer")


def write_whole(folder):
    """A whole decoder in every format."""
    model = whole_decoder()
    data = np.random.default_rng(SEED).uniform(-1, 1, (50, 8, LENGTH)).astype("float32")
    model.save(folder / "decoder.keras")
    to_saved_model(model, folder / "saved_model", timing_seconds=0)
    to_stablehlo(model, folder / "decoder.stablehlo", length=LENGTH, vjp=True, timing_seconds=0)
    outputs = {"mel": data[:1], "keras": model(data[:1]).numpy()}
    for name, recipe in RECIPES.items():
        path = folder / f"{name}.tflite"
        calibration = {"calibration_data": data} if recipe.calibrated else {}
        to_tflite(model, path, quantization=name, length=LENGTH, timing_seconds=0, **calibration)
        outputs[name] = LiteRT(path).run("serving_default", {"mel": data[:1]})["wave"]
    np.savez(folder / "outputs.npz", **outputs)


def write_live(folder):
    """A streaming layer in a `.keras` file, and a live decoder, its states in and out and inside."""
    layer, decoder = live_layer(), live_decoder()
    streaming = lk.StreamingModel(decoder)
    layer.save(folder / "layer.keras")
    decoder.save(folder / "decoder.keras")
    rng = np.random.default_rng(SEED)
    outputs = {"codes": rng.uniform(-1, 1, (1, LENGTH, 6)).astype("float32")}
    outputs |= {f"layer_{one.name}": rng.standard_normal((1, *one.shape[1:])).astype("float32") for one in layer.inputs}
    samples, overlap = layer([outputs["layer_chunk"], outputs["layer_overlap"]])
    outputs |= {"layer_samples": samples.numpy(), "layer_following": overlap.numpy()}
    outputs["keras"] = decoder(outputs["codes"]).numpy()
    for name, arguments in LIVE.items():
        streaming_to_tflite(streaming, folder / f"{name}.tflite", chunk=CHUNKS, **arguments)
        outputs[name] = streamed(folder / f"{name}.tflite", outputs["codes"], streaming)
    np.savez(folder / "outputs.npz", **outputs)


def streamed(path, codes, streaming):
    """The output of a live file, a signal in chunks in turn."""
    live = LiveArtefact(LiteRT(path))
    pieces = [live.step(chunk) for chunk in cut({"x": codes}, CHUNKS, streaming)]
    return np.concatenate(pieces + live.flush(), axis=1)[:, streaming.latency :]


FOLDERS = {"whole": write_whole, "live": write_live}


def write(name):
    """Write one folder with its manifest, whole or not at all; returns its size in bytes."""
    with folder_atomically(GOLDEN / name) as folder:
        FOLDERS[name](folder)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        manifest = {
            "command": "python export/build_saved_models.py",
            "seed": SEED,
            "versions": versions(),
            "sha256": {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files},
        }
        (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
        return sum(path.stat().st_size for path in files)


def main():
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for name in FOLDERS:
        if not (GOLDEN / name).exists():
            print(f"{GOLDEN / name}: {write(name):,} bytes")


if __name__ == "__main__":
    main()
