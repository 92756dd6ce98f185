"""Ray Serve's deployments that compute: whole signals, and the steps of live streams. Neither remembers anything."""

import asyncio
import pathlib

import numpy as np
from ray import serve
from ray.util import metrics

from lucid_keras._timing import milliseconds
from lucid_keras.runtimes import Ragged, open_artefact
from lucid_keras.runtimes.ragged import decoded_or_why

TIMED_SECONDS = 0.2  # each artefact of live streams, when a replica begins


@serve.deployment
class Decoder:
    """Whole signals, as many at once as wait, each as if it came alone.

    Args:
        opened: a function that gives what decodes: `decode(signals)`, `check(signal)` and `describe()`.
        most: int, signals that are decoded together.
        wait: float, seconds that the first of them waits for others.
    """

    def __init__(self, opened, most, wait):
        self.decoder = opened(most)
        self.busy = asyncio.Lock()  # an interpreter runs one call at a time
        self.together.set_max_batch_size(most)
        self.together.set_batch_wait_timeout_s(wait)
        self.sizes = metrics.Histogram("lucid_batch_signals", "signals in a batch", boundaries=[1, 2, 4, 8, 16, 32])
        self.positions = metrics.Counter("lucid_positions", "positions that were decoded")

    async def decode(self, signal, recorded, to_record):
        """What a signal becomes, a recording if wanted; raises ValueError where it does not fit."""
        signal = self.decoder.of_recording(signal) if recorded else signal
        self.decoder.check(signal)
        y, reason = await self.together(signal)
        if reason is not None:
            raise ValueError(f"The signal must be one that the artefact decodes. Received: {reason}")
        return self.decoder.to_recording(y) if to_record else y

    @serve.batch
    async def together(self, signals):
        self.sizes.observe(len(signals))
        self.positions.inc(sum(max(signal.shape) for signal in signals))
        async with self.busy:
            return await asyncio.to_thread(decoded_or_why, self.decoder.decode, signals)

    def describe(self):
        return self.decoder.describe()


def artefact(path, threads):
    """A function that opens an artefact for `Decoder`."""
    return lambda most: Ragged(_opened(path, threads), most)


def _opened(path, threads):
    """The artefact; a SavedModel's threads are of its process, and set before TensorFlow computes anything."""
    path = pathlib.Path(path)
    if path.is_file():
        from lucid_keras.runtimes import LiteRT

        return LiteRT(path, threads)
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    return open_artefact(path)


@serve.deployment
class Stepper:
    """Steps of live streams: chunks and states in, samples and states out, of several streams in a call.

    Args:
        paths: streaming artefacts of one model with explicit states, each for so many streams that advance together.
        threads: int, CPU threads.
    """

    def __init__(self, paths, threads):
        self.artefacts = opened_streams(paths, threads)
        self.signatures = self.artefacts[min(self.artefacts)].signatures
        inputs = self.signatures["step"].inputs
        self.chunk = inputs["x"]
        self.states = {name: spec for name, spec in sorted(inputs.items()) if name != "x"}
        self.soonest = soonest({rows: self._milliseconds(rows) for rows in self.artefacts})
        self.busy = asyncio.Lock()
        self.sizes = metrics.Histogram("lucid_step_streams", "streams in a step", boundaries=[1, 2, 4, 8, 16, 32, 64])

    def begin(self):
        """What a stream needs: the chunk's shape and dtype, the state it begins with, and how many step together."""
        return self.chunk.shape[1:], self.chunk.dtype, self._initial(), max(self.artefacts)

    async def step(self, chunks, states):
        """Chunks and states of several streams, each stacked, to samples and the states that follow."""
        self.sizes.observe(len(chunks))
        return await self._run("step", states, chunks)

    async def flush(self, states):
        """The states of streams that end to their last samples, None where nothing is left."""
        return (await self._run("flush", states))[0]

    async def _run(self, signature, states, chunks=None):
        if signature not in self.signatures:
            return None, None
        async with self.busy:
            return await asyncio.to_thread(self._cut, signature, states, chunks)

    def _cut(self, signature, states, chunks):
        """In the artefacts that are done soonest."""
        found, begin = [], 0
        while begin < len(states):
            left = len(states) - begin
            rows = self.soonest[min(left, len(self.soonest) - 1)]
            now = slice(begin, begin + rows)
            y, following = self._once(
                signature, rows, _filled(states[now], rows), None if chunks is None else _filled(chunks[now], rows)
            )
            found.append((y[:left], following[:left]))
            begin += rows
        return tuple(map(np.concatenate, zip(*found, strict=True)))

    def _once(self, signature, rows, states, chunks):
        """In the artefact of so many rows."""
        inputs = self._unpacked(states) if chunks is None else self._unpacked(states) | {"x": chunks}
        outputs = self.artefacts[rows].run(signature, inputs)
        return outputs.pop("y"), self._packed(outputs, rows)

    def _initial(self):
        """The state that a stream begins with."""
        rows = min(self.artefacts)
        states = self.artefacts[rows].run("initial_state", {}) if "initial_state" in self.signatures else {}
        return self._packed(states, rows)[0]

    def _milliseconds(self, rows):
        """What a step of so many streams takes."""
        states = np.repeat(self._initial()[np.newaxis], rows, 0)
        chunks = np.zeros([rows, *self.chunk.shape[1:]], self.chunk.dtype)
        return milliseconds(lambda: self._once("step", rows, states, chunks), TIMED_SECONDS)

    def _packed(self, states, rows):
        """States by name as bytes `[rows, bytes]`: one array goes between processes, and none else reads it."""
        columns = [
            np.ascontiguousarray(states[name]).reshape(rows, -1).view(np.uint8) for name in self.states if states
        ]
        return np.concatenate(columns, 1) if columns else np.zeros([rows, 0], np.uint8)

    def _unpacked(self, packed):
        found, begin = {}, 0
        for name, spec in self.states.items():
            size = int(np.prod(spec.shape[1:])) * np.dtype(spec.dtype).itemsize
            column = np.ascontiguousarray(packed[:, begin : begin + size]).view(spec.dtype)
            found[name] = column.reshape(len(packed), *spec.shape[1:])
            begin += size
        return found


def opened_streams(paths, threads):
    """Streaming artefacts by how many streams advance together, the fewest first; raises where models differ."""
    opened = [_opened(path, threads) for path in paths]
    for path, one in zip(paths, opened, strict=True):
        if "step" not in one.signatures or "reset" in one.signatures:
            raise ValueError(f"A live artefact must step, its states explicit. Received: {path}")
    steps = [sorted(one.signatures["step"].inputs.items()) for one in opened]
    kinds = {str([(name, spec.shape[1:]) for name, spec in inputs]) for inputs in steps}
    if len(kinds) > 1:
        raise ValueError(f"Live artefacts must be of one model and one chunk. Received: {' and '.join(sorted(kinds))}")
    return {_rows(one): one for one in sorted(opened, key=_rows)}


def soonest(costs):
    """By how many streams wait, how many are to step at first, so that all are done soonest.

    `costs` are of a step by its rows, whether they are needed or not; all streams wait that fill the largest, at most.
    """
    plans = [(0.0, 0)]
    for streams in range(1, max(costs) + 1):
        plans.append(min((plans[max(0, streams - rows)][0] + cost, rows) for rows, cost in costs.items()))
    return [rows for _, rows in plans]


def _rows(artefact):
    return artefact.signatures["step"].inputs["x"].shape[0]


def _filled(column, rows):
    """As many rows as an artefact has; those that nobody needs are the first again."""
    return np.concatenate([column, np.repeat(column[:1], rows - len(column), 0)])
