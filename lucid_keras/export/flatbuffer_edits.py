"""Changes to the flatbuffer of a `.tflite` file that its converters leave undone. Needs no TensorFlow.

The LiteRT Quantizer comes after all of these but the last: it puts the weights of a large file behind the flatbuffer,
each found by its distance from the file's beginning, which the last alone keeps right.
"""

import copy

import numpy as np

from lucid_keras.export.flatbuffer import IDENTIFIER, builtin_name, dtype_name, schema

ALIGNMENT = 16  # bytes, of what lies behind a flatbuffer
# Of operators whose results are float32, by the dtype of their weights: the least version that knows weights of one
# scale, and that for several. Source: GetBuiltinOperatorVersion in LiteRT's
# tflite/converter/tools/versioning/op_version.cc. In int8 throughout, a dense layer of several scales has no version of
# its own; TensorFlow Lite 2.14 computes it.
VERSIONS = {
    "int8": {
        "CONV_2D": (2, 5),
        "DEPTHWISE_CONV_2D": (4, 6),
        "DEQUANTIZE": (2, 5),
        "EMBEDDING_LOOKUP": (1, 4),
        "FULLY_CONNECTED": (3, 12),
        "TRANSPOSE_CONV": (2, 2),
    },
    "int4": {"DEQUANTIZE": (6, 6), "EMBEDDING_LOOKUP": (4, 4)},
}


def with_first(content, signature):
    """The bytes of the file with the graph of `signature` in the first place; nothing else changes.

    LiteRT hands only the first graph to its default delegate, and the converter orders signatures by name. The graphs
    of two signatures change places; no operator refers to them. The bodies of loops, to which some do, stay.
    """
    model = _read(content)
    (index,) = (own.subgraphIndex for own in model.signatureDefs if own.signatureKey.decode() == signature)
    model.subgraphs[0], model.subgraphs[index] = model.subgraphs[index], model.subgraphs[0]
    exchanged = {0: index, index: 0}
    for own in model.signatureDefs:
        own.subgraphIndex = exchanged.get(own.subgraphIndex, own.subgraphIndex)
    return _written(model)


def with_outputs_apart(content):
    """The bytes of the file with a tensor of its own for each output of a signature that is a constant.

    The converter makes one of equal constants, and of the names of one tensor LiteRT's CompiledModel and LiteRT.js
    know one alone: of the zeros that begin a stream most names were missing.
    """
    model = _read(content)
    for signature in model.signatureDefs:
        graph = model.subgraphs[signature.subgraphIndex]
        computed = {*graph.inputs, *(index for operator in graph.operators for index in operator.outputs)}
        taken: set[int] = set()
        for output in signature.outputs:
            if output.tensorIndex in taken - computed:
                own = copy.copy(graph.tensors[output.tensorIndex])
                own.name = signature.signatureKey + b"/" + output.name
                output.tensorIndex = len(graph.tensors)
                graph.tensors.append(own)
            taken.add(output.tensorIndex)
        graph.outputs = [output.tensorIndex for output in signature.outputs]
    return _written(model)


def without_unused_constants(content):
    """The bytes of a file whose graphs hold no numbers that no operator of theirs reads.

    The converter leaves a loop's weights in the graph around it too, unused, where the LiteRT Quantizer (0.10) sees
    the one of two tensors with the same numbers only, and writes a file that LiteRT refuses.
    """
    model = _read(content)
    for graph in model.subgraphs:
        used = {*graph.inputs, *graph.outputs}
        used.update(index for operator in graph.operators for index in (*operator.inputs, *operator.outputs))
        for index, tensor in enumerate(graph.tensors):
            if index not in used:
                tensor.buffer = 0  # the empty one
    return _written(model)


def with_ranges(content, chosen):
    """The bytes of a file in float32 with ranges of its activations, as the TFLite converter's quantizer reads them.

    `chosen` has a lowest and a highest value by the numbers of a graph and of a tensor in it.
    """
    model = _read(content)
    for (graph, tensor), (low, high) in chosen.items():
        quantization = schema().QuantizationParametersT()
        quantization.min, quantization.max = [low], [high]
        model.subgraphs[graph].tensors[tensor].quantization = quantization
    return _written(model)


