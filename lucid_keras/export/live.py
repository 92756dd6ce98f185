"""A live artefact under a runtime: its states passed around as its user does, and what it has to compute."""

import math

import keras
import numpy as np
import tensorflow as tf

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

    def step(self, x):
        """The samples of a chunk, by the signature for one of its length."""
        return self.outputs(x)["y"]

    def outputs(self, x):
        """All that the signature for a chunk gives; the states are kept."""
        outputs = self._runtime.run(*self.next(x))
        self._states = {name: outputs[name] for name in self._states}
        return outputs

    def next(self, x):
        """The signature for a chunk of this length, and what it is to be given."""
        steps = (name for name in self._signatures if name.startswith("step"))
        fitting = next(name for name in steps if self._signatures[name].inputs["x"].shape == x.shape)
        return fitting, {"x": x, **self._states}

    def flush(self):
        """What the end of the streams releases, in a list: an empty one where that is nothing."""
        return [self._runtime.run("flush", self._states)["y"]] if "flush" in self._signatures else []


def streaming_of(model):
    """What streams a model: itself, or its decoder chunk by chunk."""
    return model if isinstance(model, Streaming) else StreamingModel(model)


def chunks_of(runtime, axis):
    """The lengths of the chunks that a live artefact takes, that of `step` first."""
    return tuple(one.inputs["x"].shape[axis] for name, one in runtime.signatures.items() if name.startswith("step"))


def described(signatures):
    """What the signatures of an artefact say of its stream, as a text; an empty one where it is not live."""
    if "step" not in signatures:
        return ""
    parts = [
        f"{name}: {one.inputs['x']} to {one.outputs['y']}"
        for name, one in signatures.items()
        if name.startswith("step")
    ]
    states = [spec for name, spec in signatures["step"].inputs.items() if name != "x"]
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
    return LiveArtefact(runtime).next(sample["x"][tuple(map(slice, runtime.signatures["step"].inputs["x"].shape))])


def time_axis(data_format):
    """The axis of the positions."""
    return 2 if data_format == "channels_first" else 1


def cut(x, chunks, axis):
    """A signal in chunks, each length of them in turn; what does not fill a turn at the end is left out."""
    turns = x.shape[axis] // sum(chunks)
    ends = np.cumsum(chunks * turns)
    return np.split(_first(x, turns * sum(chunks), axis), ends[:-1], axis)


def stream_inputs(streaming):
    """The one input of a streaming layer or model, every length open, as `read_samples` takes inputs."""
    return {"x": keras.KerasTensor(streaming.chunk_shape(None, None), streaming.chunk_dtype, name="x")}


def _signals(streaming, chunks, batch, given):
    """What to verify on, `{"x": [batch, positions, channels]}` each, and what it is."""
    if given.verification is not None:
        return _given(streaming, given.verification, chunks, batch), given.verified_on
    sizes = vocabularies({"x": streaming.decoder.inputs[0]}) if hasattr(streaming, "decoder") else {}
    specs = {"x": tf.TensorSpec(streaming.chunk_shape(batch, None), streaming.chunk_dtype)}
    whole = Signature("stream", specs)
    return drawn_samples(whole, sizes, _sounding(streaming, chunks, STEPS)), what_is_drawn(whole, sizes)


def _given(streaming, samples, chunks, batch):
    """The samples as far as the chunks fill them, in batches; the first of them cut to a half too."""
    axis = time_axis(streaming.data_format)
    least = _sounding(streaming, chunks, (1,))[0]
    long = [sample["x"] for sample in samples if sample["x"].shape[axis] >= least]
    if not long:
        longest = max(sample["x"].shape[axis] for sample in samples)
        raise ValueError(
            f"The data must hold a signal of at least {least} positions, so that each chunk comes once and a sample "
            f"comes out. Received: signals of at most {longest} positions"
        )
    whole = as_batches(long, batch, axis)
    halves = _first(whole[0], max(whole[0].shape[axis] // 2, least), axis)
    turn = sum(chunks)
    return [{"x": _first(x, x.shape[axis] // turn * turn, axis)} for x in (*whole, halves)]


def as_batches(signals, batch, axis):
    """Signals `[1, ...]` in batches, each cut to the shortest in it; the last is filled with its first ones."""
    groups = [signals[first : first + batch] for first in range(0, len(signals), batch)]
    rows = [[group[index % len(group)] for index in range(batch)] for group in groups]
    return [np.concatenate([_first(x, min(one.shape[axis] for one in row), axis) for x in row]) for row in rows]


def _sounding(streaming, chunks, positions):
    """Each number of positions rounded up to what the chunks fill in turn and to what a sample comes out of."""
    enough = -(-(1 + streaming.latency - streaming.flush_length) // streaming.samples_per_position)
    turn = sum(chunks)
    return tuple(dict.fromkeys(-(-max(one, enough) // turn) * turn for one in positions))


def _first(array, count, axis):
    return array.take(range(count), axis)


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
    if streaming.state_shapes:
        claims.append(_reset_claim(streaming, chunks, signals))
    return claims, verified_on


def _stream_claim(streaming, chunks, signals):
    """That whole signals, cut into the chunks in turn, come out as the whole decode."""
    axis, output_axis = time_axis(streaming.data_format), time_axis(streaming.output_data_format)

    def run(runtime, sample):
        live = LiveArtefact(runtime)
        y = np.concatenate(_steps(live, sample["x"], chunks, axis) + live.flush(), output_axis)
        return {"y": _after(y, streaming.latency, output_axis)}

    lengths = tuple(sorted({signal["x"].shape[axis] for signal in signals}))
    compute = lambda model, sample: {"y": _whole(model, sample["x"])}  # noqa: E731
    return claim_of(streaming, "stream", signals, compute, run, lengths, {"y": output_axis})


def _reset_claim(streaming, chunks, signals):
    """That rows begun anew after one signal decode the next one as if it were the first, and the other rows go on.

    Every second row is begun anew, the first among them.
    """
    axis, output_axis = time_axis(streaming.data_format), time_axis(streaming.output_data_format)
    before, after = signals[-1]["x"], signals[0]["x"]
    samples = [{"before": before, "after": after}]
    anew = np.arange(len(before)) % 2 == 0

    def compute(model, sample):
        one_after_the_other = np.concatenate([sample["before"], sample["after"]], axis)
        both = {
            "begun anew": _whole(model, sample["after"])[anew],
            "going on": _whole(model, one_after_the_other)[~anew],
        }
        return {name: y for name, y in both.items() if len(y)}

    def run(runtime, sample):
        live = LiveArtefact(runtime)
        pieces = _steps(live, sample["before"], chunks, axis)
        live.reset(anew)
        later = np.concatenate(_steps(live, sample["after"], chunks, axis) + live.flush(), output_axis)
        y = np.concatenate([*pieces, later], output_axis)
        return {
            "begun anew": _after(later, streaming.latency, output_axis)[anew],
            "going on": _after(y, streaming.latency, output_axis)[~anew],
        }

    axes = {"begun anew": output_axis, "going on": output_axis}
    return claim_of(streaming, "reset", samples, compute, run, (before.shape[axis] + after.shape[axis],), axes)


def _steps(live, x, chunks, axis):
    """The samples of each chunk of a signal."""
    return [live.step(chunk) for chunk in cut(x, chunks, axis)]


def _whole(streaming, x):
    return np.asarray(streaming.whole(x))


def _after(y, latency, axis):
    return y.take(range(latency, y.shape[axis]), axis)
