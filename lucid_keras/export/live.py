"""A live artefact under a runtime: its states passed around as its user does, and what it has to compute."""

import math

import keras
import numpy as np

from lucid_keras._names import identifier
from lucid_keras.export.claims import claim_of
from lucid_keras.export.drawn_samples import drawn_samples, vocabularies, what_is_drawn
from lucid_keras.export.signatures import Signature
from lucid_keras.streaming.contract import Streaming
from lucid_keras.streaming.model import StreamingModel

STEPS = (1, 17, 64)  # positions of the signals that are drawn to verify a live artefact, rounded up to whole chunks


class LiveArtefact:
    """A batch of streams through the signatures of a live file or SavedModel, states in and out or kept inside."""

    def __init__(self, runtime):
        self._runtime, self._signatures = runtime, runtime.signatures
        self._states = {}
        if "initial_state" in self._signatures:
            self._states = runtime.run("initial_state", {})
        elif "reset" in self._signatures:
            self.reset(np.ones(self._signatures["reset"].inputs["rows"].shape, bool))

    def reset(self, rows):
        """The streams where `rows [batch]` is True before their first chunk."""
        if "reset" in self._signatures:
            self._runtime.run("reset", {"rows": rows})
            return
        for name, beginning in self._runtime.run("initial_state", {}).items():
            chosen = rows.reshape([-1] + [1] * (beginning.ndim - 1))
            self._states[name] = np.where(chosen, beginning, self._states[name])

    def step(self, chunk):
        """The samples of a chunk, by the signature for one of its length."""
        return self.outputs(chunk)["y"]

    def outputs(self, chunk):
        """All that the signature for a chunk gives; the states are kept."""
        outputs = self._runtime.run(*self.next(chunk))
        self._states = {name: outputs[name] for name in self._states}
        return outputs

    def next(self, chunk):
        """The signature for a chunk, arrays by name, of this length, and what it is to be given."""
        steps = {name: one.inputs for name, one in self._signatures.items() if name.startswith("step")}
        fitting = next(name for name, inputs in steps.items()
                       if all(inputs[key].shape == array.shape for key, array in chunk.items()))  # fmt: skip
        return fitting, chunk | self._states

    def flush(self):
        """What the end of the streams releases, in a list: an empty one where that is nothing."""
        return [self._runtime.run("flush", self._states)["y"]] if "flush" in self._signatures else []


def streaming_of(model):
    """What streams a model: itself, or its decoder chunk by chunk."""
    return model if isinstance(model, Streaming) else StreamingModel(model)


def chunks_of(runtime, streaming):
    """The lengths of the chunks that a live artefact takes, that of `step` first."""
    name, axis = next(iter(streaming.time_axes.items()))
    steps = (one.inputs for key, one in runtime.signatures.items() if key.startswith("step"))
    return tuple(inputs[name].shape[axis] for inputs in steps)


def described(signatures):
    """What the signatures of an artefact say of its stream, as a text; an empty one where it is not live."""
    if "step" not in signatures:
        return ""
    parts = []
    for name, one in signatures.items():
        if name.startswith("step"):
            given = {key: spec for key, spec in one.inputs.items() if key not in one.outputs}
            chunk = given["x"] if [*given] == ["x"] else ", ".join(f"{key} {spec}" for key, spec in given.items())
            parts.append(f"{name}: {chunk} to {one.outputs['y']}")
    states = [spec for name, spec in signatures["step"].inputs.items() if name in signatures["step"].outputs]
    size = sum(math.prod(spec.shape) * np.dtype(spec.dtype).itemsize for spec in states)
    kept = "states kept inside" if "reset" in signatures else "no state"
    parts.append(f"{len(states)} states in and out, {size:,} bytes" if states else kept)
    if "flush" in signatures:
        parts.append(f"flush: {signatures['flush'].outputs['y']}")
    return "; ".join(parts)


def seen_name(path):
    """The name of the output under which a step gives what the layer at `path` gave."""
    return f"seen_{identifier(path)}"


def first_call(runtime, claim):
    """What is timed: a signature and its inputs; of a live artefact `step`, on a first chunk and its states."""
    sample = claim.samples[0]
    if "step" not in runtime.signatures:
        return claim.name, sample
    inputs = runtime.signatures["step"].inputs
    return LiveArtefact(runtime).next(
        {name: array[tuple(map(slice, inputs[name].shape))] for name, array in sample.items()}
    )


def cut(signal, chunks, streaming):
    """A signal, arrays by name, in chunks, each length of them in turn; what fills no turn at the end is left out."""
    turns = positions_of(signal, streaming) // sum(chunks)
    ends = np.cumsum(chunks * turns)
    return [_between(signal, end - chunk, end, streaming) for end, chunk in zip(ends, chunks * turns, strict=True)]


def positions_of(signal, streaming):
    """The positions of a signal, arrays by name: of several the least."""
    return min(signal[name].shape[axis] for name, axis in streaming.time_axes.items())


def stream_inputs(streaming):
    """The inputs of a streaming layer or model by name, every length open, as `read_samples` takes inputs."""
    specs = streaming.chunk_specs(None, None)
    return {name: keras.KerasTensor(spec.shape, spec.dtype.name, name=name) for name, spec in specs.items()}


def _signals(streaming, chunks, batch, given):
    """What to verify on, a batch of signals by name each, and what it is."""
    if given.verification is not None:
        return _given(streaming, given.verification, chunks, batch), given.verified_on
    whole = Signature("stream", streaming.chunk_specs(batch, None))
    inputs = streaming.decoder.inputs if hasattr(streaming, "decoder") else []
    sizes = vocabularies(dict(zip(whole.inputs, inputs, strict=False)))
    return drawn_samples(whole, sizes, _sounding(streaming, chunks, STEPS)), what_is_drawn(whole, sizes)


