"""A guest: the first signature of a `.tflite` file under TensorFlow Lite for Microcontrollers' interpreter."""

import contextlib
import importlib.metadata
import os
import pathlib
import tempfile

import numpy as np
from channel import median, serve
from tflite_micro.python.tflite_micro import runtime
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

LARGEST = 2**26  # bytes of an arena: more than any microcontroller has
ALIGNMENT = 16
UNKNOWN = {schema.TensorType.FLOAT16: "float16", schema.TensorType.INT4: "int4"}


class Opened:
    """The file's first signature, in the smallest arena that holds it."""

    version = importlib.metadata.version("tflite-micro")
    device = None

    def __init__(self, path, options):
        content = pathlib.Path(path).read_bytes()
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
        check(model)
        signature = next(one for one in model.signatureDefs if one.subgraphIndex == 0)
        graph = model.subgraphs[0]
        self._name = signature.signatureKey.decode()
        self._inputs, self._outputs = names(signature.inputs, graph.inputs), names(signature.outputs, graph.outputs)
        self._arena = smallest_arena(content)
        self._interpreter = interpreter(content, self._arena)

    def run(self, signature, inputs):
        self._filled(signature, inputs).invoke()
        return {name: np.array(self._interpreter.get_output(index)) for index, name in enumerate(self._outputs)}

    def milliseconds(self, signature, seconds, inputs):
        return median(self._filled(signature, inputs).invoke, seconds)

    def found(self):
        return {"arena": self._arena}

    def _filled(self, signature, inputs):
        if signature != self._name:
            raise ValueError(f"a microcontroller runs a file's first signature, {self._name!r}, not {signature!r}")
        for index, name in enumerate(self._inputs):
            self._interpreter.set_input(np.ascontiguousarray(inputs[name]), index)
        return self._interpreter


def check(model):
    """Raise for what the interpreter does not take, computes wrongly without a word, or dies of."""
    if any(buffer.offset > 1 for buffer in model.buffers):
        raise ValueError("a microcontroller takes no weights behind the flatbuffer: the interpreter does not see them")
    kinds = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            check_tensor(tensor, tensor.name.decode())
        for operator in graph.operators:
            check_operator(kinds[operator.opcodeIndex], [graph.tensors[one] for one in operator.inputs if one >= 0])


def check_tensor(tensor, name):
    if tensor.shapeSignature is not None and -1 in tensor.shapeSignature:
        raise ValueError(f"a microcontroller takes no open length, as {name!r} has")
    if tensor.type in UNKNOWN:
        raise ValueError(f"a microcontroller takes no {UNKNOWN[tensor.type]}, as in {name!r}")


def check_operator(kind, inputs):
    if kind == schema.BuiltinOperator.VAR_HANDLE:
        raise ValueError("a microcontroller takes no states in variables: the interpreter dies of them")
    dtypes = [one.type for one in inputs[:2]]
    if dtypes == [schema.TensorType.FLOAT32, schema.TensorType.INT8]:
        raise ValueError(f"a microcontroller takes no int8 weights for float32, as in {inputs[1].name.decode()!r}")
    if kind == schema.BuiltinOperator.DEQUANTIZE and len(inputs[0].quantization.scale) > 1:
        raise ValueError(
            "a microcontroller dequantizes by one scale, and would take the first for all; "
            f"{inputs[0].name.decode()!r} has {len(inputs[0].quantization.scale)}"
        )


def names(ends, tensors):
    """The names of a signature's inputs or outputs, in the graph's order."""
    named = {one.tensorIndex: one.name.decode() for one in ends or ()}
    return [named[tensor] for tensor in tensors]


def interpreter(content, arena):
    return runtime.Interpreter.from_bytes(content, arena_size=arena)


def smallest_arena(content):
    """The bytes of the smallest arena that the file runs in; raises with what the interpreter says where none does."""
    with heard() as said:
        fits = _fits(content, LARGEST)
    if not fits:
        raise ValueError(" ".join(said[:2]) or "no reason given")
    least, enough = 0, LARGEST // ALIGNMENT
    with heard():
        while enough - least > 1:
            middle = (least + enough) // 2
            least, enough = (least, middle) if _fits(content, middle * ALIGNMENT) else (middle, enough)
    return enough * ALIGNMENT


def _fits(content, arena):
    try:
        interpreter(content, arena)
    except RuntimeError:
        return False
    return True


@contextlib.contextmanager
def heard():
    """A list, filled at the end with the lines that were written to standard error meanwhile."""
    lines, kept = [], os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield lines
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            lines += file.read().decode(errors="replace").splitlines()


serve(Opened)
