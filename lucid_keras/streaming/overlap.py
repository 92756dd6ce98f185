"""`ConvTranspose1d` from chunk to chunk: overlap-add.

Each chunk goes through the whole-signal operation without its crops; what its last taps wrote ahead is added to the
next chunk's output. Sums of integers are the same in any order, so chunked and whole output agree to the bit.
"""

import dataclasses

import tensorflow as tf

from lucid_keras import ops
from lucid_keras._lowering.edges import between_zeros, crop, pad_or_crop
from lucid_keras.streaming.plan import stream_plan
from lucid_keras.streaming.stage import Pointwise, cast


class Transposed(Pointwise):
    """`ConvTranspose1d`: the sums, without bias, that its taps have written ahead."""

    def __init__(self, layer, trim=0):
        super().__init__(layer)
        self.plan = stream_plan(layer.geometry, trim)
        self.state_shapes = {"overlap": (self.plan.overlap_length, layer.out_channels)}

    def signal(self, x):
        x, stride = super().signal(x), self.layer.stride
        tail = x.tail * stride + self.plan.flush_length
        return dataclasses.replace(x, rate=x.rate * stride, latency=self.plan.latency, tail=tail)

    def step(self, x, states, target):
        plan, overlap, chunk = self.plan, states["overlap"], x.shape[1]
        x = tf.cast(x, overlap.dtype)
        samples = self.layer.stride * (tf.shape(x)[1] if chunk is None else chunk)
        if chunk is None:  # a chunk that turns out empty gains a zero, whose samples lie beyond the overlap
            x = tf.pad(x, [[0, 0], [0, tf.maximum(1 - tf.shape(x)[1], 0)], [0, 0]])
        spread = self._spread(x, target)
        if any(plan.fill):
            spread = between_zeros(spread, *plan.fill, 1, target)
        if chunk is None:
            spread = spread[:, : samples + plan.overlap_length]
        if plan.overlap_length:
            spread += between_zeros(overlap, 0, samples, 1, target)
        if chunk is None:
            y, overlap = spread[:, :samples], spread[:, samples:]
        else:
            y, overlap = crop(spread, 0, plan.overlap_length, 1, target), crop(spread, samples, 0, 1, target)
        return self._biased(y), {"overlap": overlap}

    def flush(self, x, states, target):
        y = None
        if x is not None:
            y, states = self.step(x, states, target)
        if not self.plan.flush_length:
            return y
        beyond = self.plan.flush_length - self.plan.overlap_length  # zeros past the last tap
        tail = self._biased(pad_or_crop(states["overlap"], 0, beyond, 1, target))
        return tail if y is None else tf.concat([y, tail], axis=1)

    def _spread(self, x, target):
        """All that a chunk `[N, chunk, C_in]` writes, `[N, (chunk - 1)*stride + kernel_extent, C_out]`, without bias.

        One position alone is multiplied with the weight as it lies, every tap at once: a convolution would pad it on
        both sides and read the weight once for each of the blocks that it reaches.
        """
        geometry, lowering, weight = self.layer.geometry, self.layer.lowering, cast(self.layer.weight, x.dtype)
        if lowering == "auto" and x.shape[1] == 1 and geometry.groups == geometry.dilation == 1:
            in_channels, out_channels, taps = weight.shape
            kernel = tf.reshape(weight, [in_channels, out_channels * taps])
            product = tf.matmul(tf.reshape(x, [-1, in_channels]), kernel)
            return tf.transpose(tf.reshape(product, [-1, out_channels, taps]), [0, 2, 1])
        whole = dataclasses.replace(geometry, padding=0, output_padding=0)
        return ops.apply_geometry(whole, x, weight, None, data_format="channels_last", lowering=lowering, target=target)

    def _biased(self, y):
        bias = cast(self.layer.bias, y.dtype)
        return y if bias is None else y + bias
