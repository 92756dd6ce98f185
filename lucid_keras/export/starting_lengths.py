"""The lengths at which a `.tflite` file of an open length begins, before its user asks for another."""

from lucid_keras.export.flatbuffer_edits import packed, unpacked
from lucid_keras.runtimes import LiteRT

STARTS = [2**power for power in range(13)]  # 1 is the converter's


def with_starting_lengths(content):
    """The bytes of the file with its open extents at the least of `STARTS` at which LiteRT can load it.

    LiteRT lays a file out when it loads it, and XNNPACK refuses one of a convolution that reads more positions than
    there are. Where none will do, whoever opens the file hears LiteRT's reason.
    """
    if not _opened(unpacked(content)):
        return content
    for start in STARTS:
        begun = content if start == 1 else _beginning_at(content, start)
        try:
            LiteRT(begun).signatures  # noqa: B018  # each is laid out
        except (RuntimeError, ValueError):
            continue
        return begun
    return content


def _opened(model):
    """The input tensors of open extents."""
    inputs = (graph.tensors[index] for graph in model.subgraphs for index in graph.inputs)
    return [one for one in inputs if one.shapeSignature is not None and -1 in one.shapeSignature]


def _beginning_at(content, start):
    model = unpacked(content)
    for tensor in _opened(model):
        tensor.shape = [start if extent < 0 else extent for extent in tensor.shapeSignature]
    return packed(model)
