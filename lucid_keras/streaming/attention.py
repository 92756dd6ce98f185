"""`WindowedAttention` from chunk to chunk: the keys and values of the positions that the next ones still see."""

import tensorflow as tf

from lucid_keras._lowering.attention import attend
from lucid_keras.streaming.pointwise import Call
from lucid_keras.streaming.stage import CannotStreamError, Stage
from lucid_keras.streaming.timing import last


class Attending(Stage):
    """Keys as they came, without their rotations, which grow with their age; and which of them are the signal's."""

    needs_presence = True  # and silence before the signal: no share of what is not finite is nothing

    def __init__(self, call):
        self.layer, self._past = call.operation, call.operation.window - 1
        if len(call.places) != 3 or any(place.signal is None for place in call.places):
            raise CannotStreamError("its queries, keys and values must depend on time, each of them")
        self._in_order = Call(lambda query, key, value: (query, key, value), call.args, call.kwargs)
        self.state_dtype = self.layer.compute_dtype
        _, key, value = self._in_order(*call.places)
        if self._past:
            kept = {"keys": key.sizes, "values": value.sizes, "present": (1,)}
            self.state_shapes = {name: (self._past, *sizes) for name, sizes in kept.items()}

    def step(self, x, states, moment):
        plan, target = self.layer.plan, moment.target
        query, key, value = (tf.cast(one, self.state_dtype) for one in self._in_order(*x))
        if not self._past:
            return attend(plan, query, key, value, None, 0, target), {}
        here = {"keys": key, "values": value, "present": moment.there(query)}
        heard = {name: tf.concat([states[name], new], axis=1) for name, new in here.items()}
        y = attend(plan, query, *heard.values(), self._past, target)
        return y, {name: last(one, self._past, target) for name, one in heard.items()}
