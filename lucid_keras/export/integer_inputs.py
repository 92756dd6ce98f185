"""Inputs of a `.tflite` file in int16 where an operator reads them in float32. Needs no TensorFlow."""

import copy

import numpy as np

from lucid_keras.export.flatbuffer import builtin_name, schema
from lucid_keras.export.flatbuffer_edits import packed, unpacked


def with_inputs_by_int16(content, before):
    """The file with a QUANTIZE and a DEQUANTIZE between each input and what reads it in float32.

    The tool that makes inputs of int16 does so by taking the QUANTIZE behind each away, and loses an input that has
    none. The file `before` has the ranges.
    """
    model, ranges = unpacked(content), _input_ranges(unpacked(before))
    float32, int16 = schema().TensorType.FLOAT32, schema().TensorType.INT16
    for graph in (model.subgraphs[one.subgraphIndex] for one in model.signatureDefs):
        for index in graph.inputs:
            readers = [one for one in graph.operators if index in one.inputs]
            quantizing = [one for one in readers if builtin_name(model, one) == "QUANTIZE"]
            others = [one for one in readers if one not in quantizing]
            if graph.tensors[index].type != float32 or not others:
                continue
            if quantizing:
                graph.operators.remove(quantizing[0])
            else:
                widest = max(map(abs, ranges[graph.tensors[index].name])) or 1.0
                by_int16 = _tensor_like(graph, index, int16, widest / np.iinfo(np.int16).max)
                quantizing = [_operator(model, "QUANTIZE", 2, index, by_int16)]
            again = _tensor_like(graph, index, float32)
            dequantizing = _operator(model, "DEQUANTIZE", 3, quantizing[0].outputs[0], again)
            graph.operators = [quantizing[0], dequantizing, *graph.operators]
            for one in others:
                one.inputs = [again if given == index else given for given in one.inputs]
    return packed(model)


def _input_ranges(model):
    """The lowest and the highest value of each input by its tensor's name."""
    graphs = [model.subgraphs[one.subgraphIndex] for one in model.signatureDefs]
    inputs = [graph.tensors[index] for graph in graphs for index in graph.inputs]
    ranged = [one for one in inputs if one.quantization is not None and one.quantization.min is not None]
    return {one.name: (one.quantization.min[0], one.quantization.max[0]) for one in ranged}


def _tensor_like(graph, index, kind, scale=None):
    """The number of a new tensor of a graph, of the shape of another."""
    tensor = copy.copy(graph.tensors[index])
    tensor.name = tensor.name + f"/{len(graph.tensors)}".encode()
    tensor.type, tensor.quantization = kind, None
    if scale is not None:
        tensor.quantization = schema().QuantizationParametersT()
        tensor.quantization.scale, tensor.quantization.zeroPoint = [scale], [0]
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _operator(model, name, version, given, output):
    """A new operator without options, of at least a version."""
    kind = getattr(schema().BuiltinOperator, name)
    known = [one for one in model.operatorCodes if max(one.builtinCode, one.deprecatedBuiltinCode) == kind]
    if not known:
        known = [schema().OperatorCodeT()]
        known[0].builtinCode = known[0].deprecatedBuiltinCode = kind
        model.operatorCodes.append(known[0])
    known[0].version = max(known[0].version, version)
    made = schema().OperatorT()
    made.opcodeIndex, made.inputs, made.outputs = model.operatorCodes.index(known[0]), [given], [output]
    return made
