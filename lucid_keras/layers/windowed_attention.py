"""`WindowedAttention`: causal attention over the last positions, which streams."""

import keras
import tensorflow as tf

from lucid_keras import ops
from lucid_keras._arguments import check_shape, checked_count, number
from lucid_keras._lowering.attention import AttentionPlan, attend
from lucid_keras._lowering.target import current_target


@keras.saving.register_keras_serializable(package="lucid_keras")
class WindowedAttention(keras.layers.Layer):
    """Attention of each position to itself and the `window - 1` before it, as in Mimi, Moshi and PocketTTS.

    It takes queries, keys and values that are projected already and has no weights: the projections are `Dense` layers
    of the model, under the names that a checkpoint has for them.

    Positions are rotations of queries and keys, whose products depend on how far apart two positions are. Only these
    distances are ever computed, all of them constants: a signal may be of any length without a loss of precision, in
    memory that grows as its length does, and a `StreamingModel` decodes it in chunks, without an end: it keeps the
    keys and values of `window - 1` positions.

    Args:
        heads: int, heads of queries, which the channels are cut into.
        window: int, positions that a query sees, its own among them.
        key_heads: int, heads of keys and values, each shared by `heads // key_heads` heads of queries that follow one
            another. Default `heads`.
        rotary_base: float, the base of the angles `base**(-2*i/size)` of a position; channels `i` and `i + size/2` of a
            head of `size` channels make a plane, as in transformers (interleaved pairs: reorder the projections' rows).
            Default 10000.0. None: positions do not count within the window.
        dtype, name: as in Keras layers.

    Input shape:
        Three tensors: queries `[batch, length, heads * size]`, keys and values `[batch, length, key_heads * size]`.

    Output shape:
        `[batch, length, heads * size]`.

    Raises:
        ValueError: a number is not positive, `heads` is no multiple of `key_heads`, inputs of shapes that do not fit.
        TypeError: an argument of the wrong type.

    Example:

    >>> import numpy as np
    >>> attention = WindowedAttention(heads=2, window=3)
    >>> query, key, value = np.random.default_rng(0).standard_normal((3, 1, 10, 8)).astype("float32")
    >>> tuple(attention(query, key, value).shape)
    (1, 10, 8)
    >>> far = np.where(np.arange(10)[:, np.newaxis] < 7, 0, value)  # what precedes the last window
    >>> bool(np.allclose(attention(query, key, far)[:, -1], attention(query, key, value)[:, -1]))
    True

    Source: A. Vaswani et al., "Attention is all you need", arXiv:1706.03762, eq. 1; J. Su et al., "RoFormer",
    arXiv:2104.09864, eq. 16; I. Beltagy et al., "Longformer", arXiv:2004.05150, section 3.1.
    """

    def __init__(
        self,
        heads: int,
        window: int,
        key_heads: int | None = None,
        rotary_base: float | None = 10_000.0,
        dtype: str | keras.DTypePolicy | None = None,
        name: str | None = None,
        **kwargs,
    ):
        super().__init__(dtype=dtype, name=name, **kwargs)
        if not tf.as_dtype(self.compute_dtype).is_floating:
            raise TypeError(f"dtype must be floating point. Received: dtype={dtype!r}")
        self.heads = heads = checked_count("heads", heads, least=1)
        self.window = checked_count("window", window, "position", least=1)
        self.key_heads = heads if key_heads is None else checked_count("key_heads", key_heads, least=1)
        if heads % self.key_heads:
            raise ValueError(
                f"heads must be a multiple of key_heads. Received: heads={heads}, key_heads={self.key_heads}"
            )
        self.rotary_base = None if rotary_base is None else number("rotary_base", rotary_base, least=1)
        self.plan = AttentionPlan(heads, self.key_heads, self.window, self.rotary_base)
        self.built = True

    def call(self, query, key, value):
        query, key, value = (
            ops.as_tensor(name, given) for name, given in (("query", query), ("key", key), ("value", value))
        )
        for given in (query, key, value):
            ops.check_floating(given.dtype)
        self._check(query.shape, key.shape, value.shape)
        return attend(self.plan, query, key, value, None, 0, current_target())

    def compute_output_shape(self, query_shape, key_shape, value_shape):
        given = {"query_shape": query_shape, "key_shape": key_shape, "value_shape": value_shape}
        self._check(*(check_shape(name, shape) for name, shape in given.items()))
        return tuple(query_shape)

    def _check(self, *shapes):
        """Raise unless queries, keys and values fit each other and the heads."""
        query, key, value = map(tf.TensorShape, shapes)
        received = f"Received: query of shape {query}, key of shape {key}, value of shape {value}"
        if any(shape.rank != 3 or shape[2] is None for shape in (query, key, value)):
            raise ValueError(f"query, key and value must have the shape [batch, length, channels]. {received}")
        alike = key.is_compatible_with(value) and all(query[:2].is_compatible_with(one[:2]) for one in (key, value))
        if not alike:
            raise ValueError(
                f"query, key and value must have one batch and one length, key and value as many channels. {received}"
            )
        size, rest = divmod(query[2], self.heads)
        if rest or not size or size * self.key_heads != key[2]:
            raise ValueError(
                f"The channels must be heads={self.heads} heads of queries and key_heads={self.key_heads} heads of "
                f"keys and values, all of one size. {received}"
            )
        if self.rotary_base is not None and size % 2:
            raise ValueError(f"A head must have an even number of channels where it is rotated. {received}")

    def get_config(self):
        return {
            **super().get_config(),
            "heads": self.heads,
            "window": self.window,
            "key_heads": self.key_heads,
            "rotary_base": self.rotary_base,
        }
