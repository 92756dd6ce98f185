"""`StreamingModel`: a causal decoder of several layers, chunk by chunk, with every layer's state explicit."""

import functools
from collections.abc import Sequence

import keras
import tensorflow as tf

from lucid_keras.layers.streaming_stages import CannotStreamError, Signal, stage_of


class StreamingModel(keras.Model):
    """A Sequential or functional decoder as a step from a chunk and states to samples and states.

    The decoder's own layers and weights are used. Its time axis is axis 1, `[batch, positions, channels]`. It may
    hold `ConvTranspose1d`, `Conv1D` with `padding="causal"` (dilated too), `LSTM`, `GRU`, `Cropping1D((0, samples))`
    after a transposed convolution, layers that see one position at a time, and models of these.

    Args:
        decoder: a built `keras.Sequential` or functional `keras.Model` with one input and one output.
        pointwise: further layer classes that see one position at a time, such as your own activations. Default none.
        name: the model's name.

    Attributes:
        samples_per_position: int, output samples for each input position.
        latency: int, samples at the beginning of a stream's output that are to be left out; 0 for causal decoders.
        flush_length: int, samples that the end of a stream releases.
        state_shapes: dict of each state's shape, without the batch, by name.

    Raises:
        TypeError: `decoder` is no functional model.
        ValueError: a layer cannot stream; the message names it and says why. In `step`, a chunk or state that does
            not fit, or a state whose stream was flushed.

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

    def __init__(self, decoder: keras.Model, pointwise: Sequence[type] = (), *, name: str | None = None):
        if not _is_graph(decoder):
            raise TypeError(
                f"decoder must be a built Sequential or functional keras.Model. Received: decoder={decoder!r}"
            )
        if len(decoder.inputs) != 1 or len(decoder.outputs) != 1:
            raise ValueError(
                "decoder must have one input and one output. "
                f"Received: {len(decoder.inputs)} inputs and {len(decoder.outputs)} outputs"
            )
        super().__init__(name=name or f"{decoder.name}_streaming")
        self.decoder = decoder
        self._pointwise = tuple(pointwise)
        self._stages = {}
        signal = self._run(decoder, Signal(), _planner())
        self.samples_per_position, self.latency, self.flush_length = signal.rate, signal.latency, signal.tail
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

    def initial_state(self, batch: int = 1) -> dict:
        """The states of `batch` streams before their first chunk: a dict of tensors by name."""
        return {name: tf.zeros([batch, *shape], self._state_dtypes[name]) for name, shape in self.state_shapes.items()}

    def step(self, x, states: dict):
        """One chunk `[batch, positions, channels]` and the states to `positions * samples_per_position` samples.

        Returns:
            The samples `[batch, samples, channels]`, whose first `latency` in a stream are to be left out, and the
            next states. The states given are not changed.
        """
        x = tf.convert_to_tensor(x)
        self._check_names(states)
        states = {name: tf.convert_to_tensor(state) for name, state in states.items()}
        self._check_shapes(x, states)
        following = {}

        def through(name, stage, *inputs):
            own = {state: states[f"{name}_{state}"] for state in stage.state_shapes}
            y, own = stage.step(_one_or_all(inputs), own)
            following.update({f"{name}_{state}": value for state, value in own.items()})
            return y

        return self._run(self.decoder, x, through), following

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

        def through(name, stage, *inputs):
            own = {state: ending[f"{name}_{state}"] for state in stage.state_shapes}
            return stage.flush(_one_or_all(inputs), own)

        tail = self._run(self.decoder, None, through)
        if tail is None:
            batch = tf.shape(next(iter(ending.values())))[0] if ending else 1
            return tf.zeros([batch, 0, *self.decoder.outputs[0].shape[2:]], self.decoder.compute_dtype)
        return tail

    def reset(self, states: dict, rows) -> dict:
        """The states with the streams where `rows [batch]` is True begun anew and the others where they were."""
        rows = tf.convert_to_tensor(rows, tf.bool)
        self._check_names(states)

        def reset_rows(state):
            return tf.where(tf.reshape(rows, [-1] + [1] * (state.shape.rank - 1)), tf.zeros_like(state), state)

        return {name: reset_rows(state) for name, state in states.items()}

    def _run(self, model, x, through, prefix=""):
        """`x` through the model's graph, each layer replaced by `through(name, stage, *inputs)`."""

        def replaced(operation):
            name = f"{prefix}{operation.name}"
            if _is_graph(operation):
                return lambda inputs, **_: self._run(operation, inputs, through, prefix=f"{name}_")
            return functools.partial(call, name, operation)

        def call(name, operation, *arguments, **named):
            if len(arguments) != 1 or any(value is not None for key, value in named.items() if key != "training"):
                raise ValueError(_refusal(operation, "it is called with more than its input"))
            inputs = arguments[0] if isinstance(arguments[0], (list, tuple)) else arguments
            return through(name, self._stage(name, operation), *inputs)

        if isinstance(model, keras.Sequential):
            for layer in model.layers:
                x = replaced(layer)(x)
            return x
        return model._run_through_graph([x], operation_fn=replaced)  # no public way to walk a model's graph

    def _stage(self, name, operation):
        if name not in self._stages:
            try:
                self._stages[name] = stage_of(operation, self._pointwise)
            except CannotStreamError as reason:
                raise ValueError(_refusal(operation, reason)) from None
        return self._stages[name]

    def _check_shapes(self, x, states):
        expected = self.decoder.inputs[0].shape
        if x.shape.rank != len(expected) or x.shape[2:].as_list() != list(expected[2:]):
            raise ValueError(
                f"A chunk must have the shape [batch, positions, {', '.join(map(str, expected[2:]))}]. "
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


def _planner():
    """What follows the signal through a decoder's stages before any sample does, and refuses by name."""
    met = set()

    def through(name, stage, *inputs):
        if name in met and stage.state_shapes:
            raise ValueError(_refusal(stage.layer, "it is used twice, and each use would need a state of its own"))
        met.add(name)
        try:
            return stage.signal(*inputs)
        except CannotStreamError as reason:
            raise ValueError(_refusal(stage.layer, reason)) from None

    return through


def _refusal(operation, reason):
    return f"{operation.name!r} cannot stream: {reason}. Received: {type(operation).__name__} named {operation.name!r}"


def _one_or_all(inputs):
    """The inputs as a layer takes them: one alone, or a list; None if a tail is missing."""
    if any(x is None for x in inputs):
        return None
    return inputs[0] if len(inputs) == 1 else list(inputs)
