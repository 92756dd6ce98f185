"""`StreamingConvTranspose1d`: a trained `ConvTranspose1d`, chunk by chunk, with explicit state."""

import keras
import tensorflow as tf

from lucid_keras import streaming_step
from lucid_keras._stream_plan import StreamPlan
from lucid_keras.layers.conv_transpose1d import ConvTranspose1d
from lucid_keras.streaming_step import StreamState


@keras.saving.register_keras_serializable(package="lucid_keras")
class StreamingConvTranspose1d(keras.layers.Layer):
    """A `ConvTranspose1d` for a signal that arrives in chunks: the same weights, the same samples, explicit state.

    The chunks' outputs and the flush, one after the other, are the whole signal's output: equal to the bit where the
    values are integers, within rounding elsewhere, for every geometry and every way to cut the signal.

    The state is the overlap: the sums, without bias, that the last taps have written ahead,
    `state_length = max(dilation*(kernel_size - 1) + 1 - stride, padding + trim - output_padding, 0)` samples laid out
    as the output is, `[batch, out_channels, state_length]` or channels last `[batch, state_length, out_channels]`.

    Two forms of one step:

    - `step(x, state)` gives exactly the samples that are complete: none of those that padding cuts away, so the first
      chunks may give fewer than `chunk * stride`.
    - Called as a layer, `y, overlap = streaming(x, overlap)` has fixed shapes, for Keras models and exported files: it
      always gives `chunk * stride` samples, of which the first `latency` of a stream are to be left out.

    Args:
        layer: the `ConvTranspose1d` whose weights are used; they stay the layer's own.
        trim: int, samples to leave out at the signal's end. Default 0. Causal decoders (EnCodec, Mimi) cut
            `kernel_size - stride` there; with `padding=0` the latency is 0 then and the flush empty.
        name: the layer's name.

    Attributes:
        latency: int, samples by which the output lags: after `n` positions of input, `max(n*stride - latency, 0)`
            samples have been given out. It is `padding`, and more where the signal's own output ends before its last
            block does. 0 for causal layers.
        state_length: int, samples of the overlap.
        flush_length: int, samples that the flush gives.

    Raises:
        TypeError, ValueError: `layer` is no `ConvTranspose1d`, `trim` is negative; in `step`, a chunk or a state that
            does not fit, a state of another layer, or one whose stream has been flushed.

    Example:

    >>> import numpy as np
    >>> from lucid_keras import ConvTranspose1d
    >>> decoder = ConvTranspose1d(1, 1, kernel_size=4, stride=2, bias=False, weight_initializer="ones")
    >>> streaming = StreamingConvTranspose1d(decoder)
    >>> state = streaming.initial_state(batch=1)
    >>> y, state = streaming.step(np.array([[[1., 2.]]], "float32"), state)
    >>> print(y.numpy())
    [[[1. 1. 3. 3.]]]
    >>> print(streaming.flush(state).numpy())
    [[[2. 2.]]]

    Source: overlap-add; A. Oppenheim and R. Schafer, "Discrete-Time Signal Processing", section 8.7.
    """

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
    data_format = property(lambda self: self.layer.data_format)

    def initial_state(self, batch: int | None = 1, dtype: str | None = None) -> StreamState:
        """The state of `batch` streams before their first chunk.

        Args:
            batch: int, or None for one unbatched stream. Default 1.
            dtype: what the chunks will have. Default the layer's compute dtype.

        Returns:
            A `StreamState`.
        """
        return streaming_step.initial_state(
            self.plan, batch, dtype or self.compute_dtype, data_format=self.data_format, owner=self.name
        )

    def step(self, x, state: StreamState):
        """One chunk `[batch, in_channels, chunk]` (or channels last) of any length, 0 too.

        Returns:
            The samples that it completes and the next state. The state given is not changed.
        """
        self._check_state(state)
        weight, bias = self._weights(state.overlap.dtype)
        return streaming_step.step(tf.convert_to_tensor(x), weight, bias, state, lowering=self.layer.lowering)

    def flush(self, state: StreamState):
        """The samples that the signal's end releases; the state is spent and no step takes it again.

        Inside a `tf.function` the mark stays on the traced copy, and only there.
        """
        self._check_state(state)
        return streaming_step.flush(state, self._weights(state.overlap.dtype)[1])

    def reset(self, state: StreamState, rows) -> StreamState:
        """The state with the streams where `rows [batch]` is True begun anew; for layers with a latency of 0."""
        self._check_state(state)
        return streaming_step.reset(state, rows)

    def call(self, x, overlap):
        """A chunk and the overlap to `chunk * stride` samples and the next overlap, at fixed shapes."""
        x, overlap = tf.convert_to_tensor(x), tf.convert_to_tensor(overlap)
        weight, bias = self._weights(x.dtype)
        return streaming_step.advance(
            self.plan, x, weight, bias, overlap, data_format=self.data_format, lowering=self.layer.lowering
        )

    def release(self, overlap):
        """The `flush_length` samples that an overlap holds at the signal's end: the fixed-shape form of `flush`."""
        overlap = tf.convert_to_tensor(overlap)
        bias = self._weights(overlap.dtype)[1]
        return streaming_step.release(self.plan, overlap, bias, data_format=self.data_format)

    def compute_output_spec(self, x, overlap):
        streaming_step.check_chunk(self.plan, _static(x), _static(overlap), self.data_format)
        shape = list(x.shape)
        channels, length = (-2, -1) if self.data_format == "channels_first" else (-1, -2)
        shape[channels] = self.plan.geometry.out_channels
        shape[length] = None if shape[length] is None else shape[length] * self.plan.geometry.stride
        return keras.KerasTensor(shape, self.compute_dtype), keras.KerasTensor(overlap.shape, self.compute_dtype)

    def _weights(self, dtype):
        cast = lambda variable: None if variable is None else tf.cast(tf.convert_to_tensor(variable), dtype)  # noqa: E731
        return cast(self.layer.weight), cast(self.layer.bias)

    def _check_state(self, state):
        if not isinstance(state, StreamState):
            raise TypeError(f"state must be what initial_state() or step() gave. Received: state={state!r}")
        if (state.owner, state.plan, state.data_format) != (self.name, self.plan, self.data_format):
            raise ValueError(
                f"The state belongs to another layer, not to {self.name!r} with {self.plan} and "
                f"data_format={self.data_format!r}. "
                f"Received: a state of {state.owner!r} with {state.plan} and data_format={state.data_format!r}"
            )

    def get_config(self):
        return {
            **super().get_config(),
            "layer": keras.saving.serialize_keras_object(self.layer),
            "trim": self.trim,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "layer": keras.saving.deserialize_keras_object(config["layer"])})


def _static(tensor):
    return tf.TensorSpec(tensor.shape, tensor.dtype)
