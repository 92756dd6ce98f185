"""Whether an artefact computes what the Keras model computes: errors per output, and per layer where it does not."""

import dataclasses
import math

import keras
import numpy as np

from lucid_keras.export.accuracy import snr_db
from lucid_keras.export.signatures import call_by_name


@dataclasses.dataclass(frozen=True)
class OutputAccuracy:
    """How one output of one signature compares with the Keras model over all verified samples.

    `snr_db` is the energy of the reference over that of the error, in dB, infinite where there is no error;
    `max_error` the largest absolute difference, `peak` the reference's largest magnitude.
    """

    signature: str
    name: str
    snr_db: float
    max_error: float
    peak: float
    samples: int
    lengths: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class LayerAccuracy:
    """A layer's signal-to-noise ratio in dB: of its output, and what it would be with exact inputs.

    The noise-to-signal ratios of the inputs and of the layer itself are taken to add up.
    """

    name: str
    snr_db: float
    own_snr_db: float


def reference_outputs(model, samples):
    """What the Keras model gives for each sample: a list of dicts of arrays by output name."""
    return [{name: array.numpy() for name, array in call_by_name(model, sample).items()} for sample in samples]


def accuracies(signature_name, inputs, samples, references, results):
    """An `OutputAccuracy` for each output; raises where names or shapes differ. `inputs` are the model's, by name."""
    found = []
    lengths = tuple(sorted({length for sample in samples for length in _lengths(sample, inputs)}))
    for name in references[0]:
        expected = [reference[name] for reference in references]
        given = [result.get(name) for result in results]
        for one, other in zip(expected, given, strict=True):
            if other is None or one.shape != other.shape:
                raise ValueError(
                    f"The artefact must have the model's output {name!r} of shape {list(one.shape)}. "
                    f"Received: {'no such output' if other is None else f'shape {list(other.shape)}'}"
                )
        snr_db, max_error, peak = compare(expected, given)
        found.append(OutputAccuracy(signature_name, name, snr_db, max_error, peak, len(samples), lengths))
    return found


def _lengths(sample, inputs):
    """The extents of a sample that the model leaves open; where it leaves none, the longest of each input."""
    for name, tensor in inputs.items():
        extents = list(zip(tensor.shape[1:], sample[name].shape[1:], strict=True))
        yield from [there for extent, there in extents if extent is None] or [max((t for _, t in extents), default=1)]


def check_floor(outputs, floor_db, quantization=None, layers=tuple):
    """Raise where an output stays below the floor.

    Args:
        outputs: `OutputAccuracy` of all of them.
        floor_db: the least signal-to-noise ratio in dB.
        quantization: the recipe, for the message.
        layers: gives `LayerAccuracy` of the model's layers, of which the message names the worst; called only then.
    """
    worst = min(outputs, key=lambda one: one.snr_db)
    if worst.snr_db >= floor_db:
        return
    message = (
        f"The export must reach {floor_db:g} dB against the Keras model; nothing was written. Received: "
        f"{worst.snr_db:.1f} dB {f'in {quantization} ' if quantization else ''}at the output {worst.name!r} of "
        f"{worst.signature!r} (max error {worst.max_error:.3g}, peak {worst.peak:.3g})"
    )
    lossy = min(layers(), key=lambda one: one.own_snr_db, default=None)
    if lossy is not None and lossy.own_snr_db < math.inf:
        message += f"; the layer {lossy.name!r} loses the most, {lossy.own_snr_db:.1f} dB by itself"
    raise ValueError(message)


def compare(expected, given):
    """The signal-to-noise ratio in dB, the largest error and the peak over lists of arrays."""
    doubles = [np.asarray(one, np.float64) for one in expected]
    errors = [np.abs(np.asarray(other, np.float64) - one) for one, other in zip(doubles, given, strict=True)]
    error = _largest(errors)
    return snr_db(expected, given), error if math.isfinite(error) else math.inf, _largest(doubles)


def _largest(arrays):
    return float(np.max([np.abs(array).max(initial=0.0) for array in arrays], initial=0.0))


def observed_layers(model):
    """A model with the outputs of `model`'s layers as outputs, by layer name; None if none can be reached."""
    layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    outputs = {}
    for layer in layers:
        try:
            if isinstance(layer.output, keras.KerasTensor):
                outputs[layer.name] = layer.output
        except AttributeError:  # never called, or called more than once
            continue
    return keras.Model({tensor.name: tensor for tensor in model.inputs}, outputs) if outputs else None


def layer_accuracies(model, found):
    """A `LayerAccuracy` for each output of a model of `observed_layers`, of which `found` are the accuracies."""
    snr = {one.name: one.snr_db for one in found}
    return [LayerAccuracy(name, snr[name], _own_snr(snr[name], _sources(model.get_layer(name), snr))) for name in snr]


def _sources(layer, snr):
    """The signal-to-noise ratios of the layers that `layer` takes its inputs from."""
    names = [tensor._keras_history.operation.name for tensor in keras.tree.flatten(layer.input)]
    return [snr[name] for name in names if name in snr]


def _own_snr(snr_db, sources_db):
    ratio = lambda decibels: 10 ** (-decibels / 10)  # noqa: E731
    added = ratio(snr_db) - max(map(ratio, sources_db), default=0.0)
    return -10 * math.log10(added) if added > 0 else math.inf
