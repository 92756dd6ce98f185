"""PESQ, wide band, of speech at 16 kHz: `python voice_pesq.py SPEECH` prints JSON by name, null where there is none.

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
        from pesq import PesqError, pesq
    except ImportError:  # it is compiled where it is installed, which needs a compiler
        return print("null")
    with np.load(path) as speech:
        samples = {name: speech[name] for name in speech.files}
    reference, unheard = samples.pop("reference"), {"on_error": PesqError.RETURN_VALUES}
    found = {name: pesq(RATE, reference, one, "wb", **unheard) for name, one in samples.items()}
    return print(json.dumps({name: value if value > 0 else None for name, value in found.items()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
