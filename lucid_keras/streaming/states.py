"""States checked: names, shapes, dtypes and one batch for all; streams of a batch begun anew."""

import math
from collections.abc import Mapping

import tensorflow as tf

from lucid_keras._arguments import MAX_LENGTH
from lucid_keras.ops import as_tensor, extents_of


def checked_specs(specs):
    """The states' specs, of one stream, refused where one is more than TensorFlow, XLA and LiteRT can address."""
    for name, spec in specs.items():
        if math.prod(spec.shape) * spec.dtype.size > MAX_LENGTH:
            raise ValueError(
                f"What a layer remembers of a stream must be at most {MAX_LENGTH} bytes, which int32 addresses. "
                f"Received: the state {name} of shape {tuple(spec.shape)} and dtype {spec.dtype.name}"
            )
    return specs


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
    tensors = {}
    for name, spec in specs.items():
        tensor = tensors[name] = as_tensor(f"The state {name}", state[name])
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
                f"Received: {name} of shape {extents_of(tensor)}"
            )
        if batch == [None] and tensor.shape.rank:
            batch = [tensor.shape[0]]
    return tensors


def reset_rows(state, rows):
    """The states, each `[batch, ...]`, with the streams where `rows [batch]` is True at their beginning."""
    rows = as_tensor("rows", rows)
    if rows.dtype != tf.bool:
        raise TypeError(f"rows must be boolean. Received: rows of dtype {rows.dtype.name}")
    following = {}
    for name, tensor in state.items():
        if not rows.shape.is_compatible_with(tensor.shape[:1]):
            raise ValueError(
                "rows must have one entry for each stream of the batch. "
                f"Received: rows of shape {extents_of(rows)}, {name} of shape {extents_of(tensor)}"
            )
        begun = tf.reshape(rows, [-1] + [1] * (tensor.shape.rank - 1))
        following[name] = tf.where(begun, tf.zeros_like(tensor), tensor)
    return following
