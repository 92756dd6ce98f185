"""`StreamingModel`: a causal decoder of several layers, chunk by chunk, with every layer's state explicit."""

import functools
from collections.abc import Sequence

import keras
import tensorflow as tf

from lucid_keras.layers.streaming_signal import CannotStreamError, Signal, turn
from lucid_keras.layers.streaming_stages import stage_of
from lucid_keras.ops import DATA_FORMATS, check_choice


class StreamingModel(keras.Model):
    """A Sequential or functional decoder as a step from a chunk and states to samples and states.

    The decoder's own layers and weights are used. It may hold `ConvTranspose1d`, `Conv1D` with `padding="causal"`
    (dilated too), `LSTM`, `GRU`, `Cropping1D((0, samples))` after a transposed convolution, layers that see one
    position at a time, and models of these, in either data format; `Permute((2, 1))` leads from one to the other.

    Chunks and samples are in the data formats of the decoder's input and output. The step computes channels last
    whatever those are, and so are the states: `[batch, samples or positions, channels]` and `[batch, units]`.

    Args:
        decoder: a built `keras.Sequential` or functional `keras.Model` with one input and one output.
        pointwise: further layer classes that see one position at a time, such as your own activations. Default none.
        data_format: of the decoder's input, `"channels_last"` or `"channels_first"`. Default None: channels first
            where its last axis alone is open, `keras.Input((channels, None))`, and channels last otherwise.
        name: the model's name.

    Attributes:
        samples_per_position: int, output samples for each input position.
        latency: int, samples at the beginning of a stream's output that are to be left out; 0 for causal decoders.
        flush_length: int, samples that the end of a stream releases.
        state_shapes: dict of each state's shape, without the batch, by name.
        data_format: str, of the chunks; `output_data_format` that of the samples.

    Raises:
        TypeError: `decoder` is no functional model.
        ValueError: a layer cannot stream; the message names it and says why. An unknown `data_format`. In `step`, a
            chunk or state that does not fit, or a state whose stream was flushed.

    Example:

    >>> import numpy as np
    >>> from lucid_keras import ConvTranspose1d
    >>> decoder = keras.Sequential([
    ...     keras.Input((None, 8)),
    ...     keras.layers.Conv1D(8, 7, padding="causal"),
    ...     ConvTranspose1d(8, 1, kernel_size=10, stride=5, data_format="channels_last"),
    ...     keras.layers.Cropping1D((0, 5)),
    ... ])
    >>> streaming = StreamingModel(decoder)
    >>> states = streaming.initial_state(batch=1)
    >>> y, states = streaming.step(np.zeros((1, 1, 8), "float32"), states)
    >>> tuple(y.shape), streaming.latency
    ((1, 5, 1), 0)

    Source: the states are those of overlap-add (A. Oppenheim and R. Schafer, "Discrete-Time Signal Processing",
    section 8.7), of the delay line of an FIR filter, and of the recurrence itself.
    """

    def __init__(
        self,
        decoder: keras.Model,
        pointwise: Sequence[type] = (),
        *,
        data_format: str | None = None,
        name: str | None = None,
    ):
        if not _is_graph(decoder):
            raise TypeError(
                f"decoder must be a built Sequential or functional keras.Model. Received: decoder={decoder!r}"
            )
        if len(decoder.inputs) != 1 or len(decoder.outputs) != 1:
            raise ValueError(
                "decoder must have one input and one output. "
                f"Received: {len(decoder.inputs)} inputs and {len(decoder.outputs)} outputs"
            )
        data_format = data_format or _data_format_of(decoder.inputs[0].shape)
        check_choice("data_format", data_format, DATA_FORMATS)
        super().__init__(name=name or f"{decoder.name}_streaming")
        self.decoder = decoder
        self.data_format = data_format
        self._stages = {}
        signal = self._run(decoder, Signal(data_format=data_format), _planner(self._stages, tuple(pointwise)))
        self.samples_per_position, self.latency, self.flush_length = signal.rate, signal.latency, signal.tail
        self.output_data_format = signal.data_format
        self.state_shapes = {
            f"{layer_name}_{name}": shape
            for layer_name, stage in self._stages.items()
            for name, shape in stage.state_shapes.items()
        }
        self._state_dtypes = {
            f"{layer_name}_{name}": stage.layer.compute_dtype
            for layer_name, stage in self._stages.items()
            for name in stage.state_shapes
        }
        self.built = True

    def chunk_shape(self, batch: int | None, positions: int | None) -> list:
        """The shape of a chunk in the decoder's data format."""
        channels = _channels(self.decoder.inputs[0].shape, self.data_format)
        return [batch, *channels, positions] if self.data_format == "channels_first" else [batch, positions, *channels]

    def initial_state(self, batch: int = 1) -> dict:
        """The states of `batch` streams before their first chunk: a dict of tensors by name."""
        return {name: tf.zeros([batch, *shape], self._state_dtypes[name]) for name, shape in self.state_shapes.items()}

    def step(self, x, states: dict):
        """One chunk `[batch, positions, channels]`, or channels first, and the states to the samples it completes.

        Returns:
            The samples `[batch, positions * samples_per_position, channels]`, or channels first, whose first `latency`
            in a stream are to be left out, and the next states. The states given are not changed.
        """
        x = tf.convert_to_tensor(x)
        self._check_names(states)
        states = {name: tf.convert_to_tensor(state) for name, state in states.items()}
        self._check_shapes(x, states)
        following = {}

        def through(name, _, *inputs):
            stage = self._stages[name]
            own = {state: states[f"{name}_{state}"] for state in stage.state_shapes}
            y, own = stage.step(_one_or_all(inputs), own)
            following.update({f"{name}_{state}": value for state, value in own.items()})
            return y

        y = self._run(self.decoder, turn(x) if self.data_format == "channels_first" else x, through)
        return self._in_output_format(y), following

    def call(self, x, states):
        """`step`, under the name that Keras calls."""
        return self.step(x, states)

    def flush(self, states: dict):
        """The `flush_length` samples that the end of the streams releases.

        The streams are over: the dict is emptied, and no step takes it again.
        """
        self._check_names(states)
        ending = dict(states)
        states.clear()

        def through(name, _, *inputs):
            stage = self._stages[name]
            own = {state: ending[f"{name}_{state}"] for state in stage.state_shapes}
            return stage.flush(_one_or_all(inputs), own)

        tail = self._run(self.decoder, None, through)
        if tail is None:
            batch = tf.shape(next(iter(ending.values())))[0] if ending else 1
            channels = _channels(self.decoder.outputs[0].shape, self.output_data_format)
            tail = tf.zeros([batch, 0, *channels], self.decoder.compute_dtype)
        return self._in_output_format(tail)

    def _in_output_format(self, y):
        return turn(y) if self.output_data_format == "channels_first" else y

    def reset(self, states: dict, rows) -> dict:
        """The states with the streams where `rows [batch]` is True begun anew and the others where they were."""
        rows = tf.convert_to_tensor(rows, tf.bool)
        self._check_names(states)

        def reset_rows(state):
            return tf.where(tf.reshape(rows, [-1] + [1] * (state.shape.rank - 1)), tf.zeros_like(state), state)

        return {name: reset_rows(state) for name, state in states.items()}

    def _run(self, model, x, through, prefix=""):
        """`x` through the model's graph, each layer replaced by `through(name, layer, *inputs)`."""

        def replaced(operation):
            name = f"{prefix}{operation.name}"
            if _is_graph(operation):
                return lambda inputs, **_: self._run(operation, inputs, through, prefix=f"{name}_")
            return functools.partial(call, name, operation)

        def call(name, operation, *arguments, **named):
            if len(arguments) != 1 or any(value is not None for key, value in named.items() if key != "training"):
                raise ValueError(_refusal(operation, "it is called with more than its input"))
            inputs = arguments[0] if isinstance(arguments[0], (list, tuple)) else arguments
            return through(name, operation, *inputs)

        if isinstance(model, keras.Sequential):
            for layer in model.layers:
                x = replaced(layer)(x)
            return x
        return model._run_through_graph([x], operation_fn=replaced)  # no public way to walk a model's graph

    def _check_shapes(self, x, states):
        if not x.shape.is_compatible_with(self.chunk_shape(None, None)):
            raise ValueError(
                f"A chunk must have the shape [{', '.join(map(str, self.chunk_shape('batch', 'positions')))}]. "
                f"Received: a chunk of shape {x.shape.as_list()}"
            )
        for name, state in states.items():
            fits = [x.shape[0], *self.state_shapes[name]]
            if not state.shape.is_compatible_with(fits):
                raise ValueError(
                    f"The state {name} must have the shape {fits} for this chunk. "
                    f"Received: {name} of shape {state.shape.as_list()}, a chunk of shape {x.shape.as_list()}"
                )
            if state.dtype != self._state_dtypes[name]:
                raise TypeError(
                    f"The state {name} must have the dtype {self._state_dtypes[name]}. "
                    f"Received: {name} of dtype {state.dtype.name}"
                )

    def _check_names(self, states):
        if states.keys() != self.state_shapes.keys():
            raise ValueError(
                "states must be what initial_state() or step() gave, and not flushed since. "
                f"Received: states named {sorted(states)}, where {sorted(self.state_shapes)} are needed"
            )


