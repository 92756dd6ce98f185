"""A guest that does what a test asks of it: dies, hangs, raises, prints, forgets an output, or is silent."""

import os
import signal
import sys
import time

import numpy as np
from channel import median, serve


class Opened:
    version, device = "0", "a test"

    def __init__(self, path, options):
        self._does = options["does"]
        if self._does == "refuses":
            raise RuntimeError("Didn't find op\nfor builtin opcode 'CONV_2D'")

    def run(self, signature, inputs):
        if self._does == "dies":
            print("the last words\n", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGSEGV)
        if self._does == "hangs":
            time.sleep(600)
        if self._does == "exhausts":
            raise MemoryError
        if self._does == "leaves":
            os._exit(3)
        if self._does == "prints":
            print("not an answer")
        return {} if self._does == "forgets" else {"y": np.zeros((1, 2, 64), "float32")}

    def milliseconds(self, signature, seconds, inputs):
        return median(lambda: None, seconds)

    def found(self):
        return {"nodes": [], "tensors": {}}


serve(Opened)
