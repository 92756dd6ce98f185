"""How long imports take, and their files beside litert-torch's: `python -m benchmarks.imports_speed`.

Each decoder's files run in turn in a process of its own, on one thread, once each has given the numbers of its
original; a machine's speed drifts, so that what counts is the ratio of two runs that follow one another.
"""

import json
import pathlib
import time

from benchmarks.apart import measure
from benchmarks.imports import FILES, OTHER, RECIPES
from benchmarks.imports import RESULTS as IMPORTS

RESULTS = pathlib.Path(__file__).parent / "imports_speed.json"
ROUNDS = 15
TOLERANCE = 1e-3  # of the greatest sample, in float32
LIMIT = 600  # seconds a decoder


def measured(name):
    """The seconds of an import, and of each file the median milliseconds; how many times ours litert-torch's takes."""
    import numpy as np

    folder = FILES / name
    calls, facts = {}, {}
    for file in (*RECIPES, OTHER):
        if (folder / f"{file}.tflite").exists():
            calls[file], error = loaded(folder, file)
            facts[file] = {"error": error}
    if OTHER in calls and facts[OTHER]["error"] > TOLERANCE:
        del calls[OTHER]
    seconds = {file: [] for file in calls}
    for number in range(ROUNDS + 1):
        for file, call in calls.items():
            began = time.perf_counter()
            call()
            if number:  # the first round warms up
                seconds[file].append(time.perf_counter() - began)
    for file, values in seconds.items():
        facts[file]["milliseconds"] = round(1e3 * float(np.median(values)), 3)
    if {OTHER, "float32"} <= seconds.keys():
        ratios = np.divide(seconds[OTHER], seconds["float32"])
        facts[OTHER]["times_as_long"] = round(float(np.median(ratios)), 3)
    return {"seconds": imported(name), "files": facts}


def imported(name):
    """The seconds that an import takes, the libraries being there."""
    import torch
    from torch_decoders import DECODERS

    from lucid_keras.interop.torch_module import from_torch
    from lucid_keras.interop.translation import model  # noqa: F401  loads what an import needs

    torch.manual_seed(0)
    module, inputs = DECODERS[name].example(small=False)
    began = time.perf_counter()
    from_torch(module, inputs, data_format="channels_last")
    return round(time.perf_counter() - began, 1)


def loaded(folder, file):
    """A call of a file on the inputs kept beside it, and its greatest difference from the original's outputs."""
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    native = "native_" if file == OTHER else ""
    inputs, outputs = (np.load(folder / f"{native}{which}.npz") for which in ("inputs", "outputs"))
    interpreter = Interpreter(str(folder / f"{file}.tflite"), num_threads=1)
    run = interpreter.get_signature_runner()
    dtypes = {name: one["dtype"] for name, one in run.get_input_details().items()}
    (given,) = run(**{name: inputs[name].astype(dtype) for name, dtype in dtypes.items()}).values()
    (expected,) = outputs.values()
    return interpreter.invoke, float(np.abs(given - expected).max() / np.abs(expected).max())


def main():
    """Time the decoders' files, writing the results after each; those of others stay."""
    known = json.loads(IMPORTS.read_text())["decoders"]
    imported = [name for name, one in known.items() if "refused" not in one]
    measure("imports_speed", __doc__, imported, measured, RESULTS, LIMIT)


if __name__ == "__main__":
    main()
