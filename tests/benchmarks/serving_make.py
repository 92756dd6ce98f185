"""What is served and decoded in the measurements of serving: `python -m benchmarks.serving_make FOLDER`.

SpeechT5's HiFi-GAN as a SavedModel, as files, and in PyTorch, with the same weights; a live decoder of EnCodec's shape;
and features of the recording, cut into utterances of half a second to three.
"""

import pathlib
import sys

import keras
import live_decoder
import numpy as np

import lucid_keras as lk
from benchmarks.model_cases import DECODERS, recording_at, without_weight_norm

DECODER = "HiFi-GAN, SpeechT5's"
UTTERANCES = 120
LIVE_ROWS = (1, 8, 32)
LIVE_CHUNK = 12  # frames of 13.3 ms: 160 ms
FILTERS = 16


def main(folder):
    import torch

    decoder = DECODERS[DECODER]()
    original = decoder.original()
    torch.save(original.state_dict(), folder / "checkpoint.pt")
    model = decoder.keras_model(None)
    lk.interop.load_state_dict(model, folder / "checkpoint.pt", rename=decoder.rename)
    lk.export.to_saved_model(model, folder / "vocoder" / "1", timing_seconds=0)
    for recipe in ("float32", "dynamic_int8"):
        path = folder / f"vocoder_{recipe}.tflite"
        lk.export.to_tflite(model, path, length="dynamic", quantization=recipe, timing_seconds=0)

    decoding = decoder.decoding(without_weight_norm(original)).eval()
    features = np.asarray(decoder.features(original, recording_at(decoder.rate)), np.float32)
    example = torch.from_numpy(decoder.to_native(features[np.newaxis, :50]))
    with torch.inference_mode():
        torch.jit.trace(decoding, example).save(str(folder / "vocoder.pt"))

    rng = np.random.default_rng(0)
    (folder / "utterances").mkdir()
    for number in range(UTTERANCES):
        frames = int(rng.uniform(0.5, 3) * decoder.rate / decoder.hop)
        start = int(rng.integers(len(features) - frames))
        np.save(folder / "utterances" / f"u{number:03d}.npy", features[start : start + frames])

    keras.utils.set_random_seed(0)
    streaming = lk.StreamingModel(live_decoder.causal_decoder(FILTERS))
    for rows in LIVE_ROWS:
        path = folder / f"live_{rows}.tflite"
        options = {"batch": rows, "chunk": LIVE_CHUNK, "quantization": "dynamic_int8", "timing_seconds": 0}
        lk.export.streaming_to_tflite(streaming, path, **options)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
