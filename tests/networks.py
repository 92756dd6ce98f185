"""Random decoders by seed: convolutions of every padding and rate, branches that meet, operators, recurrences.

Every network is fully given by its seed. `integers` ones have small whole weights and no division, so that whole and
chunked decode agree to the bit; the others compute in float64.
"""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

import lucid_keras as lk
from lucid_keras.export.origins import scoped

layers, ops = keras.layers, keras.ops
MOST_CHANNELS, COARSEST = 4, 6


@dataclasses.dataclass
class Network:
    """A decoder, its positions in a whole signal, and the chunks that it is cut into."""

    decoder: keras.Model
    positions: int
    chunks: list

    @property
    def spec(self):
        """Of the signal; a second input, the style, stays the same throughout."""
        return self.decoder.inputs[0]

    def given(self, x):
        """What the streaming model takes for a chunk of the signal."""
        return x if len(self.decoder.inputs) == 1 else {"signal": x, "style": self._style(len(x))}

    def whole(self, x):
        """The decode of a whole signal, its sums as they are meant (`lucid_keras.layers.sums`)."""
        with scoped(self.decoder):
            return self.decoder(x if len(self.decoder.inputs) == 1 else [x, self._style(len(x))]).numpy()

    def _style(self, batch):
        spec = self.decoder.inputs[1]
        return np.random.default_rng(0).integers(-2, 3, (batch, spec.shape[-1])).astype(spec.dtype)


