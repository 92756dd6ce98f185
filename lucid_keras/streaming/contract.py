"""The contract of live decoding, which the streaming layer and the streaming model share."""

import inspect
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import keras
import tensorflow as tf

from lucid_keras._arguments import checked_count
from lucid_keras._lowering.edges import extents
from lucid_keras._lowering.target import current_target
from lucid_keras.ops import DataFormat, as_tensor, extents_of
from lucid_keras.streaming.stage import sized, time_axis
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
    _whole_inputs: dict[str, keras.KerasTensor]  # whole signals by name, a single one as "x"
    _whole_output: keras.KerasTensor  # and what they become
    _constant: frozenset[str] = frozenset()  # inputs that are the same throughout a stream
    granularity = 1  # positions of which a chunk must be a multiple
    fewest_positions = 1  # of a signal from which every layer makes a sample
    _state_specs: dict[str, tf.TensorSpec]
    _takes_unbatched = False  # whether one stream may come without a batch

    def _step(self, x, state, target):
        """Samples and the next state, for a chunk of one position at least."""
        raise NotImplementedError

    def _flush(self, state, target):
        """The samples that the end releases, None where there are none."""
        raise NotImplementedError

    @property
    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Each state's shape by name, without the batch."""
        return {name: tuple(spec.shape) for name, spec in self._state_specs.items()}

    def chunk_specs(self, batch: int | None, positions: int | None) -> dict[str, tf.TensorSpec]:
        """The shape and dtype of each input of a step by its name, `"x"` where there is one alone.

        Args:
            batch: int, streams that advance together, or None for any number.
            positions: int, positions of the chunk, or None for any number.

        Returns:
            A dict of `[batch, positions, channels]` or channels first `[batch, channels, positions]`;
            `[batch, positions]` for the indices that an embedding takes; `[batch, ...]` for what is the same throughout
            a stream.
        """
        batch, positions = (
            None if extent is None else checked_count(name, extent)
            for name, extent in (("batch", batch), ("positions", positions))
        )
        return {name: tf.TensorSpec([batch, *self._sizes(name, positions)], tensor.dtype, name)
                for name, tensor in self._whole_inputs.items()}  # fmt: skip

    def _sizes(self, name, positions):
        """The shape of an input of so many positions, without the batch."""
        tensor = self._whole_inputs[name]
        return list(tensor.shape[1:]) if name in self._constant else sized(tensor, self.data_format, positions)

    def chunk_shape(self, batch: int | None, positions: int | None) -> Any:
        """The shape of a chunk in its data format: a list, or by name a dict of them where there are several inputs.

        Args:
            batch, positions: as for `chunk_specs`.
        """
        shapes = {name: spec.shape.as_list() for name, spec in self.chunk_specs(batch, positions).items()}
        return self.chunk_of(shapes)

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
            x: the chunk, of shape `chunk_shape(batch, positions)`, of any number of positions, 0 too; a dict by name
                where there are several inputs, those included that are the same throughout.
            state: what `initial_state` or the last step gave, as tensors or arrays.

        Returns:
            `positions * samples_per_position` samples, always, and the next state. The first `latency` samples of a
            stream precede its output and are to be left out; `stream` does so.

        Raises:
            ValueError: a chunk or a state of another shape, other names, several batches.
            TypeError: a state that is no dict of tensors, or of another dtype.
        """
        target = current_target()
        x, batch, positions = self._checked_chunk(x)
        tensors = checked_state(state, self._state_specs, batch)
        if positions == 0:
            return self._no_samples(extents(next(iter(x.values())))[: len(batch)]), tensors
        if positions is not None and positions % self.granularity:
            raise ValueError(
                f"A chunk must have a multiple of {self.granularity} positions, which make whole samples everywhere. "
                f"Received: a chunk of {positions} positions"
            )
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
            chunks: an iterable of chunks as `step` takes them, of one batch and of any lengths. Positions that make
                no whole sample yet wait for the next chunk; none may be left at the end.

        Returns:
            A generator of samples: those of each step, without the first `latency`, then those of the flush. What
            would be empty is skipped; of a signal without any position there is nothing.

        Raises:
            TypeError, ValueError: `chunks` is one array; as in `step`.
        """
        if hasattr(chunks, "shape") or isinstance(chunks, (str, bytes, Mapping)) or not isinstance(chunks, Iterable):
            raise TypeError(
                "chunks must be an iterable of chunks, such as a list or a generator, not one array. "
                f"Received: chunks of type {type(chunks).__name__}"
            )
        if inspect.isgenerator(chunks) and inspect.getgeneratorstate(chunks) == inspect.GEN_CLOSED:
            raise ValueError("chunks must not be exhausted. Received: a generator that has ended")
        return self._pieces(chunks)

    def _pieces(self, chunks):
        state, to_leave_out, begun = None, self.latency, False
        for x, batch in self._in_whole_samples(chunks):
            if state is None:
                state = self.initial_state(*batch or [None])
            y, state = self.step(self.chunk_of(x), state)
            length = y.shape[self.output_time_axis - len(self._whole_output.shape)]
            begun = begun or length > 0
            if length > to_leave_out:
                yield y[self._span(to_leave_out, None)]
            to_leave_out -= min(length, to_leave_out)
        if begun and self.flush_length > to_leave_out:
            yield self.flush(state)[self._span(to_leave_out, None)]

    def _in_whole_samples(self, chunks):
        """The chunks, checked, of multiples of the granularity: each with what the one before left over."""
        rest = None
        for chunk in chunks:
            x, batch, _ = self._checked_chunk(chunk)
            if self.granularity > 1:
                timed = {name: (x[name], self._axis(name)) for name in x.keys() - self._constant}
                if rest is not None:
                    timed = {name: (tf.concat([rest[name], one], axis), axis) for name, (one, axis) in timed.items()}
                left = next(one.shape[axis] for one, axis in timed.values()) % self.granularity
                parts = {
                    name: tf.split(one, [one.shape[axis] - left, left], axis) for name, (one, axis) in timed.items()
                }
                rest = {name: second for name, (_, second) in parts.items()}
                x |= {name: first for name, (first, _) in parts.items()}
            yield x, batch
        if rest is not None and (left := next(one.shape[self._axis(name)] for name, one in rest.items())):
            raise ValueError(
                f"A stream must have a multiple of {self.granularity} positions, which make whole samples everywhere. "
                f"Received: {left} positions more at the end"
            )

    def chunk_of(self, inputs: Mapping[str, Any]) -> Any:
        """What `step` and `whole` take, from the inputs by their names: the one that there is, or a dict of them."""
        return inputs["x"] if [*inputs] == ["x"] else inputs

    @property
    def time_axes(self) -> dict[str, int]:
        """The axis of the positions of each input that has them, by name."""
        timed = {name: tensor for name, tensor in self._whole_inputs.items() if name not in self._constant}
        return {name: time_axis(tensor, self.data_format) for name, tensor in timed.items()}

    @property
    def output_time_axis(self) -> int:
        """The axis of the samples of the output."""
        return time_axis(self._whole_output, self.output_data_format)

    def _axis(self, name):
        """The axis of an input's positions from the end, which is that of a stream without a batch too."""
        return self.time_axes[name] - len(self._whole_inputs[name].shape)

    def _span(self, start, stop):
        """The index of an output's samples from `start` to `stop`."""
        return (..., slice(start, stop), *[slice(None)] * (len(self._whole_output.shape) - 1 - self.output_time_axis))

    def _checked_chunk(self, x):
        """The chunk's inputs as tensors by name, its batch in a list, empty for a stream without one, and positions.

        These are None where nobody knows how many there are.
        """
        if [*self._whole_inputs] == ["x"]:
            x = {"x": x}
        elif not isinstance(x, Mapping) or x.keys() != self._whole_inputs.keys():
            received = sorted(map(str, x)) if isinstance(x, Mapping) else f"a chunk of type {type(x).__name__}"
            raise ValueError(f"A chunk must be a dict of the inputs {sorted(self._whole_inputs)}. Received: {received}")
        tensors, batches, counts = {}, [], []
        for name in self._whole_inputs:
            tensors[name], batched = self._checked_input(name, x[name])
            batches.append(tensors[name].shape[:1].as_list() if batched else [])
            if name not in self._constant:
                counts.append(tensors[name].shape[self._axis(name)])
        for what, found in (("batch", batches), ("number of positions", counts)):
            known = [one for one in found if one not in (None, [None])]
            if any(one != known[0] for one in known):
                raise ValueError(
                    f"All inputs must have one {what}. Received: {what} {found} of {[*self._whole_inputs]}"
                )
        return tensors, batches[0], counts[0]

    def _checked_input(self, name, x):
        """An input as a tensor, and whether it has a batch."""
        subject = "A chunk" if name == "x" else f"The input {name}"
        x, tensor = as_tensor(subject, x), self._whole_inputs[name]
        if not (x.dtype.is_floating or x.dtype.is_integer):
            raise TypeError(f"{subject} must hold real numbers. Received: {subject.lower()} of dtype {x.dtype.name}")
        shape = [None, *self._sizes(name, None)]
        batched = not self._takes_unbatched or x.shape.rank == len(shape)
        if x.shape.rank is None or not x.shape.is_compatible_with(shape if batched else shape[1:]):
            named = ", ".join(map(str, ["batch", *self._sizes(name, "positions")]))
            raise ValueError(
                f"{subject} must have the shape [{named}]. Received: {subject.lower()} of shape {extents_of(x)}"
            )
        return tf.cast(x, tensor.dtype), batched

    def _no_samples(self, batch):
        """An output without positions; its shape begins with `batch`."""
        return tf.zeros([*batch, *sized(self._whole_output, self.output_data_format, 0)], self._whole_output.dtype)
