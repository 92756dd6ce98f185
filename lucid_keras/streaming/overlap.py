"""`ConvTranspose1d` and `ISTFT` from chunk to chunk: overlap-add.

Each chunk goes through the whole-signal operation without its crops; what its last taps wrote ahead is added to the
next chunk's output. Sums of integers are the same in any order, so chunked and whole output agree to the bit.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from lucid_keras import ops
from lucid_keras._geometry import ConvTranspose1dGeometry
from lucid_keras._lowering.edges import between_zeros, crop, extents, pad_or_crop, reshape
from lucid_keras.layers.istft import SILENT
from lucid_keras.streaming.plan import stream_plan
from lucid_keras.streaming.stage import Signal, Stage, cast


class Transposed(Stage):
    """`ConvTranspose1d`: the sums, without bias, that its taps have written ahead."""

    def __init__(self, layer, trim=0):
        self.layer, self._trim, self.state_dtype = layer, trim, layer.compute_dtype
        self.signal(Signal())

    def signal(self, x):
        stride = self.layer.stride
        self.plan = plan = stream_plan(self.layer.geometry, self._trim, x.tail)
        self.state_shapes = {"overlap": (plan.overlap_length, self.layer.out_channels)}
        self._tail = x.tail * stride + plan.flush_length
        return x.resampled(stride, x.latency * stride + plan.latency, self._tail)

    def step(self, x, states, moment):
        plan, overlap, chunk, target = self.plan, states["overlap"], x.shape[1], moment.target
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

    def flush(self, x, states, moment):
        y, beyond = None, self.plan.flush_length
        if not self._tail:
            return None
        if x is not None:
            y, states = self.step(x, states, moment)
        if beyond <= 0:
            return crop(y, 0, -beyond, 1, moment.target)
        # Zeros where the output goes on past the last tap.
        tail = pad_or_crop(states["overlap"], 0, beyond - self.plan.overlap_length, 1, moment.target)
        tail = self._biased(tail)
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


@dataclasses.dataclass(frozen=True)
class _Shares:
    """What `Transposed` asks of a layer: here one whose weight is each sample's share of the squared windows."""

    geometry: ConvTranspose1dGeometry
    weight: np.ndarray
    compute_dtype: str
    bias = None
    lowering = "auto"
    out_channels = 1

    @property
    def stride(self):
        return self.geometry.stride


class Synthesis(Stage):
    """`ISTFT`: frames overlapped, and over each sample the share of the windows that there are, not all at the ends."""

    def __init__(self, layer):
        synthesis, shares = layer.synthesis, layer.shares()
        self.state_dtype = synthesis.compute_dtype
        self.needs_presence = shares is not None
        self._parts = {"overlap": Transposed(synthesis)}
        if shares is not None:
            geometry = dataclasses.replace(synthesis.geometry, in_channels=1)
            self._parts["windows"] = Transposed(_Shares(geometry, shares, synthesis.compute_dtype))

    def signal(self, x):
        given = [part.signal(x) for part in self._parts.values()]
        self.state_shapes = {name: part.state_shapes["overlap"] for name, part in self._parts.items()}
        return given[0]

    def step(self, x, states, moment):
        outputs, kept = [], {}
        for name, part, given in self._given(x, moment):
            y, after = part.step(given, {"overlap": states[name]}, moment)
            outputs.append(y)
            kept[name] = after["overlap"]
        return _shared(*outputs), kept

    def flush(self, x, states, moment):
        outputs = [part.flush(given, {"overlap": states[name]}, moment) for name, part, given in self._given(x, moment)]
        return None if outputs[0] is None else _shared(*outputs)

    def _given(self, x, moment):
        """Each part with its name and what it is given: the frames, and 1 for each that there is."""
        inputs = {"overlap": x, "windows": None if x is None else moment.there(x)}
        return [(name, part, inputs[name]) for name, part in self._parts.items()]


def _shared(samples, left=None):
    """`[batch, samples]`, divided by what the windows left."""
    if left is not None:
        samples /= tf.maximum(left, SILENT)
    return reshape(samples, extents(samples)[:2])
