"""What a phone keeps of a `.tflite` file, and how long it takes to begin, in a process that has LiteRT alone.

`python -m benchmarks.footprint FILE [CACHE]` prints it as JSON; `of` has it done, with XNNPACK's cache of laid out
weights and without it. Memory is what the file adds to the process once it has run: its own, which no other process
shares and the system cannot drop (arenas, weights as XNNPACK lays them out), and what is mapped from files.
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time

THREADS = 2
PARTS = {"own": "RssAnon", "mapped": "RssFile"}


def of(path):
    """MiB and milliseconds to load and run once, of a file: `plain`, and `cached` with the weights laid out before."""
    with tempfile.TemporaryDirectory() as folder:
        cache = str(pathlib.Path(folder) / "weights")
        _in_a_process(path, cache)
        return {"plain": _in_a_process(path), "cached": _in_a_process(path, cache)}


def _in_a_process(path, *cache):
    command = [sys.executable, "-m", "benchmarks.footprint", str(path), *cache]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def compiled(path, cache=""):
    """The file as LiteRT's CompiledModel, with XNNPACK's cache of laid out weights at a path if there is one."""
    from ai_edge_litert.compiled_model import CompiledModel
    from ai_edge_litert.cpu_options import CpuOptions
    from ai_edge_litert.options import Options

    options = Options(cpu_options=CpuOptions(THREADS, xnnpack_weight_cache_path=str(cache)))
    return CompiledModel.from_file(str(path), options=options)


def measured(path, cache=""):
    """The file's MiB and milliseconds in this process, which has not run one yet."""
    import ai_edge_litert.compiled_model  # noqa: F401  # what follows is the file's alone

    before, began = _memory(), time.perf_counter()
    model = compiled(path, cache)
    inputs, outputs = model.create_input_buffers(0), model.create_output_buffers(0)
    model.run_by_index(0, inputs, outputs)
    milliseconds = 1e3 * (time.perf_counter() - began)
    after = _memory()
    return {"milliseconds": round(milliseconds, 1), **{part: round(after[part] - before[part], 1) for part in PARTS}}


def _memory():
    status = pathlib.Path("/proc/self/status").read_text()
    return {part: int(re.search(rf"{name}:\s+(\d+) kB", status)[1]) / 1024 for part, name in PARTS.items()}


if __name__ == "__main__":
    print(json.dumps(measured(*sys.argv[1:])))
