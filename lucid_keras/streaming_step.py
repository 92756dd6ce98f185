"""The pure streaming step beneath `StreamingConvTranspose1d`: a chunk and a state to samples and the next state.

Each chunk goes through the whole-signal operation without its crops; what its last taps wrote ahead is added to the
next chunk's output. Sums of integers are the same in any order, so chunked and whole output agree to the bit.
"""

import dataclasses

import tensorflow as tf

from lucid_keras import ops
from lucid_keras._lowering.edges import crop, pad_or_crop
from lucid_keras._lowering.target import current_target
from lucid_keras._stream_plan import StreamPlan


@dataclasses.dataclass(eq=False)
class StreamState:
    """What a stream has to remember between chunks; made by `initial_state`, passed from step to step.

    A `tf.function` takes and returns it: its one tensor is `overlap`, the rest is static.
    """

    overlap: tf.Tensor  # summed without bias, [batch, C_out, overlap_length] or [batch, overlap_length, C_out]
    plan: StreamPlan
    data_format: str
    owner: str  # the layer that made it
    skip: int  # samples still to be left out at the stream's beginning, from `latency` down to 0
    begun: bool = False  # whether a position has come in
    spent: bool = False  # whether the stream was flushed

    def __tf_flatten__(self):
        return (self.plan, self.data_format, self.owner, self.skip, self.begun, self.spent), (self.overlap,)

    @classmethod
    def __tf_unflatten__(cls, static, tensors):
        return cls(*tensors, *static)


def initial_state(plan, batch, dtype, *, data_format, owner):
    """The state of `batch` streams before their first chunk; None for one unbatched stream."""
    overlap = tf.zeros(plan.overlap_shape(batch, data_format), dtype)
    return StreamState(overlap, plan, data_format, owner, skip=plan.latency)


def advance(plan, x, weight, bias, overlap, *, data_format, lowering="auto"):
    """One chunk to `chunk * stride` samples and the next overlap, at fixed shapes; pads no stream's beginning away.

    The first `plan.latency` samples of a stream precede its output and are to be left out by the caller.
    """
    check_chunk(plan, x, overlap, data_format)
    channels_first, unbatched = data_format == "channels_first", x.shape.rank == 2
    if unbatched:
        x, overlap = tf.expand_dims(x, 0), tf.expand_dims(overlap, 0)
    if channels_first:
        x, overlap = tf.transpose(x, [0, 2, 1]), tf.transpose(overlap, [0, 2, 1])
    y, overlap = _advance(plan, x, weight, bias, overlap, lowering)
    if channels_first:
        y, overlap = tf.transpose(y, [0, 2, 1]), tf.transpose(overlap, [0, 2, 1])
    return (tf.squeeze(y, 0), tf.squeeze(overlap, 0)) if unbatched else (y, overlap)


def _advance(plan, x, weight, bias, overlap, lowering):
    """`advance` on `[N, chunk, C_in]` and `[N, overlap_length, C_out]`."""
    geometry, chunk = plan.geometry, x.shape[1]
    if chunk == 0:
        return tf.zeros(
            [tf.shape(x)[0] if x.shape[0] is None else x.shape[0], 0, geometry.out_channels], x.dtype
        ), overlap
    samples = geometry.stride * (tf.shape(x)[1] if chunk is None else chunk)
    if chunk is None:  # a chunk that turns out empty gains a zero, whose samples lie beyond the overlap
        x = tf.pad(x, [[0, 0], [0, tf.maximum(1 - tf.shape(x)[1], 0)], [0, 0]])
    spread = _spread(geometry, x, weight, lowering)
    if any(plan.fill):
        spread = tf.pad(spread, [[0, 0], plan.fill, [0, 0]])
    if chunk is None:
        spread = spread[:, : samples + plan.overlap_length]
    if plan.overlap_length:
        spread += tf.pad(overlap, [[0, 0], [0, samples], [0, 0]])
    if chunk is None:
        y, overlap = spread[:, :samples], spread[:, samples:]
    else:
        target = current_target()
        y, overlap = crop(spread, 0, plan.overlap_length, 1, target), crop(spread, samples, 0, 1, target)
    return (y if bias is None else y + bias), overlap


def _spread(geometry, x, weight, lowering):
    """All that a chunk `[N, chunk, C_in]` writes, `[N, (chunk - 1)*stride + kernel_extent, C_out]`, without bias."""
    if lowering == "auto" and x.shape[1] == 1 and geometry.groups == geometry.dilation == 1:
        return _spread_one(x, weight)
    uncropped = dataclasses.replace(geometry, padding=0, output_padding=0)
    return ops.apply_geometry(uncropped, x, weight, None, data_format="channels_last", lowering=lowering)


