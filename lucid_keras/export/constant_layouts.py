"""Weights that a `.tflite` file would lay out anew in each call are laid out once. Needs no TensorFlow.

The converter computes what depends on constants alone, but nothing of a constant of 128 MiB or more: Oobleck's first
upsampler took eight times as long as its product, and no recipe of integers saw its weights.
"""

import copy

import numpy as np

from lucid_keras._extras import needed
from lucid_keras.export.flatbuffer import builtin_name, dtype_name
from lucid_keras.export.flatbuffer_edits import forget_unread, forget_unused, held, packed, unpacked

# They move numbers and compute none, but for the product with zeros and ones that parts a weight's groups.
LAYOUTS = {"CONCATENATION", "MUL", "PAD", "RESHAPE", "REVERSE_V2", "SLICE", "SPLIT", "SQUEEZE", "STRIDED_SLICE",
           "TRANSPOSE"}  # fmt: skip


def with_constants_laid_out(content):
    """The bytes of the file without the operators that lay out constants alone, their results in place of those."""
    model = unpacked(content)
    changed = [_lay_out(model, graph) for graph in model.subgraphs]
    if not any(changed):
        return content
    forget_unread(model)
    return packed(model)


def _lay_out(model, graph):
    """Whether a graph had such operators, which are gone now."""
    halves = _halves(model, graph)
    laid_out = _layouts(model, graph, halves)
    if not laid_out:
        return False
    rest = [operator for operator in graph.operators if operator not in laid_out]
    needs = halves.intersection(int(index) for operator in laid_out for index in operator.inputs)
    widened = [operator for operator in rest if needs.intersection(operator.outputs)]
    wanted = sorted(_read(graph, rest).intersection(int(index) for one in laid_out for index in one.outputs))
    for index, numbers in zip(wanted, _computed(model, graph, [*widened, *laid_out], wanted), strict=True):
        if _depends(laid_out, index) & halves and np.array_equal(numbers.astype(np.float16), numbers):
            rest.insert(0, _as_halves(model, graph, widened[0], index, numbers))
        else:
            _hold(model, graph.tensors[index], numbers)
    read = _read(graph, rest)
    graph.operators = [one for one in rest if one not in widened or read.intersection(one.outputs)]
    forget_unused(graph)
    return True


def _read(graph, operators):
    """The tensors that these operators or the ends of the graph read."""
    return {int(index) for one in operators for index in one.inputs}.union(int(index) for index in graph.outputs)


def _is_constant(model, tensor):
    data = model.buffers[tensor.buffer].data
    return data is not None and len(data) > 0


def _halves(model, graph):
    """The tensors that are float16 constants widened to float32, which LiteRT does once."""
    return {
        int(operator.outputs[0])
        for operator in graph.operators
        if builtin_name(model, operator) == "DEQUANTIZE"
        and dtype_name(graph.tensors[operator.inputs[0]]) == "float16"
        and _is_constant(model, graph.tensors[operator.inputs[0]])
    }


def _layouts(model, graph, halves):
    """The operators, in order, that lay out constants or what such operators give."""
    known = halves | {index for index, tensor in enumerate(graph.tensors) if _is_constant(model, tensor)}
    found = []
    for operator in graph.operators:
        if builtin_name(model, operator) in LAYOUTS and known.issuperset(i for i in operator.inputs if i >= 0):
            found.append(operator)
            known.update(int(index) for index in operator.outputs)
    return found


def _depends(operators, index):
    """The tensors that one of these operators' results is made of."""
    found = {index}
    for operator in reversed(operators):
        if found.intersection(operator.outputs):
            found.update(int(one) for one in operator.inputs)
    return found


def _computed(model, graph, operators, wanted):
    """The numbers of the wanted tensors, as LiteRT computes them in a file of these operators alone."""
    alone, only = copy.copy(model), copy.copy(graph)
    only.operators, only.inputs, only.outputs = operators, [], wanted
    alone.subgraphs, alone.signatureDefs = [only], []
    litert = needed("ai_edge_litert.interpreter", "writing a .tflite file needs LiteRT")
    loaded = litert.Interpreter(model_content=packed(alone))
    loaded.allocate_tensors()
    loaded.invoke()
    return [loaded.get_tensor(one["index"]) for one in loaded.get_output_details()]


def _hold(model, tensor, numbers):
    """Make a tensor a constant of these numbers."""
    tensor.buffer, tensor.shape, tensor.shapeSignature = held(model, numbers), list(numbers.shape), None


def _as_halves(model, graph, widened, index, numbers):
    """An operator that widens these numbers, kept in float16, to the tensor of that index."""
    half = copy.copy(graph.tensors[widened.inputs[0]])
    half.name = graph.tensors[index].name + b"/float16"
    _hold(model, half, numbers.astype(np.float16))
    graph.tensors.append(half)
    operator = copy.copy(widened)
    operator.inputs, operator.outputs = [len(graph.tensors) - 1], [index]
    return operator
