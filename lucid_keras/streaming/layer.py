"""`StreamingConvTranspose1d`: a trained `ConvTranspose1d`, chunk by chunk, with explicit state."""

import keras
import tensorflow as tf

from lucid_keras.layers.conv_transpose1d import ConvTranspose1d
from lucid_keras.streaming.contract import Streaming
from lucid_keras.streaming.overlap import advance, release
from lucid_keras.streaming.plan import StreamPlan


@keras.saving.register_keras_serializable(package="lucid_keras")
class StreamingConvTranspose1d(Streaming, keras.layers.Layer):
    """A `ConvTranspose1d` for a signal that arrives in chunks: the same weights, the same samples, explicit state.

    `stream(chunks)` gives the whole signal's output as its chunks come in: equal to the bit where the values are
    integers, within rounding elsewhere, for every geometry and every way to cut the signal. Beneath it,
    `step(x, state)` gives `chunk * stride` samples and the next state, `flush(state)` the last `flush_length` samples:
    one after the other, less the first `latency`, they are that output.

    The state is a dict of one tensor, `overlap`: the sums, without bias, that the last taps have written ahead,
    `state_length = max(dilation*(kernel_size - 1) + 1 - stride, padding + trim - output_padding, 0)` samples laid out
    as the output is, `[batch, out_channels, state_length]` or channels last `[batch, state_length, out_channels]`.
    Called as a layer, `y, overlap = streaming(x, overlap)` is a step, for Keras models. A stream without a batch, of
    `[in_channels, chunk]`, begins with `initial_state(batch=None)`.

    Args:
        layer: the `ConvTranspose1d` whose weights are used; they stay the layer's own.
        trim: int, samples to leave out at the signal's end. Default 0. Causal decoders (EnCodec, Mimi) cut
            `kernel_size - stride` there; with `padding=0` the latency is 0 then and the flush empty.
        name: the layer's name.

    Attributes:
        latency: int, samples by which the output lags: `padding`, and more where the signal's own output ends before
            its last block does; 0 for causal layers.
        flush_length, samples_per_position, state_shapes, data_format, output_data_format: as of a `StreamingModel`.
        state_length: int, samples of the overlap.

    Raises:
        TypeError, ValueError: `layer` is no `ConvTranspose1d`, `trim` is negative; in `step`, `flush` and `reset`, a
            chunk or a state that does not fit.

    Example:

    >>> import numpy as np
    >>> from lucid_keras import ConvTranspose1d
    >>> decoder = ConvTranspose1d(1, 1, kernel_size=4, stride=2, bias=False, weight_initializer="ones")
    >>> streaming = StreamingConvTranspose1d(decoder)
    >>> for samples in streaming.stream([np.array([[[1., 2.]]]), np.array([[[5.]]])]):
    ...     print(samples.numpy())
    [[[1. 1. 3. 3.]]]
    [[[7. 7.]]]
    [[[5. 5.]]]
    >>> y, state = streaming.step(np.array([[[1., 2.]]]), streaming.initial_state())
    >>> print(y.numpy(), streaming.flush(state).numpy())
    [[[1. 1. 3. 3.]]] [[[2. 2.]]]

    Source: overlap-add; A. Oppenheim and R. Schafer, "Discrete-Time Signal Processing", section 8.7.
    """

    _takes_unbatched = True

    def __init__(self, layer: ConvTranspose1d, trim: int = 0, *, name: str | None = None, **kwargs):
        if not isinstance(layer, ConvTranspose1d):
            raise TypeError(f"layer must be a ConvTranspose1d. Received: layer={layer!r}")
        plan = StreamPlan(layer.geometry, trim)
        kwargs.setdefault("dtype", layer.dtype_policy)
        super().__init__(name=name, **kwargs)
        self.layer = layer
        self.plan = plan
        self.built = True

    trim = property(lambda self: self.plan.trim)
    latency = property(lambda self: self.plan.latency)
    state_length = property(lambda self: self.plan.overlap_length)
    flush_length = property(lambda self: self.plan.flush_length)
    samples_per_position = property(lambda self: self.layer.stride)
    data_format = property(lambda self: self.layer.data_format)
    output_data_format = property(lambda self: self.layer.data_format)
    _chunk_channels = property(lambda self: [self.layer.in_channels])
    chunk_dtype = property(lambda self: self.compute_dtype)

    @property
    def _state_specs(self):
        return {"overlap": tf.TensorSpec(self.plan.overlap_shape(self.data_format), self.compute_dtype)}

    def whole(self, x: tf.types.experimental.TensorLike) -> tf.Tensor:
        """The output of a whole signal, which a stream of its chunks equals: the layer's, less `trim` at the end."""
        y = self.layer(x)
        return y[self._span(None, -self.trim)] if self.trim else y

    def call(self, x, overlap):
        """A chunk and the overlap to `chunk * stride` samples and the next overlap."""
        y, state = self.step(x, {"overlap": overlap})
        return y, state["overlap"]

    def _step(self, x, state, target):
        layer, overlap = self.layer, state["overlap"]
        y, overlap = advance(self.plan, x, layer.weight, layer.bias, overlap, self.data_format, layer.lowering, target)
        return y, {"overlap": overlap}

    def _flush(self, state, target):
        return release(self.plan, state["overlap"], self.layer.bias, self.data_format, target)

    def get_config(self):
        return {
            **super().get_config(),
            "layer": keras.saving.serialize_keras_object(self.layer),
            "trim": self.trim,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "layer": keras.saving.deserialize_keras_object(config["layer"])})
