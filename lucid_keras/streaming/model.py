"""`StreamingModel`: a causal decoder of several layers, chunk by chunk, with every layer's state explicit."""

import functools
from collections.abc import Sequence

import keras
import tensorflow as tf

from lucid_keras._arguments import check_choice
from lucid_keras._lowering.target import current_target
from lucid_keras._names import identifier, scope
from lucid_keras.ops import DATA_FORMATS, DataFormat
from lucid_keras.streaming.contract import Streaming
from lucid_keras.streaming.stage import CannotStreamError, Pointwise, Signal, laid_out
from lucid_keras.streaming.stages import stage_of


@keras.saving.register_keras_serializable(package="lucid_keras")
class StreamingModel(Streaming, keras.Model):
    """A Sequential or functional decoder as a step from a chunk and states to samples and states.

    The decoder's own layers and weights are used. It may hold `ConvTranspose1d`, `Conv1D` with `padding="causal"`
    (dilated too), `LSTM`, `GRU`, `Cropping1D((0, samples))` after a transposed convolution, layers that see one
    position at a time, and models of these, in either data format; `Permute((2, 1))` leads from one to the other.

    `stream(chunks)` gives the whole decode as its chunks come in. Beneath it, `step(x, state)` gives
    `positions * samples_per_position` samples and the next state, `flush(state)` the last `flush_length` samples: one
    after the other, less the first `latency`, they are the whole decode.

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
        state_shapes: dict of each state's shape, without the batch, by its name: the layer's, which graphs and files
            take with letters, digits and underscores alone, and what it remembers.
        data_format: str, of the chunks; `output_data_format` that of the samples.

    Raises:
        TypeError: `decoder` is no functional model.
        ValueError: a layer cannot stream; the message names it and says why. An unknown `data_format`. In `step`,
            `flush` and `reset`, a chunk or a state that does not fit.

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
    >>> frames = np.random.default_rng(0).standard_normal((1, 6, 8))
    >>> live = np.concatenate(list(streaming.stream(np.split(frames, 6, axis=1))), axis=1)
    >>> live.shape, bool(np.allclose(live, streaming.whole(frames), atol=1e-5))
    ((1, 30, 1), True)
    >>> y, state = streaming.step(frames[:, :1], streaming.initial_state(batch=1))
    >>> tuple(y.shape), streaming.latency, list(state) == list(streaming.state_shapes)
    ((1, 5, 1), 0, True)

    Source: the states are those of overlap-add (A. Oppenheim and R. Schafer, "Discrete-Time Signal Processing",
    section 8.7), of the delay line of an FIR filter, and of the recurrence itself.
    """

    def __init__(
        self,
        decoder: keras.Model,
        pointwise: Sequence[type] = (),
        *,
        data_format: DataFormat | None = None,
        name: str | None = None,
    ):
        if not is_graph(decoder):
            raise TypeError(
                f"decoder must be a built Sequential or functional keras.Model. Received: decoder={decoder!r}"
            )
        if len(decoder.inputs) != 1 or len(decoder.outputs) != 1:
            raise ValueError(
                "decoder must have one input and one output. "
                f"Received: {len(decoder.inputs)} inputs and {len(decoder.outputs)} outputs"
            )
        data_format = _data_format_of(decoder.inputs[0].shape) if data_format is None else data_format
        check_choice("data_format", data_format, DATA_FORMATS)
        if not isinstance(pointwise, (list, tuple)) or not all(isinstance(one, type) for one in pointwise):
            raise TypeError(f"pointwise must be a list of layer classes. Received: pointwise={pointwise!r}")
        name = f"{decoder.name}_streaming" if name is None else name
        super().__init__(name=name, dtype=decoder.dtype_policy)
        self.decoder = decoder
        self.pointwise = tuple(pointwise)
        self.data_format = data_format
        self._input, self._output = decoder.inputs[0], decoder.outputs[0]
        self._stages: dict[str, Pointwise] = {}
        self.signals: dict[str, Signal] = {}
        signal = self._run(decoder, Signal(data_format=data_format), self._planned)
        self.samples_per_position, self.latency, self.flush_length = signal.rate, signal.latency, signal.tail
        self.output_data_format = signal.data_format
        self._state_specs = _specs(self._stages)
        self.built = True

    def whole(self, x: tf.types.experimental.TensorLike) -> tf.Tensor:
        """The decode of a whole signal in inference mode, which a stream of its chunks equals.

        Args:
            x: the signal, of shape `chunk_shape(batch, positions)`.

        Returns:
            The decoder's output, in `output_data_format`.
        """
        return self.decoder(self._checked_chunk(x)[0], training=False)

    def call(self, x, state):
        """`step`, under the name that Keras calls."""
        return self.step(x, state)

    def observed_step(self, x, state, seen):
        """`step` for arguments that are known to fit, which shows what each layer gives.

        Args:
            x, state: as for `step`, as tensors of the right dtypes.
            seen: a dict that takes each layer's samples by the layer's path, channels last.

        Returns:
            As `step`.
        """
        return self._step(x, state, current_target(), seen)

    def _planned(self, path, layer, *inputs):
        """The signal after the layer, whose stage is made, or which is refused by name, before any sample."""
        try:
            stage = stage_of(layer, self.pointwise, inputs[0].data_format)
            if path in self._stages and (stage.state_shapes or stage.sees == "channels_first"):
                raise CannotStreamError("it is used twice, and each use would need a state or a data format of its own")
            self._stages[path], self.signals[path] = stage, stage.signal(*inputs)
        except CannotStreamError as reason:
            raise ValueError(_refusal(layer, reason)) from None
        return self.signals[path]

    def _step(self, x, state, target, seen=None):
        following = {}

        def through(path, _, *inputs):
            with _scoped(path):
                y, own = self._stages[path].step(_one_or_all(inputs), self._own(path, state), target)
            following.update({_name(path, kind): tensor for kind, tensor in own.items()})
            if seen is not None:
                seen[path] = y
            return y

        y = self._run(self.decoder, laid_out(x, self.data_format), through)
        return laid_out(y, self.output_data_format), following

    def _flush(self, state, target):
        def through(path, _, *inputs):
            with _scoped(path):
                return self._stages[path].flush(_one_or_all(inputs), self._own(path, state), target)

        tail = self._run(self.decoder, None, through)
        return None if tail is None else laid_out(tail, self.output_data_format)

    def _own(self, path, state):
        """The states of the layer at a path, by what they are."""
        return {kind: state[_name(path, kind)] for kind in self._stages[path].state_shapes}

    def _run(self, model, x, through, above=""):
        """`x` through the model's graph, each layer replaced by `through(path, layer, *inputs)`."""

        def replaced(operation):
            path = f"{above}{operation.name}"
            if is_graph(operation):
                return lambda inputs, **_: self._run(operation, inputs, through, above=f"{path}/")
            return functools.partial(call, path, operation)

        def call(path, operation, *arguments, **named):
            if len(arguments) != 1 or any(value is not None for key, value in named.items() if key != "training"):
                raise ValueError(_refusal(operation, "it is called with more than its input"))
            inputs = arguments[0] if isinstance(arguments[0], (list, tuple)) else arguments
            return through(path, operation, *inputs)

        if isinstance(model, keras.Sequential):
            for layer in model.layers:
                x = replaced(layer)(x)
            return x
        return model._run_through_graph([x], operation_fn=replaced)  # no public way to walk a model's graph

    def get_config(self):
        return {
            "decoder": keras.saving.serialize_keras_object(self.decoder),
            "pointwise": [keras.saving.get_registered_name(kind) for kind in self.pointwise],
            "data_format": self.data_format,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The model of a config; the classes in `pointwise` are those that Keras knows by their registered names."""
        pointwise = [_registered_class(name, custom_objects) for name in config["pointwise"]]
        decoder = keras.saving.deserialize_keras_object(config["decoder"], custom_objects)
        return cls(**{**config, "decoder": decoder, "pointwise": pointwise})


def _scoped(path):
    """The scope by which a file's report and its refusals find the layer at a path; the same for each of its uses."""
    return tf.name_scope(f"{scope(path)}/")


def is_graph(operation):
    """Whether it is a built Sequential or functional model, whose layers can be walked."""
    return isinstance(operation, keras.Model) and bool(getattr(operation, "inputs", None))


def _data_format_of(shape):
    """The data format of an input by the one axis that it leaves open."""
    return "channels_first" if len(shape) == 3 and shape[1] is not None and shape[2] is None else "channels_last"


def _name(path, kind):
    return identifier(f"{path}_{kind}")


def _specs(stages):
    """Each state's shape, without the batch, and its dtype by name; refuses two of one name."""
    specs, owners = {}, {}
    for path, stage in stages.items():
        for kind, shape in stage.state_shapes.items():
            name = _name(path, kind)
            if name in specs:
                reason = f"its state {name} would be named as that of {owners[name]!r} is; rename one of the two layers"
                raise ValueError(_refusal(stage.layer, reason))
            specs[name], owners[name] = tf.TensorSpec(shape, stage.layer.compute_dtype), path
    return specs


def _registered_class(name, custom_objects):
    kind = keras.saving.get_registered_object(name, custom_objects) or getattr(keras.layers, name, None)
    if kind is None:
        raise ValueError(
            "The classes in `pointwise` must be known to Keras before a StreamingModel is loaded: decorate them with "
            "@keras.saving.register_keras_serializable(), or give load_model() custom_objects={name: class}. "
            f"Received: the unknown class {name!r}"
        )
    return kind


def _refusal(operation, reason):
    return f"{operation.name!r} cannot stream: {reason}. Received: {type(operation).__name__} named {operation.name!r}"


def _one_or_all(inputs):
    """The inputs as a layer takes them: one alone, or a list; None if a tail is missing."""
    if any(x is None for x in inputs):
        return None
    return inputs[0] if len(inputs) == 1 else list(inputs)