def _is_graph(operation):
    """Whether it is a built Sequential or functional model, whose layers can be walked."""
    return isinstance(operation, keras.Model) and bool(getattr(operation, "inputs", None))


def _data_format_of(shape):
    """The data format of an input by the one axis that it leaves open."""
    return "channels_first" if len(shape) == 3 and shape[1] is not None and shape[2] is None else "channels_last"


def _channels(shape, data_format):
    """The channels of a whole signal's shape, in a list; an empty one for the indices that an embedding takes."""
    return list(shape[1:2] if data_format == "channels_first" else shape[2:])


def _planner(stages, pointwise):
    """What follows the signal through a decoder before any sample does, makes the stages, and refuses by name."""

    def through(name, layer, *inputs):
        try:
            stage = stage_of(layer, pointwise, inputs[0].data_format)
            if name in stages and (stage.state_shapes or stage.turned):
                raise CannotStreamError("it is used twice, and each use would need a state or a data format of its own")
            stages[name] = stage
            return stage.signal(*inputs)
        except CannotStreamError as reason:
            raise ValueError(_refusal(layer, reason)) from None

    return through


def _refusal(operation, reason):
    return f"{operation.name!r} cannot stream: {reason}. Received: {type(operation).__name__} named {operation.name!r}"


def _one_or_all(inputs):
    """The inputs as a layer takes them: one alone, or a list; None if a tail is missing."""
    if any(x is None for x in inputs):
        return None
    return inputs[0] if len(inputs) == 1 else list(inputs)
