"""The contract of live decoding, which the streaming layer and the streaming model share."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

import tensorflow as tf

from lucid_keras._lowering.target import current_target
from lucid_keras.streaming.states import checked_batch, checked_chunk, checked_state, reset_rows

TensorLike: TypeAlias = tf.types.experimental.TensorLike
State: TypeAlias = Mapping[str, TensorLike]


class Streaming:
    """Chunks and a state to samples and the next state: `concat(steps, flush)[latency:]` is the whole signal's output.

    A state is all that a stream remembers; no argument is changed, and a state may be used again. Who streams says
    `latency`, `flush_length`, `samples_per_position`, `data_format`, `output_data_format`, `_chunk_channels`,
    `chunk_dtype` and `_state_specs`, and computes `_step` and `_flush` for a target, from tensors that are checked.
    """

    latency: int
    flush_length: int
    samples_per_position: int
    data_format: str
    output_data_format: str
    _state_specs: dict[str, tf.TensorSpec]
    _chunk_channels: list[int]
    chunk_dtype: str
    _takes_unbatched = False  # whether one stream may come without a batch

    def _step(self, x, state, target):
        """Samples and the next state."""
        raise NotImplementedError

    def _flush(self, state, target):
        """The samples that the end releases."""
        raise NotImplementedError

    @property
    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Each state's shape by name, without the batch."""
        return {name: tuple(spec.shape) for name, spec in self._state_specs.items()}

    def chunk_shape(self, batch: int | None, positions: int | None) -> list[int | None]:
        """The shape of a chunk in its data format."""
        channels = self._chunk_channels
        return [batch, *channels, positions] if self.data_format == "channels_first" else [batch, positions, *channels]

    def initial_state(self, batch: int | None = 1) -> dict[str, tf.Tensor]:
        """The state before the first chunk: a dict of tensors by name, `[batch, *state_shapes[name]]`.

        Args:
            batch: int, streams that advance together. Default 1. A layer takes None too: one stream without a batch.
        """
        first = checked_batch(batch, self._takes_unbatched)
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
        x, batch = self._checked(x)
        return self._step(x, checked_state(state, self._state_specs, batch), target)

    def flush(self, state: State) -> tf.Tensor:
        """The `flush_length` samples that the end of the streams releases, always; `[1, 0, channels]` without a state.

        Args, Raises: as for `step`.
        """
        target = current_target()
        return self._flush(checked_state(state, self._state_specs, unbatched=self._takes_unbatched), target)

    def reset(self, state: State, rows: TensorLike) -> dict[str, tf.Tensor]:
        """The state with some streams of the batch begun anew and the others where they were.

        Args:
            state: as for `step`, with a batch.
            rows: bool, `[batch]`, True where a stream begins anew, whose next `latency` samples are to be left out.

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
        if hasattr(chunks, "shape"):
            raise TypeError(
                "chunks must be an iterable of chunks, such as a list or a generator, not one array. "
                f"Received: chunks of type {type(chunks).__name__}"
            )
        return self._pieces(chunks)

    def _pieces(self, chunks):
        state, to_leave_out, begun = None, self.latency, False
        for chunk in chunks:
            x, batch = self._checked(chunk)
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

    def _checked(self, x):
        """A chunk as a tensor, and its batch in a list, which is empty for a stream without one."""
        return checked_chunk(x, self.chunk_shape, self.chunk_dtype, unbatched=self._takes_unbatched)
