"""Ray Serve's deployments that compute: whole signals, and the steps of live streams. Neither remembers anything."""

import asyncio
import pathlib

import numpy as np
from ray import serve
from ray.util import metrics

from lucid_keras.runtimes import Ragged, open_artefact


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
            return await asyncio.to_thread(self._decoded, signals)

    def _decoded(self, signals):
        """`(y, None)` or `(None, reason)` of each; where a batch fails each by itself, so that others have theirs."""
        try:
            return [(y, None) for y in self.decoder.decode(signals)]
        except Exception as error:  # whatever a runtime raises
            if len(signals) == 1:
                return [(None, str(error))]
            return [self._decoded([signal])[0] for signal in signals]

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
        self.busy = asyncio.Lock()
        self.sizes = metrics.Histogram("lucid_step_streams", "streams in a step", boundaries=[1, 2, 4, 8, 16, 32, 64])

    def begin(self):
        """What a stream needs: the chunk's shape and dtype, the state it begins with, and how many step together."""
        one = self.artefacts[min(self.artefacts)]
        chunk = one.signatures["step"].inputs["x"]
        states = one.run("initial_state", {}) if "initial_state" in one.signatures else {}
        return chunk.shape[1:], chunk.dtype, {name: state[0] for name, state in states.items()}, max(self.artefacts)

    async def step(self, given):
        """For each stream's `(chunk, state)` its `(samples, state)`; a chunk of None ends it, and leaves no state."""
        self.sizes.observe(len(given))
        async with self.busy:
            return await asyncio.to_thread(self._stepped, given)

    def _stepped(self, given):
        found = [None] * len(given)
        for signature, chosen in (
            ("step", [index for index, (chunk, _) in enumerate(given) if chunk is not None]),
            ("flush", [index for index, (chunk, _) in enumerate(given) if chunk is None]),
        ):
            while chosen:  # what an artefact takes grows with its rows, whether they are needed or not
                rows = max((rows for rows in self.artefacts if rows <= len(chosen)), default=min(self.artefacts))
                now, chosen = chosen[:rows], chosen[rows:]
                for index, one in zip(now, self._run(signature, rows, [given[index] for index in now]), strict=True):
                    found[index] = one
        return found

    def _run(self, signature, rows, given):
        one = self.artefacts[rows]
        if signature not in one.signatures:  # nothing is left at the end
            return [(None, None)] * len(given)
        columns = {name: [state[name] for _, state in given] for name in given[0][1]}
        if signature == "step":
            columns["x"] = [chunk for chunk, _ in given]
        outputs = one.run(signature, {name: _filled(column, rows) for name, column in columns.items()})
        y = outputs.pop("y")
        return [(y[row], {name: state[row] for name, state in outputs.items()}) for row in range(len(given))]


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


def _rows(artefact):
    return artefact.signatures["step"].inputs["x"].shape[0]


def _filled(column, rows):
    """Rows as an array of a batch; those that nobody needs are the first again."""
    return np.stack([*column, *[column[0]] * (rows - len(column))])
