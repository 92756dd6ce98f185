"""`StreamingModel`: a decoder of several layers, chunk by chunk, with every layer's state explicit."""

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from lucid_keras._arguments import check_choice, number
from lucid_keras._lowering.target import current_target
from lucid_keras.ops import DATA_FORMATS, DataFormat
from lucid_keras.streaming.contract import Streaming
from lucid_keras.streaming.description import description
from lucid_keras.streaming.graph import Graph, is_graph
from lucid_keras.streaming.stage import laid_out
from lucid_keras.streaming.states import checked_specs


@keras.saving.register_keras_serializable(package="lucid_keras")
class StreamingModel(Streaming, keras.Model):
    """A Sequential or functional decoder as a step from a chunk and states to samples and states.

    The decoder's own layers and weights are used, unchanged. Layers that look ahead become a latency, the least with
    which the decoder can stream; branches that meet are delayed to the same latency, and no layer hears what precedes
    the signal. So the stream is exact from the first sample to the last, for signals of any length and every chunking.

    The decoder may hold `ConvTranspose1d`, `Conv1D`, `DepthwiseConv1D`, `SeparableConv1D` and `AveragePooling1D` of any
    padding, stride and dilation, `ZeroPadding1D`, `Cropping1D`, `UpSampling1D`, `LSTM`, `GRU`, `ISTFT`, layers and
    Keras operations that see one position at a time (`x + y`, `x[:, :, :4]`, `keras.ops.tanh`), slices and zero padding
    of the positions (`x[:, 1:-2]`, `keras.ops.pad`), models of these, and layers that bring a `Stage` of their own; in
    either data format, `Permute((2, 1))` leads from one to the other.

    `stream(chunks)` gives the whole decode as its chunks come in. Beneath it, `step(x, state)` gives
    `positions * samples_per_position` samples and the next state, `flush(state)` the last `flush_length` samples: one
    after the other, less the first `latency`, they are the whole decode.

    Chunks and samples are in the data formats of the decoder's input and output. The step computes channels last
    whatever those are, and so are the states: `[batch, samples or positions, channels]` and `[batch, units]`.

    Of several inputs those with an open length are the stream's, of one number of positions each; those without, such
    as a speaker's embedding, are the same throughout a stream and given with each chunk. A chunk then is a dict by
    name.

    Args:
        decoder: a built `keras.Sequential` or functional `keras.Model` with one output.
        pointwise: further layers that see one position at a time, such as your own activations: their classes or their
            names, or the functions of `Lambda` layers. Default none.
        data_format: of the decoder's inputs, `"channels_last"` or `"channels_first"`. Default None: channels first
            where the first one's last axis alone is open, `keras.Input((channels, None))`, else channels last.
        name: the model's name.

    Attributes:
        samples_per_position: int, output samples for each input position; a `fractions.Fraction` below 1 for encoders.
        granularity: int, positions of which a chunk has to be a multiple: 1, but for layers of a stride.
        latency: int, samples at the beginning of a stream's output that are to be left out; 0 for causal decoders.
        flush_length: int, samples that the end of a stream releases.
        fewest_positions: int, those of a signal from which every layer makes a sample.
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
    ...     keras.layers.Conv1D(8, 7, padding="same", name="pre"),
    ...     ConvTranspose1d(8, 1, kernel_size=8, stride=4, padding=2, data_format="channels_last", name="up"),
    ... ])
    >>> streaming = StreamingModel(decoder)
    >>> frames = np.random.default_rng(0).standard_normal((1, 6, 8))
    >>> live = np.concatenate(list(streaming.stream(np.split(frames, 6, axis=1))), axis=1)
    >>> live.shape, bool(np.allclose(live, streaming.whole(frames), atol=1e-5))
    ((1, 24, 1), True)
    >>> y, state = streaming.step(frames[:, :1], streaming.initial_state(batch=1))
    >>> tuple(y.shape), streaming.latency, list(state) == list(streaming.state_shapes)
    ((1, 4, 1), 14, True)
    >>> print(streaming.describe(sample_rate=8000))
    layer  adds      latency  states  the signal's delay
    pre      12  12 (1.5 ms)   192 B  #####################
    up        2  14 (1.8 ms)    16 B  ########################
    latency 14 (1.8 ms), 220 bytes of states a stream

    Source: the states are those of overlap-add (A. Oppenheim and R. Schafer, "Discrete-Time Signal Processing",
    section 8.7), of the delay line of an FIR filter, and of the recurrence itself; look-ahead as a delay to which
    branches are aligned: A. Caillon and P. Esling, "Streamable Neural Audio Synthesis With Non-Causal Convolutions",
    arXiv:2204.07064.
    """

    def __init__(
        self,
        decoder: keras.Model,
        pointwise: Sequence[type | Callable | str] = (),
        *,
        data_format: DataFormat | None = None,
        name: str | None = None,
    ):
        if not is_graph(decoder):
            raise TypeError(
                f"decoder must be a built Sequential or functional keras.Model. Received: decoder={decoder!r}"
            )
        if len(decoder.outputs) != 1:
            raise ValueError(f"decoder must have one output. Received: {len(decoder.outputs)} outputs")
        data_format = _data_format_of(decoder.inputs[0].shape) if data_format is None else data_format
        check_choice("data_format", data_format, DATA_FORMATS)
        if not isinstance(pointwise, (list, tuple)) or not all(
            isinstance(one, str) or callable(one) for one in pointwise
        ):
            raise TypeError(
                "pointwise must be a list of layer classes, functions and layers' names. "
                f"Received: pointwise={pointwise!r}"
            )
        name = f"{decoder.name}_streaming" if name is None else name
        super().__init__(name=name, dtype=decoder.dtype_policy)
        self.decoder = decoder
        self.pointwise = tuple(pointwise)
        self.data_format = data_format
        self._graph = graph = Graph(decoder, self.pointwise, data_format)
        self._made = [layer for model in graph.made for layer in model.layers if layer.weights]  # tracked so
        signal = graph.output.signal
        self._whole_inputs = {name: place.spec for name, place in graph.inputs.items()}
        self._constant = frozenset(name for name, place in graph.inputs.items() if place.signal is None)
        self._whole_output = graph.output.spec
        self.samples_per_position = _whole(signal.rate)
        self.latency, self.flush_length, self.granularity = signal.latency, signal.tail, graph.granularity
        self.output_data_format = signal.data_format
        self.fewest_positions = graph.fewest_positions
        self.signals = {node.path: node.outputs[0].signal for node in graph.nodes if node.name == node.path}
        given = {
            _given(name): tf.TensorSpec(self._whole_inputs[name].shape[1:], self._whole_inputs[name].dtype)
            for name in self._constant
        }
        self._state_specs = checked_specs(graph.state_specs | (given if self.flush_length else {}))
        self.built = True

    def whole(self, x: tf.types.experimental.TensorLike) -> tf.Tensor:
        """The decode of a whole signal in inference mode, which a stream of its chunks equals.

        Args:
            x: the signal, of shape `chunk_shape(batch, positions)`.

        Returns:
            The decoder's output, in `output_data_format`.
        """
        inputs = list(self._checked_chunk(x)[0].values())
        if len(inputs) == 1:
            return self.decoder(inputs[0], training=False)
        return self.decoder(keras.tree.pack_sequence_as(self.decoder._inputs_struct, inputs), training=False)

    def describe(self, sample_rate: float | None = None) -> str:
        """Where the latency and the states come from: a row for each layer that adds to them, and a bar for the delay.

        Args:
            sample_rate: samples a second of the output, for milliseconds. Default None, samples alone.

        Returns:
            A table as text. Latencies are in samples of the output, whatever the layer's own rate.
        """
        rate = None if sample_rate is None else number("sample_rate", sample_rate, least=1)
        return description(self._graph.nodes, self._graph.output.signal, self._state_specs, rate)

    def call(self, x, state):
        """`step`, under the name that Keras calls."""
        return self.step(x, state)

    def observed_step(self, inputs, state, seen):
        """`step` for arguments that are known to fit, which shows what each layer gives.

        Args:
            inputs, state: as for `step`, tensors of the right dtypes by name.
            seen: a dict that takes each layer's samples by the layer's path, channels last.

        Returns:
            As `step`.
        """
        return self._step(inputs, state, current_target(), seen)

    def _step(self, x, state, target, seen=None):
        inputs = {
            name: laid_out(one, self.data_format) if name not in self._constant else one for name, one in x.items()
        }
        y, following = self._graph.step(inputs, state, target, seen)
        following |= {_given(name): x[name] for name in self._constant if _given(name) in self._state_specs}
        return laid_out(y, self.output_data_format), following

    def _flush(self, state, target):
        constants = {name: state[_given(name)] for name in self._constant if _given(name) in state}
        tail = self._graph.flush(constants, state, target) if self.flush_length else None
        return None if tail is None else laid_out(tail, self.output_data_format)

    def get_config(self):
        return {
            "decoder": keras.saving.serialize_keras_object(self.decoder),
            "pointwise": [
                {"layer": one} if isinstance(one, str) else keras.saving.get_registered_name(one)
                for one in self.pointwise
            ],
            "data_format": self.data_format,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The model of a config; what `pointwise` holds is what Keras knows by the registered names."""
        pointwise = [
            one["layer"] if isinstance(one, dict) else _registered(one, custom_objects) for one in config["pointwise"]
        ]
        decoder = keras.saving.deserialize_keras_object(config["decoder"], custom_objects)
        return cls(**{**config, "decoder": decoder, "pointwise": pointwise})


def _data_format_of(shape):
    """The data format of an input by the one axis that it leaves open."""
    return "channels_first" if len(shape) == 3 and shape[1] is not None and shape[2] is None else "channels_last"


def _given(name):
    """The state that keeps an input, which is the same throughout a stream, for its end."""
    return f"{name}_given"


def _whole(rate):
    return rate.numerator if rate.denominator == 1 else rate


def _registered(name, custom_objects):
    kind = keras.saving.get_registered_object(name, custom_objects) or getattr(keras.layers, name, None)
    if kind is None:
        raise ValueError(
            "The classes and functions in `pointwise` must be known to Keras before a StreamingModel is loaded: "
            "decorate them with @keras.saving.register_keras_serializable(), or give load_model() "
            "custom_objects={name: class}. "
            f"Received: the unknown class or function {name!r}"
        )
    return kind
