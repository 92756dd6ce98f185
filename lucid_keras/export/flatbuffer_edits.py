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

MOST = 2.0**30  # of a bias in 32 bits: as much is left for the sums


def with_first(content, signature):
    """The bytes of the file with the graph of `signature` in the first place; nothing else changes.

    LiteRT hands only the first graph to its default delegate, and the converter orders signatures by name. The graphs
    of two signatures change places; no operator refers to them. The bodies of loops, to which some do, stay.
    """
    model = unpacked(content)
    (index,) = (own.subgraphIndex for own in model.signatureDefs if own.signatureKey.decode() == signature)
    model.subgraphs[0], model.subgraphs[index] = model.subgraphs[index], model.subgraphs[0]
    exchanged = {0: index, index: 0}
    for own in model.signatureDefs:
        own.subgraphIndex = exchanged.get(own.subgraphIndex, own.subgraphIndex)
    return packed(model)


def with_outputs_apart(content):
    """The bytes of the file with a tensor of its own for each output of a signature that is a constant.

    The converter makes one of equal constants, and of the names of one tensor LiteRT's CompiledModel and LiteRT.js
    know one alone: of the zeros that begin a stream most names were missing.
    """
    model = unpacked(content)
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
    return packed(model)


def without_unused_constants(content):
    """The bytes of a file whose graphs hold no numbers that no operator of theirs reads.

    The converter leaves a loop's weights in the graph around it too, unused, where the LiteRT Quantizer (0.10) sees
    the one of two tensors with the same numbers only, and writes a file that LiteRT refuses.
    """
    model = unpacked(content)
    for graph in model.subgraphs:
        forget_unused(graph)
    return packed(model)


def forget_unused(graph):
    """Take their numbers from the tensors that no operator and no end of a graph has."""
    used = {*graph.inputs, *graph.outputs}
    used.update(index for operator in graph.operators for index in (*operator.inputs, *operator.outputs))
    for index, tensor in enumerate(graph.tensors):
        if index not in used:
            tensor.buffer = 0  # the empty one


def forget_unread_operators(graph):
    """Take the operators from a graph whose results nothing reads; those without results stay."""
    wanted = {int(index) for index in graph.outputs}
    kept = []
    for operator in reversed(graph.operators):
        if not len(operator.outputs) or wanted.intersection(operator.outputs):
            wanted.update(int(index) for index in operator.inputs)
            kept.append(operator)
    graph.operators = kept[::-1]
    forget_unused(graph)


def forget_unread(model):
    """Take their numbers from the buffers that no tensor and no metadata has."""
    read = {tensor.buffer for graph in model.subgraphs for tensor in graph.tensors}
    read.update(one.buffer for one in model.metadata or ())
    for index, buffer in enumerate(model.buffers):
        if index not in read:
            buffer.data = None


def with_ranges(content, chosen):
    """The bytes of a file in float32 with ranges of its activations, as the TFLite converter's quantizer reads them.

    `chosen` has a lowest and a highest value by the numbers of a graph and of a tensor in it.
    """
    model = unpacked(content)
    for (graph, tensor), (low, high) in chosen.items():
        quantization = schema().QuantizationParametersT()
        quantization.min, quantization.max = [low], [high]
        model.subgraphs[graph].tensors[tensor].quantization = quantization
    return packed(model)


def without_ranges(content, names):
    """The bytes of the file without the ranges of the tensors of these names."""
    model = unpacked(content)
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            if tensor.name.decode() in names:
                tensor.quantization = None
    return packed(model)


def as_int16_kernels_take_it(content, before):
    """The file with zero points of 0 for its int16 tensors, and biases as LiteRT's int16x8 kernels take them.

    The converter's quantizer rounds the zero points of symmetric ranges to -1 or 0, and gives sigmoids all 16 bits
    between 0 and 1, whose zero point the kernels do not read: they get 15 bits, and so do biases after them. Of dense
    convolutions it does not say that the biases are int32, which takes a fiftieth of the time that int64 does
    (`accumulator` checks that it holds the sums); depthwise and transposed kernels take int64 alone. Beside weights
    that are nearly nothing, those of a phase without taps, it cuts biases off at 32 bits: they are taken from the file
    `before` it.
    """
    model, types, biases = unpacked(content), schema().TensorType, _constants(unpacked(before))
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
            wide = name in ("DEPTHWISE_CONV_2D", "TRANSPOSE_CONV")
            if operator.inputs[signal] in halved:
                _halve_bias(model, graph, operator, place)
            _fit_biases(model, graph, operator, (signal, place), biases.get(bias.name))
            if wide:
                _widen_bias(model, graph, operator, place)
            if not wide and hasattr(operator.builtinOptions, "quantizedBiasType"):
                operator.builtinOptions.quantizedBiasType = types.INT32
    return packed(model)


