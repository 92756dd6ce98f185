"""Signatures of a model: named inputs of stated shapes, traced and frozen into graphs without variables."""

import dataclasses
from collections.abc import Mapping
from typing import Literal

import keras
import numpy as np
import tensorflow as tf
from tensorflow.lite.python.util import get_grappler_config, run_graph_optimizations
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from lucid_keras._arguments import checked_count
from lucid_keras._lowering.target import lowering_for
from lucid_keras._names import identifier
from lucid_keras.export.progress import doing

DEFAULT = "serving_default"
DYNAMIC = "dynamic"
Length = int | Literal["dynamic"] | Mapping[str, int | Literal["dynamic"]]


@dataclasses.dataclass(frozen=True)
class Signature:
    """A name, and for each input its `tf.TensorSpec`; None in its shape is an extent left open in the artefact."""

    name: str
    inputs: dict


def model_inputs(model):
    """The model's inputs by name, as `keras.KerasTensor`s; raises unless the model is built and knows them."""
    if not isinstance(model, keras.Model):
        raise TypeError(
            "model must be a keras.Model; wrap a layer as keras.Sequential([keras.Input(shape), layer]). "
            f"Received: model={model!r}"
        )
    if not model.built or not getattr(model, "inputs", None):
        raise ValueError(
            "The model must be built and know its inputs: give it a keras.Input, or wrap it as "
            f"keras.Model(x, model(x)). Received: model={model.name!r}, built={model.built}"
        )
    named: dict[str, keras.KerasTensor] = {}
    for tensor in model.inputs:
        other = named.setdefault(identifier(tensor.name), tensor)
        if other is not tensor:
            raise ValueError(
                "The inputs' names must differ in their letters and digits, which is all that a graph keeps of them. "
                f"Received: {other.name!r} and {tensor.name!r}, both {identifier(tensor.name)!r}"
            )
    return named


def check_model(model, compute_dtype=None):
    """Raise where a weight is NaN or infinite, or where a layer computes in another dtype than LiteRT does."""
    for variable in model.variables:
        if "float" in variable.dtype and not np.all(np.isfinite(keras.ops.convert_to_numpy(variable))):
            raise ValueError(f"The model's weights must be finite. Received: NaN or infinity in {variable.path!r}")
    for layer in model._flatten_layers(include_self=False):
        if compute_dtype and layer.compute_dtype in {"float16", "bfloat16", "float32", "float64"} - {compute_dtype}:
            raise ValueError(
                f"LiteRT computes in {compute_dtype}: load the weights into a model of dtype policy {compute_dtype!r}. "
                f"Received: the layer {layer.name!r} computing in {layer.compute_dtype}"
            )


def signatures(model, length, batch, default=DEFAULT):
    """One `Signature` for each length; `length` is None, a number, "dynamic", a dict by input, or a list of those.

    `default` is the name of the only one.
    """
    inputs = model_inputs(model)
    lengths = length if isinstance(length, (list, tuple)) else [length]
    if not lengths:
        raise ValueError("length must name at least one length. Received: length=[]")
    made = []
    for one in lengths:
        chosen = _by_input(one, [name for name, tensor in inputs.items() if None in tensor.shape[1:]])
        specs = {name: _spec(name, tensor, chosen.get(name), batch) for name, tensor in inputs.items()}
        made.append(Signature(default if len(lengths) == 1 else _name(one), specs))
    if len({signature.name for signature in made}) < len(made):
        raise ValueError(f"The lengths must differ from each other. Received: length={length!r}")
    return made


def _name(length):
    if isinstance(length, Mapping):
        return "_".join(f"{name}_{extent}" for name, extent in length.items())
    return f"length_{length}"


