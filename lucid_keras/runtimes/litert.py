"""LiteRT's interpreter: a `.tflite` file on the CPU, by XNNPACK where that takes an operator."""

import importlib.metadata
import os
import pathlib

import numpy as np

from lucid_keras._extras import lacking, needed
from lucid_keras.runtimes.protocol import Coverage, InThisProcess, Signature, Spec

DELEGATE = "DELEGATE"


class LiteRT(InThisProcess):
    """The signatures of a `.tflite` file, run on arrays in the model's own dtypes whatever those of the file.

    Args:
        artefact: the file's bytes, or its path.
        threads: int, CPU threads. Default 2.

    Raises:
        ImportError: LiteRT is not installed.
        ValueError: LiteRT refuses the file.
    """

    name = "LiteRT"
    kind = "tflite"
    device: str | None = None

    @classmethod
    def lacking(cls):
        return lacking("ai_edge_litert", "export")

    def __init__(self, artefact: bytes | str | os.PathLike, threads: int = 2):
        content = artefact if isinstance(artefact, bytes) else pathlib.Path(artefact).read_bytes()
        self.interpreter = interpreter(content, threads)
        self.threads: int | None = threads
        self.version = importlib.metadata.version("ai-edge-litert")
        self._names = _names(self.interpreter)
        self._details: dict[str, tuple[dict[str, dict], dict[str, dict]]] = {}

    @property
    def signatures(self) -> dict[str, Signature]:
        specs = lambda details: {name: _spec(one) for name, one in details.items()}  # noqa: E731
        return {name: Signature(*map(specs, self.details(name))) for name in self._names}

    def run(self, signature, inputs):
        return dequantized(self.prepared(signature, inputs)(), self.details(signature)[1])

    def prepared(self, signature, inputs):
        given = quantized(inputs, self.details(signature)[0])
        runner = self._runner(signature)
        return lambda: runner(**given)

    def details(self, signature: str) -> tuple[dict[str, dict], dict[str, dict]]:
        """What LiteRT tells of the inputs and of the outputs of a signature, by name: dtypes, scales, first shapes."""
        if signature not in self._details:  # asking takes as long as a short step
            runner = self._runner(signature)
            self._details[signature] = runner.get_input_details(), runner.get_output_details()
        return self._details[signature]

    def coverage(self) -> Coverage:
        return coverage(self.interpreter)

    def _runner(self, signature):
        """Made anew for each use: an interpreter refuses to be invoked by hand while one is held."""
        return self.interpreter.get_signature_runner(signature)


def interpreter(content: bytes, threads: int = 2):
    """A LiteRT interpreter over the bytes of a file, XNNPACK applied, its tensors allocated."""
    litert = needed("ai_edge_litert.interpreter", "running a .tflite file needs LiteRT")
    try:
        loaded = litert.Interpreter(model_content=content, num_threads=threads)
        loaded.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"LiteRT must be able to load the file. Received: {error}") from None
    return loaded


def _names(loaded):
    """The names of the signatures, that of the first graph, which the default delegate takes, first."""
    names = loaded.get_signature_list()
    return sorted(names, key=lambda name: loaded.get_signature_runner(name)._subgraph_index)


def _spec(detail):
    shape = tuple(None if extent < 0 else int(extent) for extent in detail["shape_signature"])
    return Spec(np.dtype(detail["dtype"]).name, shape)


def quantized(arrays, details):
    """Arrays by name in the dtypes of a file's inputs."""
    return {name: _quantized(array, details[name]) for name, array in arrays.items()}


def dequantized(arrays, details):
    """A file's outputs by name in floating point, where their dtypes are quantized."""
    return {name: _dequantized(array, details[name]) for name, array in arrays.items()}


def _quantized(array, detail):
    dtype = np.dtype(detail["dtype"])
    if dtype.kind != "i" or array.dtype.kind != "f":
        return array.astype(dtype, copy=False)
    scale, zero_point = detail["quantization"]
    limits = np.iinfo(dtype)
    return np.clip(np.round(array / scale) + zero_point, limits.min, limits.max).astype(dtype)


def _dequantized(array, detail):
    scale, zero_point = detail["quantization"]
    if array.dtype.kind != "i" or scale == 0:
        return array
    return (array.astype(np.float32) - zero_point) * np.float32(scale)


def coverage(loaded) -> Coverage:
    """What XNNPACK took of an interpreter's graph: the operators between each delegate node's inputs and outputs.

    And those that give nothing, such as the writing of a variable, where their inputs never leave a delegate node.
    """
    nodes = loaded._get_ops_details()  # the only way to the nodes from Python; covered by a test
    return coverage_of(nodes, {one["index"]: one["name"] for one in loaded.get_tensor_details()})


def coverage_of(nodes, names) -> Coverage:
    """`coverage` of an interpreter's nodes and the names of its tensors by index."""
    delegates = [node for node in nodes if node["op_name"] == DELEGATE]
    operators = [node for node in nodes if node["op_name"] != DELEGATE]
    producer = {tensor: node for node in operators for tensor in node["outputs"] if tensor >= 0}  # -1: left out
    taken = set()
    for delegate in delegates:
        borders = set(delegate["inputs"])
        pending = list(delegate["outputs"])
        while pending:
            tensor = pending.pop()
            node = producer.get(tensor)
            if tensor in borders or node is None or node["index"] in taken:
                continue
            taken.add(node["index"])
            pending.extend(node["inputs"])
    given = {tensor for delegate in delegates for tensor in delegate["outputs"]}
    for node in operators:
        within = [tensor for tensor in node["inputs"] if tensor in producer and tensor not in given]
        if any(producer[tensor]["index"] in taken for tensor in within):
            taken.add(node["index"])
    computed = lambda node: next((names.get(int(tensor), "") for tensor in node["outputs"]), "")  # noqa: E731
    outside = tuple((node["op_name"], computed(node)) for node in operators if node["index"] not in taken)
    return Coverage(tuple(node["op_name"] for node in operators), "XNNPACK", outside, len(delegates))
