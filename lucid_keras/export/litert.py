"""Running a `.tflite` file under LiteRT: its outputs, its operators, what the delegate takes, how long it needs."""

import collections
import dataclasses
import statistics
import time

import numpy as np

DELEGATE = "DELEGATE"


@dataclasses.dataclass(frozen=True)
class Coverage:
    """The operators of a file, by name and in order, and how many of them the XNNPACK delegate runs."""

    ops: tuple[str, ...]
    delegated: int
    partitions: int

    @property
    def share(self):
        """Delegated operators over all operators."""
        return self.delegated / len(self.ops) if self.ops else 1.0

    def counts(self):
        """How often each operator occurs."""
        return dict(collections.Counter(self.ops))


def interpreter(content, threads=2):
    """A LiteRT interpreter over the bytes of a file, XNNPACK applied, its tensors allocated."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        raise ImportError("running a .tflite file needs LiteRT: pip install 'lucid_keras[export]'") from None
    loaded = Interpreter(model_content=content, num_threads=threads)
    try:
        loaded.allocate_tensors()
    except RuntimeError as error:
        raise ValueError(f"LiteRT refuses the file: {error}") from None
    return loaded


class Runner:
    """The signatures of a `.tflite` file, run on samples in the model's own dtypes whatever those of the file."""

    def __init__(self, content, threads=2):
        self.interpreter = interpreter(content, threads)
        self.names = list(self.interpreter.get_signature_list())

    def __call__(self, signature, sample):
        """The outputs by name, integers turned back into floating point by their scales."""
        runner = self.interpreter.get_signature_runner(signature)
        inputs, outputs = runner.get_input_details(), runner.get_output_details()
        results = runner(**{name: _quantized(array, inputs[name]) for name, array in sample.items()})
        return {name: _dequantized(array, outputs[name]) for name, array in results.items()}

    def input_shapes(self):
        """The shape of each input of each signature by their names, -1 where the file leaves an extent open."""
        runners = {name: self.interpreter.get_signature_runner(name) for name in self.names}
        return {
            name: {key: detail["shape_signature"].tolist() for key, detail in runner.get_input_details().items()}
            for name, runner in runners.items()
        }

    def invocation(self, signature, sample):
        """A function that runs the signature on a sample, everything set up, for timing."""
        runner = self.interpreter.get_signature_runner(signature)
        details = runner.get_input_details()
        inputs = {name: _quantized(array, details[name]) for name, array in sample.items()}
        return lambda: runner(**inputs)

    def coverage(self):
        """What the delegate takes at the lengths of the last run."""
        return coverage(self.interpreter)


def _quantized(array, detail):
    """An array in the dtype of a file's input."""
    dtype = np.dtype(detail["dtype"])
    if dtype.kind != "i" or array.dtype.kind != "f":
        return array.astype(dtype, copy=False)
    scale, zero_point = detail["quantization"]
    limits = np.iinfo(dtype)
    return np.clip(np.round(array / scale) + zero_point, limits.min, limits.max).astype(dtype)


def _dequantized(array, detail):
    """A file's output in floating point, if its dtype is quantized."""
    scale, zero_point = detail["quantization"]
    if array.dtype.kind != "i" or scale == 0:
        return array
    return (array.astype(np.float32) - zero_point) * np.float32(scale)


def coverage(loaded):
    """What XNNPACK took of an interpreter's graph: the operators between each delegate node's inputs and outputs."""
    nodes = loaded._get_ops_details()  # the only way to the nodes from Python; covered by a test
    delegates = [node for node in nodes if node["op_name"] == DELEGATE]
    operators = [node for node in nodes if node["op_name"] != DELEGATE]
    producer = {
        tensor: node["index"] for node in operators for tensor in node["outputs"] if tensor >= 0
    }  # -1: left out
    by_index = {node["index"]: node for node in operators}
    taken = set()
    for delegate in delegates:
        borders = set(delegate["inputs"])
        pending = list(delegate["outputs"])
        while pending:
            tensor = pending.pop()
            node = producer.get(tensor)
            if tensor in borders or node is None or node in taken:
                continue
            taken.add(node)
            pending.extend(by_index[node]["inputs"])
    return Coverage(tuple(node["op_name"] for node in operators), len(taken), len(delegates))


def milliseconds(invoke, seconds=1.0, least=10):
    """The median time of `invoke()` in milliseconds, over `least` calls or as many as fit in `seconds`."""
    invoke()
    times = []
    end = time.perf_counter() + seconds
    while len(times) < least or time.perf_counter() < end:
        start = time.perf_counter()
        invoke()
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)
