"""Operators that are to stand in a graph of a `.tflite` file in the place of another. Needs no TensorFlow."""

import copy
import math

import numpy as np

from lucid_keras.export.flatbuffer import schema
from lucid_keras.export.flatbuffer_edits import held


class Draft:
    """Float32 tensors and operators behind those of a graph, numbered as they will be there.

    Attributes:
        operators: name, inputs, outputs and options of each, in order.
        moved: how many numbers the operators give that multiply nothing.
    """

    def __init__(self, graph, name):
        self.operators = []
        self.moved = 0
        self._name, self._first = name, len(graph.tensors)
        self._tensors, self._shapes = [], {}

    def shape(self, tensor):
        """The shape of a tensor of this draft."""
        return self._shapes[tensor]

    def tensor(self, shape, hold=lambda model: 0, kind="FLOAT32"):
        """A new tensor; of a constant `hold` gives the buffer, once it is written to the model."""
        index = self._first + len(self._tensors)
        self._tensors.append((shape, hold, kind))
        self._shapes[index] = shape
        return index

    def given(self, name, inputs, shape, output=None, **options):
        """The tensor, `output` or a new one, that an operator gives."""
        output = self.tensor(shape) if output is None else output
        self.operators.append((name, inputs, output, options))
        self.moved += 0 if name == "CONV_2D" else math.prod(shape)
        return output

    def reshaped(self, x, shape, output=None):
        """The tensor `x` in another shape."""
        return self.given("RESHAPE", (x, self._integers(shape)), shape, output, newShape=list(shape))

    def sliced(self, x, begin, shape, output=None):
        """A part of `x` of that shape."""
        return self.given("SLICE", (x, self._integers(begin), self._integers(shape)), shape, output)

    def padded(self, x, axes, shape):
        """`x` with zeros before and after each axis: pairs."""
        return self.given("PAD", (x, self._integers(axes)), shape)

    def written(self, model, graph):
        """Add the tensors to the graph that this was drafted for; the operators, as the schema has them."""
        for number, (shape, hold, kind) in enumerate(self._tensors):
            tensor = schema().TensorT()
            tensor.name, tensor.shape = self._name + b"/%d" % number, list(shape)
            tensor.type, tensor.buffer = getattr(schema().TensorType, kind), hold(model)
            graph.tensors.append(tensor)
        return [_operator(model, *one) for one in self.operators]

    def _integers(self, numbers):
        array = np.array(numbers, np.int32)
        return self.tensor(array.shape, lambda model: held(model, array), "INT32")


def _operator(model, name, inputs, output, options):
    operator, kind = schema().OperatorT(), "Conv2D" if name == "CONV_2D" else name.capitalize()
    operator.opcodeIndex = _code(model, getattr(schema().BuiltinOperator, name))
    operator.inputs, operator.outputs = list(inputs), [output]
    operator.builtinOptionsType = getattr(schema().BuiltinOptions, f"{kind}Options")
    operator.builtinOptions = getattr(schema(), f"{kind}OptionsT")()
    for option, value in options.items():
        setattr(operator.builtinOptions, option, value)
    return operator


def _code(model, builtin):
    """The index of an operator's code in the file."""
    for index, code in enumerate(model.operatorCodes):
        if builtin == max(code.builtinCode, code.deprecatedBuiltinCode):
            return index
    code = copy.copy(model.operatorCodes[0])
    code.builtinCode, code.deprecatedBuiltinCode, code.version, code.customCode = builtin, min(builtin, 127), 1, None
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1
