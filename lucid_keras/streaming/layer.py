"""`StreamingConvTranspose1d`: a trained `ConvTranspose1d`, chunk by chunk, with explicit state."""

import keras
import tensorflow as tf

from lucid_keras._arguments import checked_count
from lucid_keras.layers.conv_transpose1d import ConvTranspose1d
from lucid_keras.streaming.contract import Streaming
from lucid_keras.streaming.overlap import Transposed
from lucid_keras.streaming.stage import Moment, Signal, fewest_positions, laid_out, sized
from lucid_keras.streaming.states import checked_specs


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
        state_length: int, samples of the overlap.
        flush_length: int, as of a `StreamingModel`; so are `samples_per_position`, `state_shapes`, `data_format` and
            `output_data_format`.

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
        trim = checked_count("trim", trim, "samples")
        kwargs.setdefault("dtype", layer.dtype_policy)
        super().__init__(name=name, **kwargs)
        self.layer = layer
        self.trim = trim
        self._stage = Transposed(layer, trim)
        plan = self._stage.plan
        self.latency, self.state_length, self.flush_length = plan.latency, plan.overlap_length, plan.flush_length
        self.samples_per_position = layer.stride
        self.fewest_positions = fewest_positions([Signal(layer.stride, self.latency, self.flush_length)])
        self.data_format = self.output_data_format = layer.data_format
        whole = (
            (None, layer.in_channels, None) if self.data_format == "channels_first" else (None, None, layer.in_channels)
        )
        self._whole_inputs = {"x": keras.KerasTensor(whole, self.compute_dtype)}
        self._whole_output = keras.KerasTensor(layer.compute_output_shape(whole), self.compute_dtype)
        overlap = sized(self._whole_output, self.data_format, plan.overlap_length)
        self._state_specs = checked_specs({"overlap": tf.TensorSpec(overlap, self.compute_dtype)})
        self.built = True

    def whole(self, x: tf.types.experimental.TensorLike) -> tf.Tensor:
        """The output of a whole signal, which a stream of its chunks equals.

        Args:
            x: the signal, as the layer takes it.

        Returns:
            The layer's output, less `trim` samples at the end.
        """
        y = self.layer(self._checked_chunk(x)[0]["x"])
        return y[self._span(None, -self.trim)] if self.trim else y

    def call(self, x, overlap):
        """A chunk and the overlap to `chunk * stride` samples and the next overlap."""
        y, state = self.step(x, {"overlap": overlap})
        return y, state["overlap"]

    def _step(self, x, state, target):
        overlap, unbatched = self._to_stage(state["overlap"]), x["x"].shape.rank == 2
        y, following = self._stage.step(self._to_stage(x["x"]), {"overlap": overlap}, Moment(target))
        return self._from_stage(y, unbatched), {"overlap": self._from_stage(following["overlap"], unbatched)}

    def _flush(self, state, target):
        overlap = state["overlap"]
        tail = self._stage.flush(None, {"overlap": self._to_stage(overlap)}, Moment(target))
        return None if tail is None else self._from_stage(tail, overlap.shape.rank == 2)

    def _to_stage(self, x):
        """`[batch, positions, channels]`, with a batch of one for a stream that has none."""
        return laid_out(tf.expand_dims(x, 0) if x.shape.rank == 2 else x, self.data_format)

    def _from_stage(self, y, unbatched):
        y = laid_out(y, self.data_format)
        return tf.squeeze(y, 0) if unbatched else y

    def get_config(self):
        return {
            **super().get_config(),
            "layer": keras.saving.serialize_keras_object(self.layer),
            "trim": self.trim,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "layer": keras.saving.deserialize_keras_object(config["layer"])})