def _constants(model):
    """The float32 constants of a file by their names."""
    return {
        tensor.name: np.frombuffer(bytes(model.buffers[tensor.buffer].data), np.float32)
        for graph in model.subgraphs
        for tensor in graph.tensors
        if tensor.type == schema().TensorType.FLOAT32 and model.buffers[tensor.buffer].data is not None
    }


def _halve_bias(model, graph, operator, place):
    bias = graph.tensors[operator.inputs[place]]
    halves = np.rint(numbers(model, bias, np.int32) / 2).astype(np.int32)
    _replace(model, graph, operator, place, halves, 2 * np.asarray(bias.quantization.scale))


def _fit_biases(model, graph, operator, places, true):
    """Give an operator coarser weights in the channels whose biases, in float32 `true`, would not fit 32 bits."""
    x, weights, bias = (graph.tensors[operator.inputs[place]] for place in (places[0], 1, places[1]))
    scales = np.asarray(bias.quantization.scale, np.float64)
    if true is None or len(true) != len(scales) or not np.any(cut := np.abs(true / scales) > MOST):
        return
    unit, finer = float(x.quantization.scale[0]), np.asarray(weights.quantization.scale, np.float64)
    coarser = np.where(cut, np.abs(true) / MOST / unit, finer)
    shape = [1] * len(weights.shape)
    shape[weights.quantization.quantizedDimension] = -1
    kernel = numbers(model, weights, np.int8).reshape(weights.shape) * (finer / coarser).reshape(shape)
    _replace(model, graph, operator, 1, np.rint(kernel).astype(np.int8), coarser)
    _replace(model, graph, operator, places[1], np.rint(true / coarser / unit).astype(np.int32), coarser * unit)


def _widen_bias(model, graph, operator, place):
    bias = graph.tensors[operator.inputs[place]]
    wide = numbers(model, bias, np.int32).astype(np.int64)
    _replace(model, graph, operator, place, wide, bias.quantization.scale, schema().TensorType.INT64)


def numbers(model, tensor, dtype):
    """Those of a constant, in a row."""
    return np.frombuffer(bytes(model.buffers[tensor.buffer].data), dtype)


def _replace(model, graph, operator, place, numbers, scales, kind=None):
    """Put other numbers and scales in the place of an operator's constant, which another operator may share."""
    found = copy.copy(graph.tensors[operator.inputs[place]])
    found.quantization = copy.copy(found.quantization)
    found.quantization.scale = np.asarray(scales, np.float32)
    found.buffer, found.type = held(model, numbers), found.type if kind is None else kind
    graph.tensors.append(found)
    operator.inputs = [*operator.inputs]
    operator.inputs[place] = len(graph.tensors) - 1


def held(model, numbers):
    """The index of a new buffer of a file that holds these numbers."""
    model.buffers.append(schema().BufferT())
    model.buffers[-1].data = np.frombuffer(numbers.tobytes(), np.uint8)
    return len(model.buffers) - 1


def with_honest_versions(content):
    """The file with each operator's version at least the one from which on a runtime can compute it.

    A runtime refuses a version that it does not know. One that was written too low it computes as it always did: an
    old one takes weights of several scales for weights of one, without an error.
    """
    model = unpacked(content)
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
        return packed(model)
    first = min(buffer.offset for buffer in behind)
    moved = -(-len(packed(model)) // ALIGNMENT) * ALIGNMENT - first
    for buffer in behind:
        buffer.offset += moved  # of a fixed size: the flatbuffer stays as long
    return packed(model).ljust(first + moved, b"\0") + content[first:]


def unpacked(content):
    """The schema's model of the bytes of a file."""
    return schema().ModelT.InitFromPackedBuf(content, 0)


def packed(model):
    """The bytes of the schema's model."""
    import flatbuffers  # comes with LiteRT

    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())
