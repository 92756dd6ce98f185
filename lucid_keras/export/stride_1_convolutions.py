"""The operators of a `.tflite` graph that are convolutions along one axis, of stride 1. Needs no TensorFlow."""

import dataclasses

import numpy as np

from lucid_keras.export.flatbuffer import builtin_name, dtype_name, schema
from lucid_keras.export.flatbuffer_edits import numbers


@dataclasses.dataclass(frozen=True)
class Convolution:
    """A stride-1 convolution along one axis: the tensors that it reads and gives, and what it computes.

    `kernel` is the number of its buffer, `batch`, `length` and `channels` are the input's, `left` and `right` the zeros
    about it, and `order` are the kernel's taps from the one that meets the first position on.
    """

    name: bytes
    signal: int
    kernel: int
    bias: int
    output: int
    batch: int
    length: int
    channels: int
    left: int
    right: int
    order: list[int]
    dilation: int
    out_channels: int
    activation: int

    @property
    def taps(self):
        """How many."""
        return len(self.order)

    @property
    def count(self):
        """Positions of the output."""
        return self.length + self.left + self.right - (self.taps - 1) * self.dilation

    @property
    def products(self):
        """Multiplications of a call."""
        return self.batch * self.count * self.weights

    @property
    def weights(self):
        """Numbers of the kernel."""
        return self.taps * self.channels * self.out_channels


def stride_1_convolution(model, graph, operator, producers):
    """The `Convolution` that an operator is; None where it is none, or of another kind."""
    name = builtin_name(model, operator)
    if name not in ("CONV_2D", "FULLY_CONNECTED") or len(operator.inputs) != 3:
        return None
    tensors = [graph.tensors[index] for index in (*operator.inputs, *operator.outputs)]
    known = all(one.shapeSignature is None or min(one.shapeSignature) > 0 for one in tensors)
    floats = all(dtype_name(one) == "float32" for one in tensors)
    if not (known and floats and model.buffers[tensors[1].buffer].data is not None):
        return None
    found = _of_taps(graph, operator) if name == "CONV_2D" else _of_shifts(model, graph, operator, producers)
    if found is None:
        return None
    signal, order, dilation, same = found
    x, kernel, y = graph.tensors[signal], tensors[1], tensors[3]
    batch, _, length, channels = map(int, x.shape)
    zeros = (len(order) - 1) * dilation if same else 0
    return Convolution(
        y.name, signal, kernel.buffer, operator.inputs[2], operator.outputs[0], batch, length, channels, zeros // 2,
        zeros - zeros // 2, order, dilation, int(kernel.shape[0]), operator.builtinOptions.fusedActivationFunction,
    )  # fmt: skip


def _of_taps(graph, operator):
    """What a CONV_2D reads, the order of its taps, its dilation, and whether zeros keep the length; None unless it is
    one along one axis, of stride 1 and without groups."""
    x, kernel, options = graph.tensors[operator.inputs[0]], graph.tensors[operator.inputs[1]], operator.builtinOptions
    one_axis = int(x.shape[1]) == int(kernel.shape[1]) == options.strideW == 1 < kernel.shape[2]
    if not one_axis or x.shape[3] != kernel.shape[3]:
        return None
    taps = list(range(kernel.shape[2]))
    return operator.inputs[0], taps, options.dilationWFactor, options.padding == schema().Padding.SAME


def _of_shifts(model, graph, operator, producers):
    """`_of_taps` of a FULLY_CONNECTED of a signal beside itself shifted, as the polyphase lowering has wide ones."""
    joined = producers.get(operator.inputs[0])
    slices = [producers.get(index) for index in joined.inputs] if _is(model, joined, "CONCATENATION") else []
    if len(slices) < 2 or not all(_is(model, one, "SLICE") for one in slices):
        return None
    if len({one.inputs[0] for one in slices}) > 1 or joined.builtinOptions.fusedActivationFunction:
        return None
    signal = slices[0].inputs[0]
    x, kernel, y = (graph.tensors[index] for index in (signal, operator.inputs[1], operator.outputs[0]))
    if len(x.shape) != 4 or kernel.shape[1] != len(slices) * x.shape[3]:
        return None
    begins = [_int32(model, graph.tensors[one.inputs[1]]) for one in slices]
    order = sorted(range(len(slices)), key=lambda tap: begins[tap][2:3])
    dilation = begins[order[1]][2] if begins[order[1]] else 0
    apart = [[0, 0, place * dilation, 0] for place in range(len(slices))]
    whole = [x.shape[0], 1, x.shape[2] - apart[-1][2]] == list(y.shape[:3]) and x.shape[1] == 1
    if not (dilation and whole and [begins[tap] for tap in order] == apart):
        return None
    return signal, order, dilation, False


def _is(model, operator, name):
    return operator is not None and builtin_name(model, operator) == name


def _int32(model, tensor):
    """The numbers of a constant; none of what is computed or of another dtype."""
    constant = model.buffers[tensor.buffer].data is not None and dtype_name(tensor) == "int32"
    return numbers(model, tensor, np.int32).tolist() if constant else []