def _spread_one(x, weight):
    """`_spread` for one position: its product with the weight as it lies, every tap at once.

    A convolution would pad the position on both sides and read the weight once for each of the blocks that it reaches.
    """
    in_channels, out_channels, taps = weight.shape
    product = tf.matmul(tf.reshape(x, [-1, in_channels]), tf.reshape(weight, [in_channels, out_channels * taps]))
    return tf.transpose(tf.reshape(product, [-1, out_channels, taps]), [0, 2, 1])


def step(x, weight, bias, state, *, lowering="auto"):
    """One chunk and a state to the samples of the whole signal's output that it completes, and the next state."""
    plan = state.plan
    check_unspent(state)
    if x.dtype != state.overlap.dtype:
        raise TypeError(
            "The chunk and the state must have one dtype. Received: "
            f"a chunk of dtype {x.dtype.name}, a state of dtype {state.overlap.dtype.name}"
        )
    y, overlap = advance(plan, x, weight, bias, state.overlap, data_format=state.data_format, lowering=lowering)
    chunk = x.shape[_length_axis(state.data_format)]
    if chunk is None and state.skip:
        raise ValueError(
            f"A chunk's length must be known at the beginning of a stream with a latency of {plan.latency} samples. "
            f"Received: a chunk of shape {x.shape.as_list()}"
        )
    left_out = min(state.skip, 0 if chunk is None else chunk * plan.geometry.stride)
    begun = state.begun or chunk != 0
    following = dataclasses.replace(state, overlap=overlap, skip=state.skip - left_out, begun=begun)
    return _without_first(y, left_out, state.data_format), following


def flush(state, bias):
    """The samples that the signal's end releases; nothing where no position ever came in."""
    check_unspent(state)
    state.spent = True
    tail = release(state.plan, state.overlap, bias, data_format=state.data_format)
    left_out = state.skip if state.begun else state.plan.flush_length
    return _without_first(tail, left_out, state.data_format)


def release(plan, overlap, bias, *, data_format):
    """The `plan.flush_length` samples after the last chunk's, out of the overlap; zeros past the last tap, and bias."""
    axis = overlap.shape.rank + _length_axis(data_format)
    tail = pad_or_crop(overlap, 0, plan.flush_length - plan.overlap_length, axis, current_target())
    if bias is None:
        return tail
    return tail + (bias if data_format == "channels_last" else tf.expand_dims(bias, 1))


def reset(state, rows):
    """The state with the streams where `rows [batch]` is True at their beginning and the others where they were."""
    check_unspent(state)
    if state.plan.latency:
        raise ValueError(
            "Rows can be reset alone only where the latency is 0, or their chunks would differ in length. "
            f"Received: a stream with latency={state.plan.latency}"
        )
    rows = tf.convert_to_tensor(rows, tf.bool)
    if state.overlap.shape.rank != 3 or not rows.shape.is_compatible_with(state.overlap.shape[:1]):
        raise ValueError(
            "rows must have one entry for each stream of the batch. "
            f"Received: rows of shape {rows.shape.as_list()}, a state of shape {state.overlap.shape.as_list()}"
        )
    overlap = tf.where(rows[:, tf.newaxis, tf.newaxis], tf.zeros_like(state.overlap), state.overlap)
    return dataclasses.replace(state, overlap=overlap)


def check_unspent(state):
    """Raise where the stream has been flushed."""
    if state.spent:
        raise ValueError(
            "The stream has ended: its state was flushed; begin another with initial_state(). "
            f"Received: a flushed state of {state.owner!r}"
        )


def check_chunk(plan, x, overlap, data_format):
    """Raise unless chunk and overlap fit the plan and each other."""
    if x.shape.rank not in (2, 3):
        raise ValueError(
            "A chunk must be 2D (unbatched) or 3D (batched). "
            f"Received: a chunk of rank {x.shape.rank}, data_format={data_format!r}"
        )
    channels = x.shape[-1 if data_format == "channels_last" else -2]
    if channels != plan.geometry.in_channels:
        raise ValueError(
            f"A chunk must have in_channels={plan.geometry.in_channels} channels. "
            f"Received: a chunk of shape {x.shape.as_list()}, data_format={data_format!r}"
        )
    expected = [*x.shape[: x.shape.rank - 2], *plan.overlap_shape(None, data_format)]
    shape = overlap.shape.as_list()
    if len(shape) != len(expected) or any(None not in (a, b) and a != b for a, b in zip(shape, expected, strict=True)):
        raise ValueError(
            f"The state must have the shape {expected} for this chunk and layer. "
            f"Received: a state of shape {shape}, a chunk of shape {x.shape.as_list()}"
        )


def _length_axis(data_format):
    return -1 if data_format == "channels_first" else -2


def _without_first(y, count, data_format):
    if not count:
        return y
    return y[..., count:] if data_format == "channels_first" else y[..., count:, :]
