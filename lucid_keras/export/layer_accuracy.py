"""Which layer loses what: each layer's output in the artefact, and its share given what the artefact gave it."""

import keras
import numpy as np

from lucid_keras._names import identifier
from lucid_keras.export.accuracy import LayerAccuracy, snr_db
from lucid_keras.export.claims import computed
from lucid_keras.export.live import LiveArtefact, cut, positions_of, seen_name
from lucid_keras.export.progress import doing


def observed_layers(model):
    """A model with the outputs of `model`'s layers as outputs, by layer name; None if none can be reached."""
    outputs = {layer.name: _output(layer) for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)}
    outputs = {name: tensor for name, tensor in outputs.items() if tensor is not None}
    return keras.Model({tensor.name: tensor for tensor in model.inputs}, outputs) if outputs else None


def layer_accuracies(observed, samples, references, results):
    """A `LayerAccuracy` for each output of a model of `observed_layers`.

    Args:
        observed: the model.
        samples: its inputs, a dict of arrays by input name for each sample.
        references, results: for each sample what it and its artefact gave, dicts of arrays by layer name; of a stream
            the artefact gives less at the end.
    """
    tensors = {name: _output(observed.get_layer(name)) for name in references[0] if name in results[0]}
    found = []
    for name, tensor in tensors.items():
        sources = _sources(tensor, {id(other): key for key, other in tensors.items() if other is not tensor})
        alone = keras.Model([source for source, _ in sources], tensor)
        given = [_together([(source, result.get(key, sample.get(key))) for source, key in sources])
                 for sample, result in zip(samples, results, strict=True)]  # fmt: skip
        own = [keras.ops.convert_to_numpy(alone(one, training=False)) for one in given]
        came = [result[name] for result in results]
        whole = [reference[name] for reference in references]
        found.append(LayerAccuracy(name, snr_db(*_in_common(whole, came)), snr_db(*_in_common(own, came))))
    return found


@doing("comparing layers")
def live_layer_accuracies(streaming, runtime, chunks, claim):
    """A `LayerAccuracy` of each layer of a streaming model's decoder, from a file whose steps give what they gave.

    On the longest signal of `claim`.
    """
    signal = max(claim.samples, key=lambda sample: positions_of(sample, streaming))
    observed = observed_layers(streaming.decoder) if hasattr(streaming, "decoder") else None
    if observed is None:
        return []
    live = LiveArtefact(runtime)
    steps = [live.outputs(chunk) for chunk in cut(signal, chunks, streaming)]
    given = {}
    for layer in observed.layers:
        there = streaming.signals.get(layer.name)
        if there is not None and seen_name(layer.name) in steps[0]:
            y = np.concatenate([step[seen_name(layer.name)] for step in steps], 1)[:, there.latency :]
            given[layer.name] = np.moveaxis(y, 1, -1) if there.data_format == "channels_first" else y
    arrays = list(signal.values())
    sample = {identifier(tensor.name): array for tensor, array in zip(observed.inputs, arrays, strict=True)}
    return layer_accuracies(observed, [sample], [computed(observed, arrays)], [given])


def _together(given):
    """The arrays of tensors, along open axes as long as the shortest: of a stream branches have come unequally far."""
    arrays = []
    for tensor, array in given:
        kept = [slice(None)] * array.ndim
        for axis in range(1, array.ndim):
            if tensor.shape[axis] is None:
                kept[axis] = slice(min(one.shape[axis] for other, one in given
                                       if len(other.shape) > axis and other.shape[axis] is None))  # fmt: skip
        arrays.append(array[tuple(kept)])
    return arrays


def _in_common(one, other):
    """Both lists of arrays, each pair cut to the extents that they have in common."""
    shapes = [tuple(map(min, a.shape, b.shape)) for a, b in zip(one, other, strict=True)]
    cuts = [tuple(slice(extent) for extent in shape) for shape in shapes]
    return [[a[cut] for a, cut in zip(arrays, cuts, strict=True)] for arrays in (one, other)]


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


def _output(layer):
    """The one tensor that a layer, or a model in its place, gives in the graph around it; None where there are more."""
    outputs = [tensor for node in layer._inbound_nodes for tensor in node.output_tensors]
    return outputs[0] if len(outputs) == 1 and isinstance(outputs[0], keras.KerasTensor) else None


def _arguments(tensor):
    """What the operation that gives `tensor` was called with."""
    operation, node, _ = tensor._keras_history
    return operation._inbound_nodes[node].input_tensors
