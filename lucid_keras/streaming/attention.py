"""`WindowedAttention` from chunk to chunk: the keys and values of the positions that the next ones still see."""

import tensorflow as tf

from lucid_keras._lowering.attention import attend, by_head
from lucid_keras._lowering.edges import crop
from lucid_keras.streaming.pointwise import Call
from lucid_keras.streaming.stage import CannotStreamError, Stage


class Attending(Stage):
    """Keys as they came, without their rotations, which grow with their age; and which of them are the signal's."""

    needs_silence = False
    needs_presence = True

    def __init__(self, call):
        self.layer, self._past = call.operation, call.operation.window - 1
        if len(call.places) != 3 or any(place.signal is None for place in call.places):
            raise CannotStreamError("its queries, keys and values must depend on time, each of them")
        self._in_order = Call(lambda query, key, value: (query, key, value), call.args, call.kwargs)
        self.state_dtype, key_heads = self.layer.compute_dtype, self.layer.key_heads
        _, key, value = self._in_order(*call.places)
        if self._past:
            self.state_shapes = {
                "keys": (key_heads, self._past, *(size // key_heads for size in key.sizes)),
                "values": (key_heads, self._past, *(size // key_heads for size in value.sizes)),
                "present": (self._past, 1),
            }

    def step(self, x, states, moment):
        query, key, value = (tf.cast(one, self.state_dtype) for one in self._in_order(*x))
        layer, target = self.layer, moment.target
        keys, values = by_head(key, layer.key_heads), by_head(value, layer.key_heads)
        if not self._past:
            return attend(layer.plan, query, keys, values, present=None, past=0, target=target), {}
        here = {"keys": keys, "values": values, "present": moment.there(query)}
        heard = {name: tf.concat([states[name], new], axis=-2) for name, new in here.items()}
        y = attend(layer.plan, query, *heard.values(), past=self._past, target=target)
        return y, {name: _last(one, self._past, target) for name, one in heard.items()}


def _last(x, count, target):
    """The last `count` positions of `[..., positions, channels]`."""
    length, axis = x.shape[-2], x.shape.rank - 2
    return x[..., -count:, :] if length is None else crop(x, length - count, 0, axis, target)