def as_int16_kernels_take_it(content):
    """The file with zero points of 0 for its int16 tensors, and biases as LiteRT's int16x8 kernels take them.

    The converter's quantizer rounds the zero points of symmetric ranges to -1 or 0, and gives sigmoids all 16 bits
    between 0 and 1, whose zero point the kernels do not read: they get 15 bits, and so do biases after them. Of dense
    convolutions it does not say that the biases are int32, which takes a fiftieth of the time that int64 does
    (`accumulator` checks that it holds the sums); depthwise and transposed kernels take int64 alone.
    """
    model, types = _read(content), schema().TensorType
    for graph in model.subgraphs:
        halved = set()
        for index, tensor in enumerate(graph.tensors):
            if tensor.type == types.INT16 and _scales(tensor):
                if tensor.quantization.zeroPoint[0] < -1:
                    halved.add(index)
                    tensor.quantization.scale = 2 * np.asarray(tensor.quantization.scale, np.float32)
                tensor.quantization.zeroPoint = np.zeros(_scales(tensor), np.int64)
        for operator in graph.operators:
            name = builtin_name(model, operator)
            signal, place = (2, 3) if name == "TRANSPOSE_CONV" else (0, 2)
            bias = graph.tensors[operator.inputs[place]] if len(operator.inputs) > place else None
            if bias is None or bias.type != types.INT32 or graph.tensors[operator.inputs[signal]].type != types.INT16:
                continue
            half, wide = operator.inputs[signal] in halved, name in ("DEPTHWISE_CONV_2D", "TRANSPOSE_CONV")
            if half or wide:
                operator.inputs = [*operator.inputs[:place], _rewritten(model, graph, bias, half, wide)]
            if not wide and hasattr(operator.builtinOptions, "quantizedBiasType"):
                operator.builtinOptions.quantizedBiasType = types.INT32
    return _written(model)


def _rewritten(model, graph, bias, half, wide):
    """The index of a new tensor with the int32 numbers of a bias, which others may share: half of each, or in int64."""
    values = np.frombuffer(bytes(model.buffers[bias.buffer].data), np.int32)
    found = copy.copy(bias)
    if half:
        values = np.rint(values / 2).astype(np.int32)
        found.quantization = copy.copy(bias.quantization)
        found.quantization.scale = 2 * np.asarray(bias.quantization.scale, np.float32)
    if wide:
        values, found.type = values.astype(np.int64), schema().TensorType.INT64
    model.buffers.append(schema().BufferT())
    model.buffers[-1].data = np.frombuffer(values.tobytes(), np.uint8)
    found.buffer = len(model.buffers) - 1
    graph.tensors.append(found)
    return len(graph.tensors) - 1


def with_honest_versions(content):
    """The file with each operator's version at least the one from which on a runtime can compute it.

    A runtime refuses a version that it does not know. One that was written too low it computes as it always did: an
    old one takes weights of several scales for weights of one, without an error.
    """
    model = _read(content)
    written = [code.version for code in model.operatorCodes]
    for graph in model.subgraphs:
        for operator in graph.operators:
            code = model.operatorCodes[operator.opcodeIndex]
            code.version = max(code.version, _least_version(model, graph, operator))
    return content if written == [code.version for code in model.operatorCodes] else _written_before(model, content)


def _least_version(model, graph, operator):
    inputs = [graph.tensors[index] for index in operator.inputs if index >= 0]
    if not inputs or not len(operator.outputs):
        return 1
    weights = max(inputs, key=_scales)
    if dtype_name(graph.tensors[operator.outputs[0]]) != "float32":
        return 1
    of_one, of_several = VERSIONS.get(dtype_name(weights), {}).get(builtin_name(model, operator), (1, 1))
    return of_several if _scales(weights) > 1 else of_one


def _scales(tensor):
    quantization = tensor.quantization
    return 0 if quantization is None or quantization.scale is None else len(quantization.scale)


def _written_before(model, content):
    """The bytes of the model, and behind them what lies behind the flatbuffer of `content`, from which it was read."""
    behind = [buffer for buffer in model.buffers if buffer.offset > 1]
    if not behind:
        return _written(model)
    first = min(buffer.offset for buffer in behind)
    moved = -(-len(_written(model)) // ALIGNMENT) * ALIGNMENT - first
    for buffer in behind:
        buffer.offset += moved  # of a fixed size: the flatbuffer stays as long
    return _written(model).ljust(first + moved, b"\0") + content[first:]


def _read(content):
    return schema().ModelT.InitFromPackedBuf(content, 0)


def _written(model):
    import flatbuffers  # comes with LiteRT

    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())
