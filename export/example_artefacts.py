"""What `make serve` and `make batch` take where nothing else is named: `python export/example_artefacts.py FOLDER`.

A small decoder of EnCodec's shape with random weights, whole and live, and frames of the package's recording, cut into
utterances of one to four seconds.
"""

import os
import pathlib
import shutil
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "examples"))

import keras
import numpy as np
from live_decoder import RECORDING, causal_decoder, latents_of

import lucid_keras as lk

FRAMES = 75  # of a second
FILTERS = 8
ROWS = (1, 8)
UTTERANCES = 24


def main():
    folder = pathlib.Path(sys.argv[1])
    if (folder / "features").exists():
        return
    making = folder.with_name(f".{folder.name}.making")
    shutil.rmtree(making, ignore_errors=True)
    (making / "features").mkdir(parents=True)
    keras.utils.set_random_seed(0)
    decoder = causal_decoder(FILTERS)
    lk.export.to_saved_model(decoder, making / "decoder" / "1", timing_seconds=0)
    for rows in ROWS:
        path = making / f"live_{rows}.tflite"
        lk.export.streaming_to_tflite(lk.StreamingModel(decoder), path, batch=rows, chunk=12, timing_seconds=0)
    (latents,) = latents_of(RECORDING)
    rng = np.random.default_rng(0)
    for number in range(UTTERANCES):
        frames = min(int(rng.uniform(1, 4) * FRAMES), len(latents))
        start = int(rng.integers(len(latents) - frames + 1))
        np.save(making / "features" / f"u{number:02d}.npy", latents[start : start + frames])
    folder.parent.mkdir(parents=True, exist_ok=True)
    making.rename(folder)
    print(f"made {folder}")


if __name__ == "__main__":
    main()
