"""Regenerate the golden artefacts under saved_models/golden: today's files that tomorrow's code must still read.

    python export/build_saved_models.py            say what would be written
    python export/build_saved_models.py --write    write it

One small decoder with what is hard about transposed convolutions, in every format, with inputs and expected outputs.
The folder is replaced as a whole; a manifest holds seeds, versions and the SHA-256 of every file.
"""

import argparse
import hashlib
import json
import pathlib
import shutil
import tempfile

import keras
import numpy as np

import lucid_keras as lk
from lucid_keras.export import to_saved_model, to_stablehlo, to_tflite
from lucid_keras.export.litert import Runner
from lucid_keras.export.recipes import RECIPES
from lucid_keras.export.versions import versions

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "saved_models" / "golden"
SEED = 20260
LENGTH = 24
COMMAND = "python export/build_saved_models.py --write"


def decoder():
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


def planned():
    """The names of what is written, files and folders."""
    return ["decoder.keras", "saved_model", "decoder.stablehlo", *(f"{name}.tflite" for name in RECIPES), "outputs.npz"]


def write(folder):
    """Write all artefacts and the manifest into `folder`."""
    model = decoder()
    data = np.random.default_rng(SEED).uniform(-1, 1, (50, 8, LENGTH)).astype("float32")
    model.save(folder / "decoder.keras")
    to_saved_model(model, folder / "saved_model", timing_seconds=0)
    to_stablehlo(model, folder / "decoder.stablehlo", length=LENGTH, vjp=True, timing_seconds=0)
    outputs = {"mel": data[:1], "keras": model(data[:1]).numpy()}
    for name, recipe in RECIPES.items():
        path = folder / f"{name}.tflite"
        calibration = {"calibration_data": data} if recipe.calibrated else {}
        to_tflite(model, path, quantization=name, length=LENGTH, timing_seconds=0, **calibration)
        outputs[name] = Runner(path.read_bytes())("serving_default", {"mel": data[:1]})["wave"]
    np.savez(folder / "outputs.npz", **outputs)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    manifest = {
        "command": COMMAND,
        "seed": SEED,
        "versions": versions("ai-edge-litert", "ai-edge-quantizer"),
        "sha256": {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
    return sum(path.stat().st_size for path in files)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write; without it, say what would be written")
    arguments = parser.parse_args()
    if not arguments.write:
        print(f"would write to {GOLDEN}:", *planned(), "manifest.json", sep="\n  ")
        return
    GOLDEN.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=GOLDEN.parent, prefix=".golden.") as temporary:
        fresh = pathlib.Path(temporary) / "golden"
        fresh.mkdir()
        size = write(fresh)
        shutil.rmtree(GOLDEN, ignore_errors=True)
        fresh.rename(GOLDEN)
    print(f"{GOLDEN}: {size:,} bytes")


if __name__ == "__main__":
    main()
