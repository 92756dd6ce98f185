"""The graphs of a `.tflite` file's signatures: which comes first, and one file's signature in another."""

IDENTIFIER = b"TFL3"


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
    return _written(model, len(content))


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
    return _written(model, len(content) + len(constants))


def _read(content):
    return _schema().ModelT.InitFromPackedBuf(content, 0)


def _written(model, size):
    import flatbuffers  # comes with LiteRT

    builder = flatbuffers.Builder(size)
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def _schema():
    try:
        from ai_edge_litert import schema_py_generated
    except ImportError:
        raise ImportError("writing a streaming file needs LiteRT: pip install 'lucid_keras[export]'") from None
    return schema_py_generated
