"""What an artefact has to compute: samples, and the Keras model's answers, looked at before any work is done."""

import dataclasses
import functools
import itertools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from lucid_keras.export.progress import each
from lucid_keras.export.samples import verification_samples
from lucid_keras.export.signatures import call_by_name, model_inputs, output_shapes
from lucid_keras.runtimes.protocol import Arrays, Runtime


@dataclasses.dataclass(frozen=True)
class Claim:
    """That an artefact gives for each sample what the model gives.

    Attributes:
        name: of the signature, or of what is done with several.
        samples: dicts of arrays.
        compute: what a model gives for a sample, arrays by output name; also asked of the model's float64 self.
        run: what an artefact under a runtime gives, by the same names.
        references: what the model gives for each sample.
        lengths: of the samples, for the report.
        time_axes: by output name the axis that is no channel, where it is known.
    """

    name: str
    samples: list[Arrays]
    compute: Callable[[object, Arrays], dict[str, np.ndarray]]
    run: Callable[[Runtime, Arrays], dict[str, np.ndarray]]
    references: list[dict[str, np.ndarray]]
    lengths: tuple[int, ...]
    time_axes: dict[str, int] = dataclasses.field(default_factory=dict)


def claim_of(model, name, samples, compute, run, lengths, time_axes=None) -> Claim:
    """The `Claim`, its references computed; raises where they say nothing."""
    references = each(lambda sample: compute(model, sample), samples, "computing in Keras")
    for output in references[0]:
        _check_telling(name, output, [reference[output] for reference in references])
    return Claim(name, samples, compute, run, references, lengths, time_axes or {})


def whole_claims(model, made, given) -> tuple[list[Claim], str]:
    """A claim for each signature that is made, on what the user gave or drawn samples, and what those are."""
    samples, verified_on = verification_samples(made, model_inputs(model), given)
    return [whole_claim(model, name, some) for name, some in samples.items()], verified_on


def whole_claim(model, name, samples, run=None) -> Claim:
    """That the signature `name` gives what the model gives for whole inputs."""
    run = run or (lambda runtime, sample: runtime.run(name, sample))
    names = list(model_inputs(model))
    compute = lambda other, sample: computed(other, [sample[name] for name in names])  # noqa: E731
    return claim_of(model, name, samples, compute, run, lengths_of(model, samples), _time_axes(model))


def computed(model, arrays) -> dict[str, np.ndarray]:
    """The model's outputs by name for its inputs in order: a model built again may have other names for them."""
    inputs = dict(zip(model_inputs(model), arrays, strict=True))
    return {name: array.numpy() for name, array in call_by_name(model, inputs).items()}


def vjp_claim(model, samples, forward, run=None) -> Claim:
    """That the signature `vjp` gives the gradients by the inputs, the outputs `forward` their own cotangents."""
    samples = [{**sample, **outputs} for sample, outputs in zip(samples, forward, strict=True)]
    run = run or (lambda runtime, sample: runtime.run("vjp", sample))
    names = list(model_inputs(model))
    return claim_of(model, "vjp", samples, functools.partial(_gradients, names), run, lengths_of(model, samples))


def _gradients(names, model, sample):
    """The gradients by the inputs, which are called `names`, in order."""
    tensors = [tf.constant(sample[name]) for name in names]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        outputs = call_by_name(model, dict(zip(model_inputs(model), tensors, strict=True)))
    cotangents = {name: tf.cast(sample[name], output.dtype) for name, output in outputs.items()}
    gradients = tape.gradient(outputs, tensors, output_gradients=cotangents)
    return {name: gradient.numpy() for name, gradient in zip(names, gradients, strict=True)}


def _check_telling(signature, name, arrays):
    """Raise where an output is not finite, or silent throughout, when any artefact would pass."""
    received = f"Received: the output {name!r} of {signature!r}"
    if not all(np.all(np.isfinite(array)) for array in arrays if array.dtype.kind == "f"):
        raise ValueError(f"The model's outputs must be finite where it is verified. {received} with NaN or infinity")
    if any(array.size for array in arrays) and not any(np.any(array) for array in arrays):
        raise ValueError(
            "The model must not be silent on everything that it is verified on: every file would pass. Give "
            f"verification_data that it answers. {received}, 0 throughout"
        )


def lengths_of(model, samples):
    """The extents of the samples that the model leaves open; where it leaves none, the longest of each input."""
    found = set()
    for sample, (name, tensor) in itertools.product(samples, model_inputs(model).items()):
        extents = sample[name].shape[1:]
        opened = {there for extent, there in zip(tensor.shape[1:], extents, strict=True) if extent is None}
        found |= opened or {max(extents, default=1)}
    return tuple(sorted(found))


def _time_axes(model):
    """The axis that each output leaves open, where it is one."""
    opened = {
        name: [axis for axis, extent in enumerate(shape) if axis and extent is None]
        for name, shape in output_shapes(model).items()
    }
    return {name: axes[0] for name, axes in opened.items() if len(axes) == 1}
