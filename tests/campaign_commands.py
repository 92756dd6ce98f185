"""Bad words on the command line: each in the place of each word of a valid command, and of its options' values."""

import contextlib
import functools
import io
import math
import re

import keras
import numpy as np
from campaign import Reached

import lucid_keras as lk
from lucid_keras.cli import main

WORDS = (
    *("", " ", "no", "-1", "0", "3.5", "nan", "inf", "-inf", "1e999", "2147483648", "9" * 25, "True", "None", "é"),
    *("1,", ",", "1,1", "5,a", "1;2", "dynamic", "--typo", "-", "a" * 300, ".", "..", "/", "/dev/null", "nothing"),
    *("nothing.tflite", "nothing.keras", "nothing.npz", "nothing.pt", "nothing.wav", "nothing/there/a.npy", "a.pdf"),
    *("empty.tflite", "empty.keras", "empty.npz", "empty.npy", "empty.pt", "empty.safetensors", "empty.lucid"),
    *("empty.wav", "junk.tflite", "junk.keras", "junk.npz", "junk.npy", "junk.pt", "junk.safetensors", "junk.lucid"),
    *("junk.wav", "folder.tflite", "folder.keras", "folder.npz", "folder.npy", "folder.json", "text.npy"),
    *("up.keras/in", "up.tflite/in", "/proc/x.tflite", "objects.npy", "nested.pt", "not_finite.npy"),
)  # fmt: skip
# What may be accepted after an option or a word: numbers from the least one, a length, any name for what is written.
NUMBERS = {
    **dict.fromkeys(("--batch", "--rounds", "--threads", "--chunk"), (int, 1)),
    **dict.fromkeys(("--padding", "--output-padding"), (int, 0)),
    "--floor": (float, -math.inf),
    **dict.fromkeys(("--seconds", "--time-limit"), (float, 0)),
}
# Names of any kind: of what is written, and of layers, which the converted file has or has not.
NAMES = ("up.keras", "--json", "--report", "--out", "--float-layers")


def prepared(folder):
    """The files that the words and the commands name."""
    decoder = keras.Sequential([keras.Input((4, None), name="mel"), lk.ConvTranspose1d(4, 2, 3, stride=2)])
    decoder.save(folder / "up.keras")
    lk.export.to_tflite(decoder, folder / "up.tflite", length=5, timing_seconds=0)
    samples = np.random.default_rng(3).standard_normal((2, 4, 5)).astype("float32")
    np.save(folder / "samples.npy", samples)
    np.savez(folder / "held.npz", weight=np.ones((4, 2, 3), "float32"))
    for word in WORDS:
        kind = word.partition(".")[0]
        if kind == "empty":
            (folder / word).touch()
        elif kind == "junk":
            (folder / word).write_bytes(b"PK\x03\x04TFL3" + bytes(range(256)) * 3)
        elif kind == "folder":
            (folder / word).mkdir()
    np.save(folder / "text.npy", np.array(["a"]))
    np.save(folder / "objects.npy", np.array([None]), allow_pickle=True)
    np.save(folder / "not_finite.npy", np.full_like(samples, np.nan))
    import torch

    torch.save({"w": torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])}, folder / "nested.pt")


COMMANDS = {
    "inspect": "inspect up.tflite",
    "inspect as JSON": "inspect up.tflite --json --on compiled",
    "inspect a checkpoint": "inspect held.npz",
    "verify": "verify up.tflite up.keras --data samples.npy --floor 20 --on compiled",
    "export": "export up.keras x.tflite --quantization int8 --calibration samples.npy --length 5 --integer-io"
    " --float-layers conv_transpose1d --verification samples.npy --floor 30 --on compiled --report r.json",
    "export the smallest": "export up.keras x.tflite --quantization auto --for npu --time-limit 60 --length 5"
    " --calibration samples.npy --floor 30",
    "export a SavedModel": "export up.keras saved --length 5 --verification samples.npy --floor 30",
    "export exactly": "export up.keras x.tflite --length 5 --exact-products --floor 30",
    "export StableHLO": "export up.keras x.stablehlo --length 5 --floor 30 --platform tpu",
    "export a stream": "export up.keras x.tflite --stream --chunk 2 --batch 1 --states explicit --floor 30"
    " --quantization int8 --calibration samples.npy --float-layers auto --report r.html",
    "import": "import nothing.pt2 x.keras --channels-last",
    "runtimes": "runtimes list",
    "demo": "demo --audio nothing.wav --out out",
    "bench": "bench 4 2 3 --stride 2 --padding 0 --output-padding 0 --groups 1 --dilation 1 --length 5 --batch 1"
    " --mode forward --subjects torch --rounds 1 --seconds 0.1 --threads 1 --json r.json",
    "version": "version",
}


def tries():
    """A label and a check for a bad word in the place of each word but the first, and after the last."""
    for line in COMMANDS.values():
        words = line.split()
        for place in range(1, len(words) + 1):
            for bad in WORDS:
                given = [*words[:place], bad, *words[place + 1 :]]
                yield " ".join(given), functools.partial(undocumented, given, place)


def undocumented(words, place):
    """What is wrong with the answer to a bad word at a place: an empty text where nothing is."""
    status, lines = answer(words)
    return "" if (not status and _acceptable(words, place)) else not_one_line(status, lines)


def _acceptable(words, place):
    before, word = words[place - 1], words[place]
    if before in NUMBERS:
        number, least = NUMBERS[before]
        with contextlib.suppress(ValueError):
            return number(word) >= least
    return before in NAMES or (before == "--length" and word == "dynamic")


def not_one_line(status, lines):
    """What is wrong with a refusal: an empty text where it is one line with what was received."""
    if not status:
        return "accepted"
    named = len(lines) == 1 and re.search(r"Received|argument|cannot be read|not a readable|Errno|needs", lines[0])
    return "" if named else f"exit status {status} and {lines}"


def answer(words):
    """The exit status, None where the work began, and the lines on the standard error."""
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        try:
            status = main(words)
        except SystemExit as left:
            status = left.code
        except Reached:
            status = None
        except Exception as raised:
            return 1, [f"{type(raised).__name__}: {raised}", "a traceback"]
    return status, error.getvalue().splitlines()
