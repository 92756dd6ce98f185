"""Which signature of a `.tflite` file comes first: LiteRT hands only the first graph to its default delegate."""


def with_first(content, signature):
    """The bytes of the file with the graph of `signature` in the first place; nothing else changes.

    The converter orders signatures by name. The graphs of two signatures change places, and no operator refers to
    them; the bodies of loops, to which some do, stay where they are.
    """
    try:
        import flatbuffers
        from ai_edge_litert import schema_py_generated as schema
    except ImportError:
        raise ImportError("ordering signatures needs LiteRT: pip install 'lucid_keras[export]'") from None
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    (index,) = (own.subgraphIndex for own in model.signatureDefs if own.signatureKey.decode() == signature)
    model.subgraphs[0], model.subgraphs[index] = model.subgraphs[index], model.subgraphs[0]
    exchanged = {0: index, index: 0}
    for own in model.signatureDefs:
        own.subgraphIndex = exchanged.get(own.subgraphIndex, own.subgraphIndex)
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
