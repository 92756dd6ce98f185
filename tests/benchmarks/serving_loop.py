"""What Beam is measured against: `python serving_loop.py ARTEFACT OUT RATE FEATURES...`, each as a recording."""

import pathlib
import sys

import numpy as np

from lucid_keras.runtimes import bytes_of, open_artefact

path, out, rate, *features = sys.argv[1:]
artefact = open_artefact(pathlib.Path(path))
((name, signature),) = artefact.signatures.items()
(x,) = signature.inputs
for one in map(pathlib.Path, features):
    (y,) = artefact.run(name, {x: np.load(one)[np.newaxis]}).values()
    (pathlib.Path(out) / f"{one.stem}.wav").write_bytes(bytes_of(y.reshape(-1, 1), ".wav", int(rate)))
