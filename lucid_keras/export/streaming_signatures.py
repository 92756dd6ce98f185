"""The signatures of a streaming layer or model as concrete functions: states in and out, or kept in variables."""

import itertools

import numpy as np
import tensorflow as tf

from lucid_keras._arguments import checked_count
from lucid_keras.export.live import as_batches, cut, positions_of, seen_name
from lucid_keras.export.progress import doing
from lucid_keras.export.signatures import without_variables
from lucid_keras.streaming.states import reset_rows


def checked_chunks(chunk, granularity=1):
    """The lengths of chunks as a tuple of ints that differ, each of at least 1 and a multiple of `granularity`."""
    given = chunk if isinstance(chunk, (list, tuple)) else [chunk]
    chunks = tuple(checked_count("chunk", one, "position", least=1) for one in given)
    if not chunks or len(set(chunks)) < len(chunks):
        raise ValueError(f"chunk must be an int, or several that differ. Received: chunk={chunk!r}")
    if any(one % granularity for one in chunks):
        raise ValueError(
            f"chunk must be a multiple of {granularity}, of which the model makes whole samples. "
            f"Received: chunk={chunk!r}"
        )
    return chunks


def _steps(chunks):
    """The chunks' lengths by the name of their signature."""
    return dict(zip(["step", *(f"step_{further}" for further in chunks[1:])], chunks, strict=True))


def stream_signatures(model, chunks, batch, observed=False):
    """The concrete functions of the signatures by name, without those that would give nothing.

    With `observed` each step of a model gives what its layers gave too, by `seen_name`.
    """
    initial = model.initial_state(batch)
    empty = {name: state for name, state in initial.items() if 0 in state.shape}  # no file holds an empty tensor
    states = {name: state for name, state in initial.items() if name not in empty}
    specs = {name: tf.TensorSpec(state.shape, state.dtype, name=name) for name, state in states.items()}

    def initial_state():
        return {name: tf.zeros(state.shape, state.dtype) for name, state in states.items()}

    def stepped(**given):
        seen: dict[str, tf.Tensor] = {}
        chunk = {name: given.pop(name) for name in model.chunk_specs(batch, 1)}
        if observed:
            y, following = model.observed_step(chunk, given | empty, seen)
        else:
            y, following = model.step(model.chunk_of(chunk), given | empty)
        outputs = {"y": y} | {name: tf.identity(following[name]) for name in states}
        return outputs | {seen_name(path): tf.identity(value) for path, value in seen.items()}

    def flushed(**given):
        return {"y": tf.identity(model.flush(given | empty))}

    concrete = {}
    if states:
        concrete["initial_state"] = tf.function(initial_state, autograph=False).get_concrete_function()
    if model.flush_length:
        concrete["flush"] = tf.function(flushed, autograph=False).get_concrete_function(**specs)
    for name, chunk in _steps(chunks).items():
        given = model.chunk_specs(batch, chunk) | specs
        concrete[name] = tf.function(stepped, autograph=False).get_concrete_function(**given)
    return concrete


def with_states_in_variables(signatures):
    """A `tf.Module` that holds the states of `stream_signatures` in variables, and its signatures.

    Each step takes `x` and gives `y`. `reset` takes `rows [batch]`, int32, begins the streams where it is not 0 anew,
    and gives how many those are; it takes `initial_state`'s place. Boolean rows LiteRT.js refuses, with the whole file.
    """
    module, kept = tf.Module(), {}
    frozen = {name: without_variables(concrete) for name, concrete in signatures.items() if name != "initial_state"}
    states = signatures["initial_state"].structured_outputs if "initial_state" in signatures else {}
    module.states = {name: tf.Variable(tf.zeros(spec.shape, spec.dtype), name=name) for name, spec in states.items()}

    def read():
        return {name: variable.read_value() for name, variable in module.states.items()}

    def reset(rows):
        rows = tf.not_equal(rows, 0)
        for name, state in reset_rows(read(), rows).items():
            module.states[name].assign(state)
        return {"streams": tf.reduce_sum(tf.cast(rows, tf.int32))}

    def remembering(concrete):
        def apply(**inputs):
            outputs = concrete(**inputs, **read())
            for name in outputs.keys() - {"y"}:
                module.states[name].assign(outputs[name])
            return {"y": outputs["y"]}

        return tf.function(apply, autograph=False)

    for name, concrete in frozen.items():
        taken = concrete.structured_input_signature[1]
        given = {key: spec for key, spec in taken.items() if key not in states}
        kept[name] = remembering(concrete).get_concrete_function(**given)
    if module.states:
        batch = next(iter(module.states.values())).shape[0]
        rows = tf.TensorSpec([batch], tf.int32, name="rows")
        kept["reset"] = tf.function(reset, autograph=False).get_concrete_function(rows=rows)
    return module, kept


@doing("computing in Keras")
def typical_inputs(model, chunks, samples, batch):
    """By signature, what it is given of typical signals `{"x": [1, ...]}`: every chunk with the states that come to it.

    Raises where a chunk is longer than every signal.
    """
    step = tf.function(model.step, autograph=False)
    found: dict[str, list] = {name: [] for name in (*_steps(chunks), *(["flush"] if model.flush_length else []))}
    for (name, chunk), signal in itertools.product(_steps(chunks).items(), as_batches(samples, batch, model)):
        states = model.initial_state(batch)
        for here in cut(signal, (chunk,), model):
            found[name].append(here | _not_empty(states))
            states = step(model.chunk_of(here), states)[1]
        if model.flush_length:
            found["flush"].append(_not_empty(states))
    if short := [chunk for name, chunk in _steps(chunks).items() if not found[name]]:
        longest = max(positions_of(sample, model) for sample in samples)
        raise ValueError(
            f"calibration_data must hold signals as long as a chunk of {max(short)} positions. "
            f"Received: signals of at most {longest}"
        )
    return found


def _not_empty(states):
    return {name: np.asarray(state) for name, state in states.items() if 0 not in state.shape}
