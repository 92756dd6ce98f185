"""Convolutions of a `.tflite` file in float32 with fewer multiplications: fast FIR. Needs no TensorFlow.

Two outputs of a filter of two taps, a and b, take three products and not four:

    y[2r]   = a x[2r]   + b x[2r+1] = (a+b) x[2r+1] + a (x[2r]   - x[2r+1])
    y[2r+1] = a x[2r+1] + b x[2r+2] = (a+b) x[2r+1] + b (x[2r+2] - x[2r+1])

where a and b may be filters themselves, of the even and of the odd taps, and the terms of x signals; so four outputs of
four taps take nine products and not sixteen. What is saved are matrix products; what it costs are additions, copies,
and sums of taps in the file. Exact but for rounding. (Winograd, "Arithmetic Complexity of Computations", 1980; Parker
and Parhi, "Low-Area/Power Parallel FIR Digital Filter Implementations", 1997.)
"""

import dataclasses
import functools
import itertools
import math

import numpy as np

from lucid_keras.export.flatbuffer import schema
from lucid_keras.export.flatbuffer_draft import Draft
from lucid_keras.export.flatbuffer_edits import forget_unread, forget_unread_operators, held, packed, unpacked
from lucid_keras.export.stride_1_convolutions import stride_1_convolution

PHASES = (2, 4)  # of the outputs that share products
# What else a call costs, in multiplications, measured (NOTES, section 22).
MOVED = 10.0  # a number that an addition or a copy gives
WEIGHT = 8.0  # a number of a kernel, which each call reads
OPERATOR = 2e5  # an operator, whatever it does
GAIN = 1.05  # less is not worth a larger file
LARGEST = 2**29  # bytes of a file: no larger one is made larger still


@dataclasses.dataclass(frozen=True)
class FewerProducts:
    """A convolution, by the tensor that it gives or its layer, and its multiplications before and after."""

    name: str
    before: int
    after: int


def saved_products(fewer):
    """What was saved, for a sentence."""
    before, after = (sum(getattr(one, when) for one in fewer) for when in ("before", "after"))
    names = len({one.name for one in fewer})
    return f"{1 - after / before:.0%} of {before:,} multiplications saved in {names} layer{'s' if names > 1 else ''}"


def with_fewer_products(content):
    """The bytes of the file with the convolutions for which it pays in this form, and a `FewerProducts` for each."""
    model = unpacked(content)
    chosen = _chosen(model, LARGEST - len(content))
    if not chosen:
        return content, ()
    kernels: dict[tuple, int] = {}
    saved = []
    for graph in model.subgraphs:
        operators = []
        for operator in graph.operators:
            if (found := chosen.get(id(operator))) is None:
                operators.append(operator)
                continue
            form = _cheapest(graph, found, kernels)
            operators += form.draft.written(model, graph)
            saved.append(FewerProducts(found.name.decode(), found.products, form.products))
        graph.operators = operators
        forget_unread_operators(graph)
    forget_unread(model)
    return packed(model), tuple(saved)


def _chosen(model, room):
    """By the `id` of its operator each convolution that pays; while there is room, what saves the most a byte."""
    paying = []
    for graph in model.subgraphs:
        producers = {int(index): operator for operator in graph.operators for index in operator.outputs}
        for operator in graph.operators:
            found = stride_1_convolution(model, graph, operator, producers)
            if found is not None and (form := _cheapest(graph, found, {})) is not None:
                paying.append(((found.products - form.products) / form.weights, 4 * form.weights, operator, found))
    chosen = {}
    for _, size, operator, found in sorted(paying, key=lambda one: -one[0]):
        if size <= room:
            room -= size
            chosen[id(operator)] = found
    return chosen


def _cheapest(graph, convolution, kernels):
    """The form of a convolution that costs the least; None where that is the convolution as it is."""
    forms = [_Form(graph, convolution, kernels, phases) for phases in PHASES if phases < 2 * convolution.taps]
    as_it_is = _cost(convolution.products, 0, convolution.weights, 1)
    return min((one for one in forms if GAIN * one.cost < as_it_is), key=lambda one: one.cost, default=None)


def _cost(products, moved, weights, operators):
    """Of a call, in multiplications."""
    return products + MOVED * moved + WEIGHT * weights + OPERATOR * operators


