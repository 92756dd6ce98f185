"""Layers that slide a window over the signal: convolutions of any padding, stride and dilation, and means.

With `extent` positions in a window, which starts `stride` apart from the next and `padding` zeros before the signal,
output `i` reads the inputs from `i*stride - padding` to `i*stride - padding + extent - 1`. That last one must have come
in; so the output lags behind by what it looks ahead:

    latency = max(ceil((input's latency + extent - padding - stride) / stride), 0)
"""

from fractions import Fraction

import keras
import tensorflow as tf

from lucid_keras._lowering.edges import crop, with_zeros
from lucid_keras.streaming.presence import silenced
from lucid_keras.streaming.stage import Stage, cast, length_of
from lucid_keras.streaming.timing import last


class Sliding(Stage):
    """A window over the signal: the inputs that the next windows still reach back to."""

    takes_lead = True
    _past = 0  # samples before a chunk that come with it

    def __init__(self, layer, channels, extent, stride):
        self.layer, self._channels, self._extent, self._stride = layer, channels, extent, stride
        self.state_dtype, self.fills_border = layer.compute_dtype, layer.padding == "valid"

    def signal(self, x):
        stride, extent = self._stride, self._extent
        before, after = self._padding((x.tail - x.latency) % stride)
        heard = max(extent, x.border + 1 if x.border else 0)  # the first window waits for what its border repeats
        latency = max(-(-(x.latency + heard - before - stride) // stride), 0)
        beyond = (x.tail - x.latency + before + after - extent) // stride + 1  # samples beyond input / stride
        latency = max(latency, -beyond)
        self.needs_silence = (before > 0 or x.border > 0) and x.begins > 0
        self._history = latency * stride + before - x.latency  # negative: the first windows begin later
        self._tail = latency + beyond
        self.state_shapes = {"history": (self._history, self._channels)} if self._history > 0 else {}
        self._border = x.border
        if x.border:
            self.needs_presence, self.reach = True, max(self._history, 1)
        return x.resampled(Fraction(1, stride), latency, self._tail)

    def _padding(self, excess):
        """The zeros before and after a signal whose length is `excess` more than a multiple of the stride."""
        padding, extent, stride = self.layer.padding, self._extent, self._stride
        if padding == "same":
            missing = max(extent - (excess or stride), 0)
            return missing // 2, missing - missing // 2
        return (extent - 1, 0) if padding == "causal" else (0, 0)

    @property
    def looks_back(self):
        """How many samples before a chunk it has to have, as they came."""
        return 0 if self.needs_presence else max(self._history, 0)

    def after_line(self, past):
        """From now on so many samples that came before come with a chunk, which it need not keep then."""
        self._past, self.state_shapes = past, {}

    def step(self, x, states, moment):
        heard = self._heard(x, states, moment.target)
        if self._border:
            heard = self._filled(heard, x, moment)
        kept = {kind: last(heard, self._history, moment.target) for kind in self.state_shapes}
        surplus = self._history + self._stride - self._extent  # what only later windows read
        return self.windows(crop(heard, max(-self._history, 0), surplus, 1, moment.target)), kept

    def flush(self, x, states, moment):
        if not self._tail:
            return None
        if x is None and not states:
            x = tf.zeros([moment.batch, 0, self._channels], self.state_dtype)
        heard = states["history"] if x is None else self._heard(x, states, moment.target)
        if self._border and x is not None:
            heard = self._filled(heard, x, moment)
        heard = crop(heard, max(-self._history, 0), 0, 1, moment.target)
        missing = (self._tail - 1) * self._stride + self._extent - length_of(heard)
        heard = with_zeros(heard, missing, 1) if missing > 0 else crop(heard, 0, -missing, 1, moment.target)
        return self.windows(heard)

    def _heard(self, x, states, target):
        """A chunk or the tail, and before it what the next windows reach back to."""
        x = tf.cast(x, self.state_dtype)
        if self._past:
            return crop(x, self._past - self._history, 0, 1, target)
        return tf.concat([states["history"], x], axis=1) if states else x

    def _filled(self, heard, x, moment):
        """What is heard, the zeros before the signal filled with its first sample in the chunk `x` that brings it.

        The history keeps that, so it happens once.
        """
        present, reach, target = moment.present, self.reach, moment.target
        begins = crop(present, reach, 0, 1, target) - crop(present, reach - 1, 1, 1, target)  # 1 at the first sample
        first = tf.reduce_sum(silenced(tf.cast(x, self.state_dtype), begins, target), axis=1, keepdims=True)
        before = 1 - crop(present, reach - max(self._history, 0), 0, 1, target)
        return heard + silenced(first, before, target)

    def windows(self, x):
        """The output of each window that lies wholly in `x`."""
        raise NotImplementedError


class Convolution(Sliding):
    """`Conv1D`, `DepthwiseConv1D` and `SeparableConv1D`."""

    def __init__(self, layer, channels):
        (taps,), (dilation,) = layer.kernel_size, layer.dilation_rate
        super().__init__(layer, channels, (taps - 1) * dilation + 1, layer.strides[0])

    def windows(self, x):
        layer = self.layer
        dilation = layer.dilation_rate if layer.kernel_size != (1,) else (1,)  # of one tap LiteRT converts none
        options = {"strides": layer.strides, "dilation_rate": dilation}
        options |= {"padding": "valid", "data_format": "channels_last"}
        if isinstance(layer, keras.layers.SeparableConv1D):
            kernels = cast(layer.depthwise_kernel, x.dtype), cast(layer.pointwise_kernel, x.dtype)
            y = keras.ops.separable_conv(x, *kernels, **options)
        elif isinstance(layer, keras.layers.DepthwiseConv1D):
            y = keras.ops.depthwise_conv(x, cast(layer.kernel, x.dtype), **options)
        else:
            y = keras.ops.conv(x, cast(layer.kernel, x.dtype), **options)
        if layer.bias is not None:
            y += cast(layer.bias, x.dtype)
        return layer.activation(y)


class Averaging(Sliding):
    """`AveragePooling1D`: a mean of the positions that there are, which are counted where padding lies in a window."""

    takes_lead = False  # zeros of a padding before it count

    def __init__(self, layer, channels):
        super().__init__(layer, channels, layer.pool_size[0], layer.strides[0])

    def signal(self, x):
        self._counts = self.needs_presence = any(self._padding((x.tail - x.latency) % self._stride))
        self._channels += self._counts
        return super().signal(x)

    def step(self, x, states, moment):
        return super().step(self._counted(x, moment), states, moment)

    def flush(self, x, states, moment):
        return super().flush(x if x is None else self._counted(x, moment), states, moment)

    def _counted(self, x, moment):
        """The samples, and in a channel more 1 for each that there is."""
        return tf.concat([x, moment.there(x)], axis=2) if self._counts else x

    def windows(self, x):
        layer = self.layer
        y = keras.ops.average_pool(x, layer.pool_size, layer.strides, "valid", "channels_last")
        if not self._counts:
            return y
        return y[..., :-1] / tf.maximum(y[..., -1:], 1 / self._extent)
