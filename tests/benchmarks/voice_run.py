"""A file on windows of inputs, in a process of its own: `python voice_run.py FILE WINDOWS RESULTS THREADS SECONDS`.

`WINDOWS` is a `.npz` with the inputs by name, a first axis of windows; `RESULTS.npy` will hold their samples. Prints
JSON: the milliseconds of one window, and the runtime's name. Imports the runtime of the file's kind and no other:
the threads of two in one process slow each other down.
"""

import json
import pathlib
import statistics
import sys
import time

import numpy as np

LEAST = 5  # calls that are timed


def litert(path, threads):
    """LiteRT's interpreter."""
    import importlib.metadata

    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(path, num_threads=threads).get_signature_runner()
    version = importlib.metadata.version("ai-edge-litert")
    return lambda inputs: next(iter(runner(**inputs).values())), f"LiteRT {version}"


def onnx_runtime(path, threads):
    """ONNX Runtime, whose file takes channels first."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]

    def call(inputs):
        arrays = [np.ascontiguousarray(one.mT) if one.ndim == 3 else one for one in inputs.values()]
        return session.run(None, dict(zip(names, arrays, strict=True)))[0]

    return call, f"ONNX Runtime {onnxruntime.__version__}"


RUNTIMES = {".tflite": litert, ".onnx": onnx_runtime}


def main(path, windows, results, threads, seconds):
    """Run each window once, then the first for so many seconds."""
    call, runtime = RUNTIMES[pathlib.Path(path).suffix](path, int(threads))
    with np.load(windows) as loaded:
        columns = {name: loaded[name] for name in loaded.files}
    count = len(next(iter(columns.values())))
    inputs = [{name: column[index : index + 1] for name, column in columns.items()} for index in range(count)]
    np.save(results, np.stack([call(one).ravel() for one in inputs]))
    times, end = [], time.perf_counter() + float(seconds)
    while len(times) < LEAST or time.perf_counter() < end:
        start = time.perf_counter()
        call(inputs[0])
        times.append(time.perf_counter() - start)
    print(json.dumps({"milliseconds": 1e3 * statistics.median(times), "runtime": runtime}))


if __name__ == "__main__":
    main(*sys.argv[1:])