class _Form:
    """A convolution by phases of its output, drafted: `draft`, and the multiplications of a call, `products`.

    A phase has every so many'th row of `dilation` positions, `[N, rows, dilation, C]`. `kernels` has the buffers of
    sums of taps that are written.
    """

    def __init__(self, graph, convolution, kernels, phases):
        self._convolution, self._kernels, self._phases = convolution, kernels, phases
        self.draft = Draft(graph, convolution.name + b"/fewer_products")
        self.products = self.weights = 0
        self._taps = -(-convolution.taps // phases)  # of the longest kernel of one phase
        self._rows = -(-convolution.count // (phases * convolution.dilation))
        signals = [functools.cache(functools.partial(self._phase, index)) for index in range(2 * phases - 1)]
        kernel = [(tap,) for tap in convolution.order]
        self._interleave(self._outputs(signals, kernel, convolution.bias, convolution.activation))

    @property
    def cost(self):
        """Of a call."""
        return _cost(self.products, self.draft.moved, self.weights, len(self.draft.operators))

    @functools.cached_property
    def _padded(self):
        """The input between zeros, a row more than a phase reads: `[N, rows, phases * dilation, C]`."""
        one, rows = self._convolution, self._rows + self._taps
        length = rows * self._phases * one.dilation
        axes = [(0, 0), (0, 0), (one.left, length - one.left - one.length), (0, 0)]
        padded = self.draft.padded(one.signal, axes, (one.batch, 1, length, one.channels))
        return self.draft.reshaped(padded, (one.batch, rows, self._phases * one.dilation, one.channels))

    def _phase(self, index):
        """The phase of the input that begins at its row `index`."""
        one = self._convolution
        begin = (0, index // self._phases, index % self._phases * one.dilation, 0)
        return self.draft.sliced(
            self._padded, begin, (one.batch, self._rows + self._taps - 1, one.dilation, one.channels)
        )

    def _outputs(self, signals, kernel, bias, activation=0):
        """The phases of the output: of functions that give the input's, and a kernel, the taps in each of its sums."""
        if len(signals) == 1:
            return [self._convolved(signals[0](), tuple(kernel), bias)]
        even, odd, following = signals[:-2:2], signals[1::2], signals[2::2]
        a, b = kernel[::2], kernel[1::2]
        if not b:
            return _alternating(self._outputs(even, a, bias), self._outputs(odd, a, bias))
        both = [tap + other for tap, other in itertools.zip_longest(a, b, fillvalue=())]
        shared = self._outputs(odd, both, bias)
        first = self._outputs(self._differences(even, odd), a, None)
        second = self._outputs(self._differences(following, odd), b, None)
        return _alternating(self._sums(shared, first, activation), self._sums(shared, second, activation))

    def _differences(self, signals, others):
        return [
            functools.cache(lambda x=x, y=y: self._elementwise("SUB", x(), y()))
            for x, y in zip(signals, others, strict=True)
        ]

    def _sums(self, outputs, others, activation):
        return [self._elementwise("ADD", x, y, activation) for x, y in zip(outputs, others, strict=True)]

    def _elementwise(self, name, x, y, activation=0):
        return self.draft.given(name, (x, y), self.draft.shape(x), fusedActivationFunction=activation)

    def _convolved(self, signal, kernel, bias):
        """A phase under a kernel."""
        one, taps = self._convolution, len(kernel)
        batch, _, width, channels = self.draft.shape(signal)
        if taps < self._taps:
            signal = self.draft.sliced(signal, (0, 0, 0, 0), (batch, self._rows + taps - 1, width, channels))
        shape, weights = (batch, self._rows, width, one.out_channels), (one.out_channels, taps, 1, channels)
        self.products += math.prod(shape) * taps * channels
        self.weights += math.prod(weights)
        held_in = functools.partial(_sums_of_taps, one, kernel, self._kernels)
        bias = self.draft.tensor(shape[3:], functools.partial(_zeros, shape[3])) if bias is None else bias
        valid = {"padding": schema().Padding.VALID, "strideW": 1, "strideH": 1}
        return self.draft.given("CONV_2D", (signal, self.draft.tensor(weights, held_in), bias), shape, **valid)

    def _interleave(self, outputs):
        """Each phase of the output at its place, without the positions that only fill the last row."""
        one, draft = self._convolution, self.draft
        filled = self._rows * self._phases * one.dilation
        blocks = draft.given(
            "CONCATENATION", outputs, (one.batch, self._rows, self._phases * one.dilation, one.out_channels), axis=2
        )
        shape = (one.batch, 1, one.count, one.out_channels)
        if filled == one.count:
            draft.reshaped(blocks, shape, one.output)
        else:
            positions = draft.reshaped(blocks, (one.batch, 1, filled, one.out_channels))
            draft.sliced(positions, (0, 0, 0, 0), shape, one.output)


def _alternating(evens, odds):
    return [one for pair in zip(evens, odds, strict=True) for one in pair]


def _sums_of_taps(convolution, kernel, kernels, model):
    """The buffer of a kernel of these sums of a convolution's taps."""
    key = convolution.kernel, kernel
    if key not in kernels:
        taps = np.frombuffer(model.buffers[convolution.kernel].data.tobytes(), np.float32)
        taps = taps.reshape(convolution.out_channels, convolution.taps, convolution.channels)
        sums = [taps[:, tap].sum(axis=1, dtype=np.float64) for tap in map(list, kernel)]
        kernels[key] = held(model, np.stack(sums, axis=1).astype(np.float32))
    return kernels[key]


def _zeros(count, model):
    return held(model, np.zeros(count, np.float32))
