"""Changes to the flatbuffer of a `.tflite` file that its converters leave undone. Needs no TensorFlow.

The LiteRT Quantizer comes after all of these: it puts the weights of a large file behind the flatbuffer, where nothing
may be moved any more.
"""

import copy

import numpy as np

from lucid_keras.export.flatbuffer import IDENTIFIER, builtin_name, schema


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


def with_constants(content, constants):
    """The bytes of the file with the one signature of another, whose graph gives constants and has no operators.

    The converter's calibrator refuses a signature without inputs, so such a one joins afterwards.
    """
    model, other = _read(content), _read(constants)
    (graph,), (signature,) = other.subgraphs, other.signatureDefs
    for tensor in graph.tensors:
        tensor.buffer += len(model.buffers)
    signature.subgraphIndex = len(model.subgraphs)
    model.buffers.extend(other.buffers)
    model.subgraphs.append(graph)
    model.signatureDefs.append(signature)
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


def with_64_bit_depthwise_biases(content):
    """The file with int64 biases in its depthwise convolutions, whose int16x8 kernel takes no other."""
    model = _read(content)
    for graph in model.subgraphs:
        for operator in graph.operators:
            if builtin_name(model, operator) != "DEPTHWISE_CONV_2D" or len(operator.inputs) < 3:
                continue
            bias = graph.tensors[operator.inputs[2]]
            if bias.type != schema().TensorType.INT32:
                continue
            values = np.frombuffer(bytes(model.buffers[bias.buffer].data), np.int32).astype(np.int64)
            model.buffers.append(schema().BufferT())
            model.buffers[-1].data = np.frombuffer(values.tobytes(), np.uint8)
            wide = copy.copy(bias)  # a tensor of its own: a dense convolution may share the narrow one
            wide.buffer, wide.type = len(model.buffers) - 1, schema().TensorType.INT64
            graph.tensors.append(wide)
            operator.inputs = [*operator.inputs[:2], len(graph.tensors) - 1]
    return _written(model)


def _read(content):
    return schema().ModelT.InitFromPackedBuf(content, 0)


def _written(model):
    import flatbuffers  # comes with LiteRT

    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())
