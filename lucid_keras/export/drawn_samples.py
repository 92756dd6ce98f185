"""Samples drawn at random, to verify on where the user gave none; never to calibrate on."""

import itertools

import keras
import numpy as np

OPEN_LENGTHS = (64, 17, 97)  # at which an artefact of open length is verified
SEED = 20260


def drawn_samples(signature, vocabularies, lengths=OPEN_LENGTHS):
    """Two samples of each length, of the one there is where none is open.

    Standard normal numbers, and integers from the whole vocabulary.
    """
    rng = np.random.default_rng(SEED)
    if not any(None in spec.shape[1:] for spec in signature.inputs.values()):
        lengths = lengths[:1]
    return [
        {name: _drawn(rng, spec, vocabularies.get(name, 2), length) for name, spec in signature.inputs.items()}
        for length, _ in itertools.product(lengths, range(2))
    ]


def what_is_drawn(signature, vocabularies):
    """What `drawn_samples` are, for the report."""
    kinds = []
    for name, spec in signature.inputs.items():
        if spec.dtype.is_integer and name in vocabularies:
            kinds.append(f"{name}: integers below {vocabularies[name]:,}")
        elif spec.dtype.is_integer or spec.dtype.is_bool:
            kinds.append(f"{name}: 0 and 1")
        else:
            kinds.append("standard normal")
    return f"synthetic samples ({'; '.join(dict.fromkeys(kinds))})"


def vocabularies(inputs):
    """How many indices each integer input may take, by name, where an `Embedding` reads it; `inputs` by name."""
    sizes: dict[str, int] = {}
    for name, tensor in inputs.items():
        for operation in _readers(tensor):
            if isinstance(operation, keras.layers.Embedding):
                sizes[name] = min(operation.input_dim, sizes.get(name, operation.input_dim))
    return sizes


def _readers(tensor):
    """The operations that read an input of a model, those of the models inside it too."""
    own = getattr(tensor, "_keras_history", None)
    for node in own.operation._outbound_nodes if own else ():
        operation = node.operation
        yield operation
        if isinstance(operation, keras.Model) and getattr(operation, "inputs", None):
            for position, argument in enumerate(node.input_tensors):
                if argument is tensor is not operation.inputs[position]:
                    yield from _readers(operation.inputs[position])


def _drawn(rng, spec, vocabulary, length):
    shape = [(1 if axis == 0 else length) if extent is None else extent for axis, extent in enumerate(spec.shape)]
    if spec.dtype.is_integer or spec.dtype.is_bool:
        return rng.integers(0, vocabulary, shape).astype(spec.dtype.as_numpy_dtype)
    return rng.standard_normal(shape).astype(spec.dtype.as_numpy_dtype)
