"""Random geometries cut into random chunks, and the ways to run them: what the streaming suites share."""

import dataclasses

import numpy as np
import reference
from arrays import in_layout
from cases import Case
from hypothesis import strategies as st

import lucid_keras as lk

DATA_FORMATS = ("channels_first", "channels_last")


@dataclasses.dataclass(frozen=True)
class Stream:
    """A configuration, the samples trimmed from its end, and the lengths of the chunks of its input."""

    case: Case
    chunks: tuple[int, ...]
    trim: int = 0
    data_format: str = "channels_first"


@st.composite
def streams(draw, longest_chunk=5, most_chunks=5, fewest=0, groups=(1, 1, 2, 3), data_formats=DATA_FORMATS):
    """Any legal geometry of small extents, cut any way that leaves an output."""
    groups = draw(st.sampled_from(groups))
    stride, dilation = draw(st.integers(1, 6)), draw(st.sampled_from([1, 1, 2, 3, 4]))
    kernel_size = draw(st.integers(1, 9))
    case = Case(
        in_channels=groups * draw(st.integers(1, 2)),
        out_channels=groups * draw(st.integers(1, 3)),
        kernel_size=kernel_size,
        stride=stride,
        padding=draw(st.integers(0, 7)),
        output_padding=draw(st.integers(0, max(stride, dilation) - 1)),
        groups=groups,
        dilation=dilation,
        bias=draw(st.booleans()),
        batch=draw(st.integers(1, 2)),
    )
    trim = draw(st.sampled_from([0, 0, 1, max(kernel_size - stride, 0), 9]))
    chunks = draw(st.lists(st.integers(fewest, longest_chunk), min_size=1, max_size=most_chunks))
    length_offset = dilation * (kernel_size - 1) + 1 - stride - 2 * case.padding + case.output_padding - trim
    missing = max(-length_offset - sum(chunks) * stride, 0)
    chunks += [longest_chunk] * -(-missing // (stride * longest_chunk))
    if not sum(chunks):
        chunks.append(max(fewest, 1))
    return Stream(case, tuple(chunks), trim, draw(st.sampled_from(data_formats)))


def integers(seed, *shape):
    """Small integers as float32, whose sums of products are exact in any order."""
    return np.random.default_rng(seed).integers(-4, 5, shape).astype("float32")


def integer_layer(stream, seed=0):
    """The case's layer with integer weights, and an integer input for its chunks in the stream's data format."""
    case = stream.case
    layer = lk.ConvTranspose1d(**case.layer_arguments, data_format=stream.data_format)
    layer.weight.assign(integers(seed, *case.weight_shape))
    if case.bias:
        layer.bias.assign(integers(seed + 1, case.out_channels))
    x = integers(seed + 2, case.batch, case.in_channels, sum(stream.chunks))
    return layer, in_layout(x, stream.data_format)


def whole_output(stream, layer, x):
    """The reference's output of the whole signal, in the stream's data format."""
    case = stream.case
    bias = layer.bias.numpy() if case.bias else None
    y = reference.conv_transpose1d(in_layout(x, stream.data_format), layer.weight.numpy(), bias, **case.parameters)
    return in_layout(y[:, :, : y.shape[2] - stream.trim], stream.data_format)


def cut(x, stream):
    """The chunks of a signal."""
    axis = 2 if stream.data_format == "channels_first" else 1
    return np.split(x, np.cumsum(stream.chunks)[:-1], axis=axis)


def joined(pieces, stream):
    """The pieces of an output, one after the other."""
    return np.concatenate(
        [np.asarray(piece) for piece in pieces], axis=2 if stream.data_format == "channels_first" else 1
    )
