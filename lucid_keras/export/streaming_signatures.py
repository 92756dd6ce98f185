"""The signatures of a streaming layer or model as concrete functions: states in and out, or kept in variables."""

import numpy as np
import tensorflow as tf

from lucid_keras.export.signatures import without_variables
from lucid_keras.streaming.states import reset_rows


def checked_chunks(chunk):
    """The lengths of chunks as a tuple; raises for one below 1."""
    chunks = (chunk,) if isinstance(chunk, int) else tuple(chunk)
    if not chunks or min(chunks) < 1:
        raise ValueError(f"chunk must be at least 1 position, or several such ints. Received: chunk={chunk!r}")
    return chunks


def _steps(chunks):
    """The chunks' lengths by the name of their signature."""
    return dict(zip(["step", *(f"step_{further}" for further in chunks[1:])], chunks, strict=True))


def stream_signatures(model, chunks, batch):
    """The concrete functions of the signatures by name, without those that would give nothing."""
    initial = model.initial_state(batch)
    empty = {name: state for name, state in initial.items() if 0 in state.shape}  # no file holds an empty tensor
    states = {name: state for name, state in initial.items() if name not in empty}
    specs = {name: tf.TensorSpec(state.shape, state.dtype, name=name) for name, state in states.items()}

    def initial_state():
        return {name: tf.zeros(state.shape, state.dtype) for name, state in states.items()}

    def stepped(x, **given):
        y, following = model.step(x, given | empty)
        return {"y": y} | {name: tf.identity(following[name]) for name in states}

    def flushed(**given):
        return {"y": tf.identity(model.flush(given | empty))}

    concrete = {}
    if states:
        concrete["initial_state"] = tf.function(initial_state, autograph=False).get_concrete_function()
    if model.flush_length:
        concrete["flush"] = tf.function(flushed, autograph=False).get_concrete_function(**specs)
    for name, chunk in _steps(chunks).items():
        x = tf.TensorSpec(model.chunk_shape(batch, chunk), model.compute_dtype, name="x")
        concrete[name] = tf.function(stepped, autograph=False).get_concrete_function(x=x, **specs)
    return concrete


def with_states_in_variables(signatures):
    """A `tf.Module` that holds the states of `stream_signatures` in variables, and its signatures.

    Each step takes `x` and gives `y`. `reset` takes `rows [batch]`, begins the streams where it is True anew, and
    gives how many those are; it takes `initial_state`'s place.
    """
    module, kept = tf.Module(), {}
    frozen = {name: without_variables(concrete) for name, concrete in signatures.items() if name != "initial_state"}
    states = signatures["initial_state"].structured_outputs if "initial_state" in signatures else {}
    module.states = {name: tf.Variable(tf.zeros(spec.shape, spec.dtype), name=name) for name, spec in states.items()}

    def read():
        return {name: variable.read_value() for name, variable in module.states.items()}

    def reset(rows):
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
        given = {"x": concrete.structured_input_signature[1]["x"]} if name != "flush" else {}
        kept[name] = remembering(concrete).get_concrete_function(**given)
    if module.states:
        batch = next(iter(module.states.values())).shape[0]
        rows = tf.TensorSpec([batch], tf.bool, name="rows")
        kept["reset"] = tf.function(reset, autograph=False).get_concrete_function(rows=rows)
    return module, kept


def typical_inputs(model, chunks, data, batch):
    """By signature, what it is given of typical streams: every chunk with the states that come to it."""
    axis = 2 if model.data_format == "channels_first" else 1
    samples = {name: [] for name in (*_steps(chunks), *(["flush"] if model.flush_length else []))}
    for name, chunk in _steps(chunks).items():
        for first in range(0, len(data) - batch + 1, batch):
            states = model.initial_state(batch)
            for start in range(0, data.shape[axis] - chunk + 1, chunk):
                x = data[first : first + batch].take(range(start, start + chunk), axis)
                samples[name].append({"x": x} | _not_empty(states))
                states = model.step(x, states)[1]
            if model.flush_length:
                samples["flush"].append(_not_empty(states))
    return samples


def _not_empty(states):
    return {name: np.asarray(state) for name, state in states.items() if 0 not in state.shape}