def _given(streaming, samples, chunks, batch):
    """The samples as far as the chunks fill them, in batches; the first of them cut to a half too."""
    least = _sounding(streaming, chunks, (1,))[0]
    lengths = [positions_of(sample, streaming) for sample in samples]
    long = [sample for sample, length in zip(samples, lengths, strict=True) if length >= least]
    if not long:
        raise ValueError(
            f"The data must hold a signal of at least {least} positions, so that each chunk comes once and a sample "
            f"comes out. Received: signals of at most {max(lengths)} positions"
        )
    whole, turn = as_batches(long, batch, streaming), sum(chunks)
    half = _between(whole[0], 0, max(positions_of(whole[0], streaming) // 2, least), streaming)
    return [_between(one, 0, positions_of(one, streaming) // turn * turn, streaming) for one in (*whole, half)]


def as_batches(signals, batch, streaming):
    """Signals of a batch of 1 in batches, each cut to the shortest in it; the last is filled with its first ones."""
    groups = [signals[first : first + batch] for first in range(0, len(signals), batch)]
    rows = [[group[index % len(group)] for index in range(batch)] for group in groups]
    shortest = [min(positions_of(one, streaming) for one in row) for row in rows]
    cut_rows = [
        [_between(one, 0, length, streaming) for one in row] for row, length in zip(rows, shortest, strict=True)
    ]
    return [{name: np.concatenate([one[name] for one in row]) for name in row[0]} for row in cut_rows]


def _sounding(streaming, chunks, positions):
    """Each number of positions rounded up to what the chunks fill in turn and to what a sample comes out of."""
    enough = streaming.fewest_positions
    turn = sum(chunks)
    return tuple(dict.fromkeys(-(-max(one, enough) // turn) * turn for one in positions))


def _between(signal, start, stop, streaming):
    """The positions from `start` to `stop` of a signal, and all of what is the same throughout."""
    axes = streaming.time_axes
    return {
        name: array.take(range(start, stop), axes[name]) if name in axes else array for name, array in signal.items()
    }


def live_claims(streaming, chunks, batch, given):
    """What a live artefact has to compute, whole streams and streams begun anew amid others; and what of.

    Args:
        streaming: a streaming layer or model.
        chunks: the lengths of the artefact's chunks.
        batch: the streams that advance together.
        given: `samples.Given`; where it has none to verify on, some are drawn.
    """
    signals, verified_on = _signals(streaming, chunks, batch, given)
    claims = [_stream_claim(streaming, chunks, signals)]
    if any(0 not in shape for shape in streaming.state_shapes.values()):
        claims.append(_reset_claim(streaming, chunks, signals))
    return claims, verified_on


def _stream_claim(streaming, chunks, signals):
    """That whole signals, cut into the chunks in turn, come out as the whole decode."""
    axis = streaming.output_time_axis

    def run(runtime, sample):
        live = LiveArtefact(runtime)
        y = np.concatenate(_steps(live, sample, chunks, streaming) + live.flush(), axis)
        return {"y": _after(y, streaming.latency, axis)}

    lengths = tuple(sorted({positions_of(signal, streaming) for signal in signals}))
    compute = lambda model, sample: {"y": _whole(model, sample)}  # noqa: E731
    return claim_of(streaming, "stream", signals, compute, run, lengths, {"y": axis})


def _reset_claim(streaming, chunks, signals):
    """That rows begun anew after one signal decode the next one as if it were the first, and the other rows go on.

    Every second row is begun anew, the first among them. What is the same throughout a stream stays the first's.
    """
    axis, names = streaming.output_time_axis, streaming.time_axes
    first, second = signals[-1], signals[0]
    second = {name: second[name] if name in names else array for name, array in first.items()}
    samples = [
        {f"{name} before": array for name, array in first.items()}
        | {f"{name} after": array for name, array in second.items()}
    ]
    anew = np.arange(len(next(iter(first.values())))) % 2 == 0
    parts = lambda sample: [{name: sample[f"{name} {when}"] for name in first} for when in ("before", "after")]  # noqa: E731

    def compute(model, sample):
        before, after = parts(sample)
        both = {name: np.concatenate([before[name], after[name]], names[name]) if name in names else before[name]
                for name in before}  # fmt: skip
        found = {"begun anew": _whole(model, after)[anew], "going on": _whole(model, both)[~anew]}
        return {name: y for name, y in found.items() if len(y)}

    def run(runtime, sample):
        before, after = parts(sample)
        live = LiveArtefact(runtime)
        pieces = _steps(live, before, chunks, streaming)
        live.reset(anew)
        later = np.concatenate(_steps(live, after, chunks, streaming) + live.flush(), axis)
        y = np.concatenate([*pieces, later], axis)
        return {
            "begun anew": _after(later, streaming.latency, axis)[anew],
            "going on": _after(y, streaming.latency, axis)[~anew],
        }

    length = positions_of(first, streaming) + positions_of(second, streaming)
    axes = {"begun anew": axis, "going on": axis}
    return claim_of(streaming, "reset", samples, compute, run, (length,), axes)


def _steps(live, signal, chunks, streaming):
    """The samples of each chunk of a signal."""
    return [live.step(chunk) for chunk in cut(signal, chunks, streaming)]


def _whole(streaming, signal):
    return np.asarray(streaming.whole(streaming.chunk_of(signal)))


def _after(y, latency, axis):
    return y.take(range(latency, y.shape[axis]), axis)