class Builder:
    """Adds random layers to a tensor, whose samples to a position and whose grain it keeps track of."""

    def __init__(self, seed, integers):
        self.rng, self.integers = np.random.default_rng(seed), integers
        self.up, self.down = 1, 1  # samples per position are up/down
        self.style = None

    def pick(self, *options):
        return options[self.rng.integers(len(options))]

    def number(self, low, high):
        return int(self.rng.integers(low, high + 1))

    def whole(self, channels_in, limit=2):
        """Options of a layer whose weights are whole numbers in a network of integers."""
        if not self.integers:
            return {"bias_initializer": "random_normal"}
        draw = lambda shape, dtype: self.rng.integers(-1, 2, shape).astype(dtype)  # noqa: E731
        return {"kernel_initializer": draw, "bias_initializer": draw}

    # Layers that keep the length, and those that do not.

    def conv(self, x, filters=None, padding=None):
        taps, dilation, groups = self.number(1, 5), self.pick(1, 1, 2, 3), self.pick(1, 1, x.shape[-1])
        filters = groups * self.number(1, max(MOST_CHANNELS // groups, 1)) if filters is None else filters
        groups = groups if filters % groups == 0 else 1
        padding = padding or self.pick("same", "causal")
        activation = None if self.integers else self.pick(None, "tanh", "gelu")
        return layers.Conv1D(filters, taps, padding=padding, dilation_rate=dilation, groups=groups,
                             activation=activation, **self.whole(x.shape[-1]))(x)  # fmt: skip

    def padded(self, x, filters=None):
        """A "valid" convolution after zeros of any number."""
        taps, dilation = self.number(1, 5), self.pick(1, 2)
        extent = (taps - 1) * dilation
        before = self.number(0, extent)
        after = extent - before
        pad = layers.ZeroPadding1D((before, after)) if self.pick(0, 1) else None
        x = pad(x) if pad else ops.pad(x, [[0, 0], [before, after], [0, 0]])
        filters = filters or self.number(1, MOST_CHANNELS)
        return layers.Conv1D(filters, taps, dilation_rate=dilation, **self.whole(x.shape[-1]))(x)

    def depthwise(self, x):
        taps = self.number(1, 5)
        if self.integers:
            draw = self.whole(1)
            draw["depthwise_initializer"] = draw.pop("kernel_initializer")
            return layers.DepthwiseConv1D(taps, padding="same", **draw)(x)
        kind = self.pick(0, 1)
        if kind:
            return layers.SeparableConv1D(x.shape[-1], taps, padding="same", bias_initializer="random_normal")(x)
        x = layers.ZeroPadding1D((taps - 1, 0))(x)
        return layers.DepthwiseConv1D(taps, bias_initializer="random_normal")(x)

    def arithmetic(self, x):
        y = self.pick(lambda: -x, lambda: x + 1, lambda: x * 2, lambda: ops.relu(x), lambda: layers.ReLU()(x),
                      lambda: ops.flip(x, axis=-1), lambda: ops.concatenate([x, -x], axis=-1)[:, :, : x.shape[-1]],
                      lambda: ops.maximum(x, ops.zeros_like(x)), lambda: ops.abs(x))()  # fmt: skip
        if self.integers:
            return y
        return self.pick(lambda: ops.tanh(x), lambda: ops.gelu(x), lambda: x * 0.5 - 1, lambda: ops.sigmoid(x) * x,
                         lambda: layers.LayerNormalization()(x), lambda: layers.Dense(x.shape[-1])(x),
                         lambda: x + ops.square(ops.sin(3 * x)) / 3, lambda: ops.exp(-ops.abs(x)),
                         lambda: y)()  # fmt: skip

    def recurrence(self, x):
        kind = self.pick(layers.GRU, layers.LSTM)
        return kind(x.shape[-1], return_sequences=True, bias_initializer="random_normal")(x)

    def gate(self, x):
        one, other = ops.split(self.conv(x, 2 * x.shape[-1]), 2, axis=-1)
        return one * other if self.integers else ops.tanh(one) * ops.sigmoid(other)

    def residual(self, x, depth=0):
        y = x
        for _ in range(self.number(1, 2)):
            y = self.keeping(y, depth + 1)
        if y.shape[-1] != x.shape[-1]:
            y = layers.Conv1D(x.shape[-1], 1, **self.whole(y.shape[-1]))(y)
        return self.pick(lambda: x + y, lambda: layers.Add()([x, y]), lambda: layers.Subtract()([y, x]))()

    def branches(self, x, depth=0):
        channels = self.number(1, MOST_CHANNELS)
        ends = [self.conv(self.keeping(x, depth + 1), channels) for _ in range(self.number(2, 3))]
        return layers.Add()(ends) if self.pick(0, 1) else layers.Concatenate()(ends)[:, :, :MOST_CHANNELS]

    def nested(self, x, depth=0):
        inside = keras.Input((None, x.shape[-1]), dtype=x.dtype)
        return keras.Model(inside, self.keeping(inside, depth + 1))(x)

    def styled(self, x):
        style = layers.Dense(x.shape[-1], **self.whole(1))(self.style)[:, None]
        return self.pick(lambda: x + style, lambda: x * style, lambda: layers.Add()([style, x]))()

    def keeping(self, x, depth=0):
        """`x` after something that keeps the length."""
        if self.style is not None and depth == 0 and self.pick(0, 0, 1):
            return self.styled(x)
        simple = [self.conv, self.padded, self.depthwise, self.arithmetic, self.gate]
        if not self.integers:
            simple += [self.recurrence]
        deep = [self.residual, self.branches, self.nested]
        chosen = self.pick(*simple, *(deep if depth < 2 else ()))
        return chosen(x, depth) if chosen in deep else chosen(x)

    def transposed(self, x):
        stride, groups = self.number(1, 4), self.pick(1, 1, x.shape[-1])
        self.up *= stride
        taps, dilation = self.number(1, 7), self.pick(1, 1, 2)
        extent = (taps - 1) * dilation + 1
        padding = self.number(0, min(extent - 1, 6))
        options = {}
        if self.integers:
            draw = self.whole(1)
            options = {"weight_initializer": draw["kernel_initializer"], "bias_initializer": draw["bias_initializer"]}
        x = lk.ConvTranspose1d(
            x.shape[-1], groups * self.number(1, max(MOST_CHANNELS // groups, 1)), taps, stride, padding,
            output_padding=self.number(0, max(stride, dilation) - 1), groups=groups, dilation=dilation,
            data_format="channels_last", **options,
        )(x)  # fmt: skip
        if self.pick(0, 1) and extent > stride:
            return layers.Cropping1D((0, extent - stride))(x)
        return x

    def cut(self, x):
        before, after = self.number(0, 2), self.number(0, 3)
        stop = -after or None
        return self.pick(lambda: layers.Cropping1D((before, after))(x), lambda: x[:, before:stop],
                         lambda: layers.ZeroPadding1D((before, after))(x))()  # fmt: skip

    def decimated(self, x):
        stride = self.number(2, 3)
        if self.down * stride > COARSEST:
            return x
        self.down *= stride
        taps, padding = self.number(1, 5), self.pick("same", "valid", "causal")
        if self.integers or self.pick(0, 1):
            return layers.Conv1D(self.number(1, MOST_CHANNELS), taps, stride, padding, **self.whole(1))(x)
        return layers.AveragePooling1D(taps, stride, padding.replace("causal", "same"))(x)

    def repeated(self, x):
        size = self.number(2, 3)
        self.up *= size
        return layers.UpSampling1D(size)(x)

    def layer(self, x):
        kinds = [self.keeping] * 5 + [self.transposed] * 2 + [self.cut, self.decimated, self.repeated]
        if self.up > 24:
            kinds = [self.keeping, self.cut, self.decimated]
        return self.pick(*kinds)(x)


class Replicate(layers.Layer):
    """A signal with its first and last position repeated, which Keras's own operation cannot do on TensorFlow."""

    def __init__(self, before, after, data_format="channels_last", **kwargs):
        super().__init__(**kwargs)
        self.before, self.after, self.axis = before, after, 1 if data_format == "channels_last" else 2

    def call(self, x):
        positions = tf.range(-self.before, tf.shape(x)[self.axis] + self.after)
        return tf.gather(x, tf.clip_by_value(positions, 0, tf.shape(x)[self.axis] - 1), axis=self.axis)

    def compute_output_shape(self, shape):
        shape = list(shape)
        if shape[self.axis] is not None:
            shape[self.axis] += self.before + self.after
        return tuple(shape)

    def streaming_graph(self, x):
        width = [[0, 0]] * 3
        width[self.axis] = [self.before, self.after]
        return ops.pad(x, width, mode="edge")


class Bordered(Builder):
    """Random networks in which a layer in two pads so."""

    def replicated(self, x):
        x = Replicate(self.number(0, 5), self.number(0, 5))(x)
        if self.pick(0, 1, 1):
            taps, stride = self.number(1, 6), self.pick(1, 1, 2, 3)
            stride = stride if self.down * stride <= COARSEST else 1
            self.down *= stride
            x = layers.Conv1D(self.number(1, 4), taps, strides=stride, **self.whole(x.shape[-1]))(x)
        return x

    def blocks(self, x):
        """Two positions to one, which a convolution gives side by side."""
        self.up *= 2
        return layers.Reshape((-1, x.shape[-1]))(layers.Conv1D(2 * x.shape[-1], 1, **self.whole(x.shape[-1]))(x))

    def layer(self, x):
        chosen = self.pick(self.replicated, self.replicated, super().layer, super().layer, self.blocks)
        return super().layer(x) if chosen == self.blocks and self.up > 24 else chosen(x)


def network(seed, integers=False, most_layers=6, dtype="float64", kind=Builder):
    """A random decoder of `[batch, positions, channels]`, and how a signal for it is cut."""
    before = keras.config.dtype_policy()
    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy("float32" if integers else dtype)
    try:
        build = kind(seed, integers)
        compute = keras.config.dtype_policy().compute_dtype
        x = inputs = keras.Input((None, build.number(1, 3)), dtype=compute, name="signal")
        if build.pick(0, 0, 1):
            build.style = keras.Input((2,), dtype=compute, name="style")
        for _ in range(build.number(1, most_layers)):
            x = build.layer(x)
        decoder = keras.Model(inputs if build.style is None else [inputs, build.style], x)
    finally:
        keras.config.set_dtype_policy(before)
    positions, chunks = _cut(build, decoder)
    return Network(decoder, positions, chunks)


def _cut(build, decoder):
    """Positions of which every layer makes a sample, few of them if it can, and chunks."""
    streaming = lk.StreamingModel(decoder)
    grain = streaming.granularity
    count = max(build.number(1, 6), -(-streaming.fewest_positions // grain))
    chunks, left = [], count
    while left:
        chunks.append(build.number(0, min(left, 4)))
        left -= chunks[-1]
    return count * grain, [one * grain for one in chunks]
