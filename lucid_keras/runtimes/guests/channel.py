"""How a guest is talked to: requests on standard input, answers on standard output, a line and arrays each.

A guest is a script that another Python runs, of another processor, another year or beside another runtime. It has the
standard library, NumPy and that runtime; nothing of this package but this file.
"""

import io
import json
import os
import statistics
import sys
import time
import traceback
import typing

import numpy as np


def send(stream, told, arrays=None):
    """Write `told`, what JSON can say, and arrays by name."""
    packed = io.BytesIO()
    arrays = arrays or {}
    np.savez(packed, *arrays.values())
    content = packed.getvalue()
    stream.write(json.dumps({"told": told, "names": list(arrays), "bytes": len(content)}).encode() + b"\n" + content)
    stream.flush()


def receive(stream):
    """What `send` wrote at the other end, a pair; None where that has ended."""
    line = stream.readline()
    content = stream.read(json.loads(line)["bytes"]) if line.endswith(b"\n") else b""
    if not content:
        return None
    with np.load(io.BytesIO(content)) as packed:
        arrays = [packed[f"arr_{number}"] for number in range(len(packed.files))]
    header = json.loads(line)
    return header["told"], dict(zip(header["names"], arrays, strict=True))


def serve(opens):
    """Answer requests until there are no more: the first opens a file, `opens(path, options)`.

    What that gives has `version` and `device`, `run(signature, inputs)`, `milliseconds(signature, inputs, seconds)` and
    `found()`: what JSON can say of what it found of the file. What anyone else prints goes to standard error.
    """
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    opened: typing.Any = None
    while (request := receive(sys.stdin.buffer)) is not None:
        (do, *arguments), arrays = request
        try:
            if do == "open":
                opened = opens(*arguments)
                send(answers, {"version": opened.version, "device": opened.device})
            elif do == "run":
                send(answers, {}, opened.run(*arguments, arrays))
            elif do == "milliseconds":
                send(answers, {"milliseconds": opened.milliseconds(*arguments, arrays)})
            else:
                send(answers, opened.found())
        except Exception as error:  # each runtime has its own
            traceback.print_exc()
            send(answers, {"error": " ".join(str(error).split()) or type(error).__name__})


def median(invoke, seconds):
    """The median time of `invoke()` in milliseconds, over three calls or as many as fit in `seconds`."""
    invoke()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        invoke()
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)
