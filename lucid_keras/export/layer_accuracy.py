"""Which layer loses what: each layer's output in the artefact, and its share given what the artefact gave it."""

import keras

from lucid_keras._names import identifier
from lucid_keras.export.accuracy import LayerAccuracy, snr_db


def observed_layers(model):
    """A model with the outputs of `model`'s layers as outputs, by layer name; None if none can be reached."""
    outputs = {}
    for layer in model.layers:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        try:
            if isinstance(layer.output, keras.KerasTensor):
                outputs[layer.name] = layer.output
        except (AttributeError, ValueError):  # never called, or called more than once
            continue
    return keras.Model({tensor.name: tensor for tensor in model.inputs}, outputs) if outputs else None


def layer_accuracies(observed, samples, references, results):
    """A `LayerAccuracy` for each output of a model of `observed_layers`.

    Args:
        observed: the model.
        samples: its inputs, a dict of arrays by input name for each sample.
        references, results: for each sample what it and its artefact gave, dicts of arrays by layer name.
    """
    tensors = {name: observed.get_layer(name).output for name in references[0]}
    found = []
    for name, tensor in tensors.items():
        sources = _sources(tensor, {id(other): key for key, other in tensors.items() if other is not tensor})
        alone = keras.Model([source for source, _ in sources], tensor)
        given = [[result.get(key, sample.get(key)) for _, key in sources]
                 for sample, result in zip(samples, results, strict=True)]  # fmt: skip
        own = [keras.ops.convert_to_numpy(alone(one, training=False)) for one in given]
        came = [result[name] for result in results]
        found.append(LayerAccuracy(name, snr_db([one[name] for one in references], came), snr_db(own, came)))
    return found


def _sources(tensor, observed):
    """The nearest tensors before `tensor` that are known, each with its name: observed layers' outputs and inputs.

    Between layers lie operations, such as the sum of `x + y`, which nobody can observe; they belong to the layer.
    """
    sources, pending, seen = [], list(_arguments(tensor)), set()
    while pending:
        one = pending.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        if id(one) in observed:
            sources.append((one, observed[id(one)]))
        elif isinstance(one._keras_history.operation, keras.layers.InputLayer):
            sources.append((one, identifier(one.name)))
        else:
            pending += _arguments(one)
    return sources


def _arguments(tensor):
    """What the operation that gives `tensor` was called with."""
    operation, node, _ = tensor._keras_history
    return operation._inbound_nodes[node].input_tensors
