"""Shapes that a `.tflite` file would compute in each call are constants, as far as they are known. Needs no TensorFlow.

XNNPACK takes a RESHAPE to a constant shape, in which one extent may be open, and neither an EXPAND_DIMS of an open
length nor a shape that other operators compute.
"""

from lucid_keras.export.flatbuffer import builtin_name
from lucid_keras.export.flatbuffer_draft import Draft
from lucid_keras.export.flatbuffer_edits import forget_unread_operators, packed, unpacked

SHAPING = ("EXPAND_DIMS", "RESHAPE", "SQUEEZE")


def with_constant_shapes(content):
    """The bytes of the file with reshapes to constant shapes wherever no more than one extent of a result is open."""
    model, changed = unpacked(content), False
    for graph in model.subgraphs:
        computed = {int(index) for operator in graph.operators for index in operator.outputs} | {*graph.inputs}
        operators = []
        for operator in graph.operators:
            if (shape := _shape(model, graph, operator, computed)) is None:
                operators.append(operator)
                continue
            draft = Draft(graph, graph.tensors[operator.outputs[0]].name + b"/shape")
            draft.reshaped(operator.inputs[0], shape, operator.outputs[0])
            operators += draft.written(model, graph)
            changed = True
        graph.operators = operators
        forget_unread_operators(graph)
    return packed(model) if changed else content


def _shape(model, graph, operator, computed):
    """The shape that an operator gives, -1 for an open extent, where that is to be made a constant; else None."""
    name = builtin_name(model, operator)
    if name not in SHAPING or (name == "RESHAPE" and computed.isdisjoint(operator.inputs[1:])):
        return None
    given = graph.tensors[operator.outputs[0]]
    if given.shapeSignature is None:
        return None
    shape = list(map(int, given.shapeSignature))
    return shape if shape.count(-1) == 1 and 0 not in shape else None
