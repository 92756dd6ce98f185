"""The contract of live decoding, which the streaming layer and the streaming model share."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

import keras
import tensorflow as tf

from lucid_keras._arguments import checked_count
from lucid_keras._lowering.edges import extents
from lucid_keras._lowering.target import current_target
from lucid_keras.ops import DataFormat, as_tensor, extents_of
from lucid_keras.streaming.states import checked_state, reset_rows

TensorLike: TypeAlias = tf.types.experimental.TensorLike
State: TypeAlias = Mapping[str, TensorLike]


class Streaming:
    """Chunks and a state to samples and the next state: `concat(steps, flush)[latency:]` is the whole signal's output.

    A state is all that a stream remembers; no argument is changed, and a state may be used again. Who streams sets the
    attributes below, and computes `_step` and `_flush` for a target, from tensors that are checked.
    """

    latency: int
    flush_length: int
    samples_per_position: int
    data_format: DataFormat
    output_data_format: DataFormat
    _input: keras.KerasTensor  # a whole signal
    _output: keras.KerasTensor  # and what it becomes
    _state_specs: dict[str, tf.TensorSpec]
    _takes_unbatched = False  # whether one stream may come without a batch

    def _step(self, x, state, target):
        """Samples and the next state, for a chunk of one position at least."""
        raise NotImplementedError

    def _flush(self, state, target):
        """The samples that the end releases, None where there are none."""
        raise NotImplementedError

    @property
    def chunk_dtype(self) -> str:
        """What chunks are cast to."""
        return self._input.dtype

    @property
    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Each state's shape by name, without the batch."""
        return {name: tuple(spec.shape) for name, spec in self._state_specs.items()}

    def chunk_shape(self, batch: int | None, positions: int | None) -> list[int | None]:
        """The shape of a chunk in its data format.

        Args:
            batch: int, streams that advance together, or None for any number.
            positions: int, positions of the chunk, or None for any number.

        Returns:
            `[batch, positions, channels]` or channels first `[batch, channels, positions]`; `[batch, positions]` for
            the indices that an embedding takes.
        """
        batch, positions = (
            None if extent is None else checked_count(name, extent)
            for name, extent in (("batch", batch), ("positions", positions))
        )
        return [batch, *sized(self._input, self.data_format, positions)]

    def initial_state(self, batch: int | None = 1) -> dict[str, tf.Tensor]:
        """The state before the first chunk.

        Args:
            batch: int, streams that advance together. Default 1. A layer takes None too: one stream without a batch.

        Returns:
            A dict of tensors by name, `[batch, *state_shapes[name]]`.

        Raises:
            TypeError, ValueError: `batch` is no int, or negative.
        """
        if batch is None and self._takes_unbatched:
            first = []
        else:
            first = [batch if tf.is_symbolic_tensor(batch) else checked_count("batch", batch, "streams")]
        return {name: tf.zeros([*first, *spec.shape], spec.dtype) for name, spec in self._state_specs.items()}

    def step(self, x: TensorLike, state: State) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """One chunk and a state to samples and the next state.

        Args:
            x: the chunk, of shape `chunk_shape(batch, positions)`, of any number of positions, 0 too.
            state: what `initial_state` or the last step gave, as tensors or arrays.

        Returns:
            `positions * samples_per_position` samples, always, and the next state. The first `latency` samples of a
            stream precede its output and are to be left out; `stream` does so.

        Raises:
            ValueError: a chunk or a state of another shape, other names, several batches.
            TypeError: a state that is no dict of tensors, or of another dtype.
        """
        target = current_target()
        x, batch = self._checked_chunk(x)
        tensors = checked_state(state, self._state_specs, batch)
        if 0 in x.shape[len(batch) :]:
            return self._no_samples(extents(x)[: len(batch)]), tensors
        return self._step(x, tensors, target)

    def flush(self, state: State) -> tf.Tensor:
        """The samples that the end of the streams releases.

        Args:
            state: as for `step`.

        Returns:
            `flush_length` samples, always, of one stream where there is no state to tell how many there are.

        Raises:
            ValueError, TypeError: as in `step`.
        """
        target = current_target()
        tensors = checked_state(state, self._state_specs, unbatched=self._takes_unbatched)
        tail = self._flush(tensors, target)
        if tail is None:
            batches = [extents(state)[: -len(self._state_specs[name].shape)] for name, state in tensors.items()]
            tail = self._no_samples(batches[0] if batches else [1])
        return tail

    def reset(self, state: State, rows: TensorLike) -> dict[str, tf.Tensor]:
        """The state with some streams of the batch begun anew and the others where they were.

        Args:
            state: as for `step`, with a batch.
            rows: bool, `[batch]`, True where a stream begins anew, whose next `latency` samples are to be left out.

        Returns:
            A state, as `step` takes it.

        Raises:
            ValueError, TypeError: `rows` has not one entry for each stream or is not boolean; as in `step`.
        """
        return reset_rows(checked_state(state, self._state_specs), rows)

    def stream(self, chunks: Iterable[TensorLike]) -> Iterator[tf.Tensor]:
        """The whole signal's samples, piece by piece, as its chunks come in.

        Args:
            chunks: an iterable of chunks as `step` takes them, of one batch and of any lengths.

        Returns:
            A generator of samples: those of each step, without the first `latency`, then those of the flush. What
            would be empty is skipped; of a signal without any position there is nothing.

        Raises:
            TypeError, ValueError: `chunks` is one array; as in `step`.
        """
        if hasattr(chunks, "shape") or isinstance(chunks, (str, bytes)) or not isinstance(chunks, Iterable):
            raise TypeError(
                "chunks must be an iterable of chunks, such as a list or a generator, not one array. "
                f"Received: chunks of type {type(chunks).__name__}"
            )
        return self._pieces(chunks)

    def _pieces(self, chunks):
        state, to_leave_out, begun = None, self.latency, False
        for chunk in chunks:
            x, batch = self._checked_chunk(chunk)
            if state is None:
                state = self.initial_state(*batch or [None])
            y, state = self.step(x, state)
            length = y.shape[-1 if self.output_data_format == "channels_first" else -2]
            begun = begun or length > 0
            if length > to_leave_out:
                yield y[self._span(to_leave_out, None)]
            to_leave_out -= min(length, to_leave_out)
        if begun and self.flush_length > to_leave_out:
            yield self.flush(state)[self._span(to_leave_out, None)]

    def _span(self, start, stop):
        """The index of an output's samples from `start` to `stop`."""
        after = [] if self.output_data_format == "channels_first" else [slice(None)]
        return (..., slice(start, stop), *after)

    def _checked_chunk(self, x):
        """The chunk as a tensor, and its batch in a list, which is empty for a stream without one."""
        x = as_tensor("A chunk", x)
        if not (x.dtype.is_floating or x.dtype.is_integer):
            raise TypeError(f"A chunk must hold real numbers. Received: a chunk of dtype {x.dtype.name}")
        shape = self.chunk_shape(None, None)
        batched = not self._takes_unbatched or x.shape.rank == len(shape)
        if x.shape.rank is None or not x.shape.is_compatible_with(shape if batched else shape[1:]):
            named = ", ".join(map(str, ["batch", *sized(self._input, self.data_format, "positions")]))
            raise ValueError(f"A chunk must have the shape [{named}]. Received: a chunk of shape {extents_of(x)}")
        return tf.cast(x, self.chunk_dtype), [x.shape[0]] if batched else []

    def _no_samples(self, batch):
        """An output without positions; its shape begins with `batch`."""
        return tf.zeros([*batch, *sized(self._output, self.output_data_format, 0)], self._output.dtype)


def sized(whole, data_format, positions):
    """The shape of so many positions of a whole signal, without the batch."""
    sizes = list(whole.shape[1:])
    sizes[1 if data_format == "channels_first" else 0] = positions
    return sizes