def _by_input(length, opened):
    """A length for each input that is open; raises where one is given for another."""
    given = length if isinstance(length, Mapping) else dict.fromkeys(opened, length)
    if (length is not None and not opened) or not set(given) <= set(opened):
        raise ValueError(
            "length can only be given where the model leaves it open. "
            f"Received: length={length!r}, and the open inputs are {sorted(opened) or 'none'}"
        )
    return {name: _checked_length(one) for name, one in given.items()}


def _checked_length(length):
    if length is None or (isinstance(length, str) and length == DYNAMIC):
        return length
    try:
        return checked_count("length", length, least=1)
    except TypeError:
        raise TypeError(
            f'length must be an int, "{DYNAMIC}", a dict or a list of those. Received: length={length!r}'
        ) from None


def _spec(name, tensor, length, batch):
    rows, *extents = tensor.shape
    if None in extents and length is None:
        raise ValueError(
            "length must be given where the model leaves it open. "
            f"Received: length=None, input {name!r} of shape {list(tensor.shape)}"
        )
    chosen = None if length == DYNAMIC else length
    shape = [batch if rows is None else rows, *(chosen if extent is None else extent for extent in extents)]
    return tf.TensorSpec(shape, tensor.dtype, name=name)


def call_by_name(model, inputs):
    """The model's outputs by name for inputs by name, in inference mode."""
    flat = [inputs[name] for name in model_inputs(model)]
    if isinstance(model, keras.Sequential):
        return _by_name(model, model(flat[0], training=False))
    return _by_name(model, model(keras.tree.pack_sequence_as(model.input, flat), training=False))


def output_shapes(model):
    """The static shapes of the model's outputs by name."""
    inputs = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
    return {name: tuple(one.shape) for name, one in _by_name(model, model.compute_output_spec(inputs)).items()}


def _by_name(model, result):
    if isinstance(result, dict):
        return {str(name): tensor for name, tensor in result.items()}
    names = [model.layers[-1].name] if isinstance(model, keras.Sequential) else model.output_names
    flat = keras.tree.flatten(result)
    if len(names) != len(flat) or len(set(names)) < len(names):
        names = [f"output_{index}" for index in range(len(flat))]
    return dict(zip(names, flat, strict=True))


@doing("tracing")
def traced(model, signature, target, *, platform=""):
    """The model as a concrete function of the signature's inputs, traced for `target`."""
    function = tf.function(lambda **inputs: call_by_name(model, inputs), autograph=False)
    with lowering_for(target, platform):
        return function.get_concrete_function(**signature.inputs)


def frozen(model, signature, target, *, platform="", fold=False):
    """`traced`, its weights constants.

    With `fold`, all that depends on weights alone is computed now, so that a kernel's layout is that of the file.
    """
    return without_variables(traced(model, signature, target, platform=platform), fold=fold)


def without_variables(concrete, *, fold=False):
    """A concrete function with named outputs, its variables made constants; `fold` as in `frozen`."""
    # A folded graph is imported once more, which loops survive only as plain operations; converters want functions.
    constant = convert_variables_to_constants_v2(concrete, lower_control_flow=fold)
    specs = {tensor.op.name: tf.TensorSpec(tensor.shape, tensor.dtype, tensor.op.name) for tensor in constant.inputs}
    computed = _folded(constant) if fold else constant

    def apply(**inputs):
        results = computed(*(inputs[name] for name in specs))
        return dict(zip(sorted(concrete.structured_outputs), results, strict=True))

    return tf.function(apply, autograph=False).get_concrete_function(**specs)


def _folded(constant):
    """A function without variables, with all that depends on constants alone computed."""
    graph = run_graph_optimizations(
        constant.graph.as_graph_def(),
        constant.inputs,
        constant.outputs,
        config=get_grappler_config(["constfold", "dependency"]),
        graph=constant.graph,
    )
    imported = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(graph, name=""), [])
    element = imported.graph.as_graph_element
    return imported.prune(
        [element(tensor.name) for tensor in constant.inputs], [element(tensor.name) for tensor in constant.outputs]
    )
