"""Chunks and states checked: names, shapes, dtypes and one batch for all; streams of a batch begun anew."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf


def checked_batch(batch, unbatched):
    """The batch as the beginning of a shape: `[batch]`, or `[]` for one stream without a batch where that may be."""
    if batch is None and unbatched:
        return []
    if not tf.is_tensor(batch):
        if isinstance(batch, bool) or not isinstance(batch, (int, np.integer)):
            raise TypeError(f"batch must be an int. Received: batch={batch!r}")
        if batch < 0:
            raise ValueError(f"batch must be at least 0 streams. Received: batch={batch}")
    return [batch]


def checked_chunk(x, chunk_shape, dtype, *, unbatched):
    """The chunk as a tensor of `dtype`, and its batch as `checked_batch` gives it."""
    x = tf.convert_to_tensor(x)
    if not (x.dtype.is_floating or x.dtype.is_integer):
        raise TypeError(f"A chunk must hold real numbers. Received: a chunk of dtype {x.dtype.name}")
    shape = chunk_shape(None, None)
    batched = not unbatched or x.shape.rank == len(shape)
    if x.shape.rank is None or not x.shape.is_compatible_with(shape if batched else shape[1:]):
        named = ", ".join(map(str, chunk_shape("batch", "positions")))
        raise ValueError(f"A chunk must have the shape [{named}]. Received: a chunk of shape {_shown(x)}")
    return tf.cast(x, dtype), [x.shape[0]] if batched else []


def checked_state(state, specs, batch=None, *, unbatched=False):
    """The state as tensors by name; `specs` say each one's shape without the batch, `batch` is its beginning.

    A batch of None is that of the first tensor, or none at all where `unbatched` says that this may be.
    """
    if not isinstance(state, Mapping):
        raise TypeError(
            "state must be a dict of tensors by name, as initial_state() and step() give it. "
            f"Received: a state of type {type(state).__name__}"
        )
    if state.keys() != specs.keys():
        raise ValueError(
            f"state must hold exactly what initial_state() names: {sorted(specs)}. Received: {sorted(map(str, state))}"
        )
    tensors = {name: _tensor(name, state[name]) for name in specs}
    for name, tensor in tensors.items():
        spec = specs[name]
        if tensor.dtype != spec.dtype:
            raise TypeError(
                f"The state {name} must have the dtype {spec.dtype.name}. Received: {name} of dtype {tensor.dtype.name}"
            )
        if batch is None:
            batch = [] if unbatched and tensor.shape.rank == len(spec.shape) else [None]
        fits = [*batch, *spec.shape]
        if not tensor.shape.is_compatible_with(fits):
            raise ValueError(
                f"The state {name} must have the shape {fits}, one batch for a chunk and all states. "
                f"Received: {name} of shape {_shown(tensor)}"
            )
        if batch == [None] and tensor.shape.rank:
            batch = [tensor.shape[0]]
    return tensors


def reset_rows(state, rows):
    """The states, each `[batch, ...]`, with the streams where `rows [batch]` is True at their beginning."""
    rows = tf.convert_to_tensor(rows)
    if rows.dtype != tf.bool:
        raise TypeError(f"rows must be boolean. Received: rows of dtype {rows.dtype.name}")
    following = {}
    for name, tensor in state.items():
        if not rows.shape.is_compatible_with(tensor.shape[:1]):
            raise ValueError(
                "rows must have one entry for each stream of the batch. "
                f"Received: rows of shape {_shown(rows)}, {name} of shape {_shown(tensor)}"
            )
        begun = tf.reshape(rows, [-1] + [1] * (tensor.shape.rank - 1))
        following[name] = tf.where(begun, tf.zeros_like(tensor), tensor)
    return following


def _tensor(name, value):
    try:
        return tf.convert_to_tensor(value)
    except (TypeError, ValueError):
        raise TypeError(
            f"The state {name} must be a tensor or an array. Received: {name} of type {type(value).__name__}"
        ) from None


def _shown(tensor):
    return "unknown rank" if tensor.shape.rank is None else tensor.shape.as_list()
