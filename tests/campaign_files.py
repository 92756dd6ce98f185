"""Damaged files: every kind that the commands read, cut, flipped, overwritten and swapped, the same ways each time."""

import functools
import itertools

import keras
import numpy as np
from campaign_commands import answer, not_one_line
from lucid_writer import Tensor, lucid_bytes

import lucid_keras as lk


def prepared(folder):
    """Whole files of every kind, and the command that reads each."""
    import safetensors.numpy
    import torch

    decoder = keras.Sequential([keras.Input((4, 5), name="mel"), lk.ConvTranspose1d(4, 2, 3, stride=2)])
    held = {"up.weight": np.ones((4, 2, 3), "float32"), "up.bias": np.zeros(2, "float32")}
    decoder.save(folder / "up.keras")
    lk.export.to_tflite(decoder, folder / "up.tflite", timing_seconds=0)
    lk.export.to_saved_model(decoder, folder / "saved", timing_seconds=0)
    lk.export.to_stablehlo(decoder, folder / "up.stablehlo", timing_seconds=0)
    np.savez(folder / "held.npz", **held)
    safetensors.numpy.save_file(held, folder / "held.safetensors")
    torch.save({name: torch.from_numpy(array) for name, array in held.items()}, folder / "held.pt")
    (folder / "held.lucid").write_bytes(lucid_bytes({name: Tensor(array) for name, array in held.items()}))


READERS = {
    "held.npz": "inspect held.npz",
    "held.safetensors": "inspect held.safetensors",
    "held.pt": "inspect held.pt",
    "held.lucid": "inspect held.lucid",
    "up.tflite": "inspect up.tflite --json",
    "up.keras": "verify up.tflite up.keras --floor 10",
    "up.stablehlo/manifest.json": "verify up.stablehlo up.keras --floor 10",
}
# The interpreter, XLA and TensorFlow's loader read these themselves.
VERIFIED = {
    "up.tflite": "verify up.tflite up.keras --floor 10",
    "up.stablehlo/forward.stablehlo": "verify up.stablehlo up.keras --floor 10",
    "saved/saved_model.pb": "verify saved up.keras --floor 10",
}


def damaged(content, rng):
    """The content with one thing wrong, without end."""
    size = len(content)
    for turn in itertools.count():
        here, span = int(rng.integers(size)), int(rng.integers(1, 65))
        match turn % 5:
            case 0:
                yield content[:here]
            case 1:
                yield content[:here] + bytes([content[here] ^ (1 << int(rng.integers(8)))]) + content[here + 1 :]
            case 2:
                yield content[:here] + rng.bytes(span) + content[here + span :]
            case 3:
                yield content[:here] + content[here + span :]
            case 4:
                yield content[:here] + content[int(rng.integers(size)) :][:span] + content[here:]


def tries(folder, readers, count):
    """A label and a check for so many damaged copies of each file; what can still be read may be."""
    for name, line in readers.items():
        damages = damaged((folder / name).read_bytes(), np.random.default_rng(5))
        for turn, damage in enumerate(itertools.islice(damages, count)):
            yield f"{line}, damage {turn} of {name}", functools.partial(undocumented, folder / name, damage, line)


def undocumented(path, damage, line):
    """What is wrong with a command's answer to a damaged file, which is whole again afterwards."""
    whole = path.read_bytes()
    path.write_bytes(damage)
    try:
        status, lines = answer(line.split())
    finally:
        path.write_bytes(whole)
    return not_one_line(status, lines) if status else ""
