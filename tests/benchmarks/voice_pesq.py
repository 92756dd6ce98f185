"""PESQ, wide band, of speech at 16 kHz: `python voice_pesq.py SPEECH`, JSON by name; `null` without the package.

`SPEECH` is a `.npz` of samples by name, `reference` among them. Runs in the environment of `make voice`.

Source: ITU-T P.862.2; 1 is bad, 4.64 is the reference itself.
"""

import json
import sys

import numpy as np

RATE = 16_000


def main(path):
    """Print what each but the reference is given."""
    try:
        from pesq import pesq
    except ImportError:  # it is compiled where it is installed, which needs a compiler
        return print("null")
    with np.load(path) as speech:
        reference = speech["reference"]
        found = {name: pesq(RATE, reference, speech[name], "wb") for name in speech.files if name != "reference"}
    return print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
