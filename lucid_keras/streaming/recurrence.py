"""`LSTM` and `GRU` from chunk to chunk.

A short chunk is written out position by position, of operations that LiteRT delegates; the product with the input is
one matrix product for the whole chunk.
"""

import keras
import tensorflow as tf

from lucid_keras._lowering.edges import crop
from lucid_keras.streaming.stage import CannotStreamError, Stage, cast

# The longest chunk whose recurrence is written out position by position, by target: LiteRT delegates no loop.
UNROLLED = {"tensorflow": 16, "xla": 16, "saved_model": 16, "litert": 128}


class Recurrence(Stage):
    """`LSTM` and `GRU`: their cell's states, which stay zeros until the signal begins."""

    needs_presence = True

    def __init__(self, layer):
        self.layer, self.state_dtype = layer, layer.compute_dtype
        for flag, value, reason in (
            ("return_sequences", True, "a stream has no last position"),
            ("return_state", False, "the state is the stream's"),
            ("go_backwards", False, "it would begin at the end"),
            ("stateful", False, "the state is the stream's"),
        ):
            if getattr(layer, flag) != value:
                raise CannotStreamError(f"{flag} must be {value}: {reason}")
        is_lstm = isinstance(layer, keras.layers.LSTM)
        self.advance = _lstm if is_lstm else _gru
        self.state_shapes = dict.fromkeys(["hidden", "cell"] if is_lstm else ["hidden"], (layer.units,))
        self.loop = keras.layers.RNN(
            layer.cell, return_sequences=True, return_state=True, name=f"{layer.name}_loop", dtype=layer.dtype_policy
        )

    def step(self, x, states, moment):
        chunk, units, x = x.shape[1], self.layer.units, tf.cast(x, self.layer.compute_dtype)
        target, present = moment.target, moment.present
        values = [states[name] for name in self.state_shapes]
        if chunk is None or chunk > UNROLLED[target.name]:
            mask = None if present is None else present[..., 0] > 0
            y, *values = self.loop(x, initial_state=values, mask=mask)
            return y, dict(zip(self.state_shapes, values, strict=True))
        weights = [cast(weight, x.dtype) for weight in self.layer.cell.weights]
        driven = tf.matmul(tf.reshape(x, [-1, x.shape[2]]), weights[0])
        driven = tf.reshape(driven, [-1, chunk, driven.shape[1]])
        outputs = []
        for position in range(chunk):
            here = tf.reshape(crop(driven, position, chunk - 1 - position, 1, target), [-1, driven.shape[2]])
            values = self.advance(self.layer, here, values, *weights[1:])
            if present is not None:
                there = tf.cast(crop(present, position, chunk - 1 - position, 1, target), x.dtype)
                values = [tf.reshape(there, [-1, 1]) * value for value in values]
            outputs.append(tf.reshape(values[0], [-1, 1, units]))
        while len(outputs) > 1:  # by fours, which LiteRT delegates
            outputs = [tf.concat(outputs[first : first + 4], axis=1) for first in range(0, len(outputs), 4)]
        return outputs[0], dict(zip(self.state_shapes, values, strict=True))


def _lstm(layer, driven, states, recurrent, bias=None):
    """One position of an LSTM, its input product given. (Hochreiter and Schmidhuber, 1997, with forget gates.)"""
    hidden, cell = states
    gates = driven + tf.matmul(hidden, recurrent)
    if bias is not None:
        gates += bias
    write, keep, candidate, read = tf.split(gates, 4, axis=1)
    gate, squash = layer.recurrent_activation, layer.activation
    cell = gate(keep) * cell + gate(write) * squash(candidate)
    return [gate(read) * squash(cell), cell]


def _gru(layer, driven, states, recurrent, bias=None):
    """One position of a GRU, its input product given. (Cho et al., arXiv:1406.1078; reset_after as in cuDNN.)"""
    (hidden,), units = states, layer.units
    gate, squash = layer.recurrent_activation, layer.activation
    if bias is not None:
        driven += bias[0] if layer.reset_after else bias
    update, reset, candidate = tf.split(driven, 3, axis=1)
    if layer.reset_after:
        recalled = tf.matmul(hidden, recurrent)
        if bias is not None:
            recalled += bias[1]
        to_update, to_reset, to_candidate = tf.split(recalled, 3, axis=1)
        candidate += gate(reset + to_reset) * to_candidate
    else:
        to_update, to_reset = tf.split(tf.matmul(hidden, recurrent[:, : 2 * units]), 2, axis=1)
        candidate += tf.matmul(gate(reset + to_reset) * hidden, recurrent[:, 2 * units :])
    keep = gate(update + to_update)
    return [keep * hidden + (1 - keep) * squash(candidate)]
