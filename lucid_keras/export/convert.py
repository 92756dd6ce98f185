"""From signatures of a model to the bytes of a `.tflite` file, by the maintained converters.

Which tool quantizes what was measured over the cases of the test registry (Gaussian data, held-out samples):
for calibrated recipes the TFLite converter's ranges are the extremes seen and give 24 to 39 dB in int8, where the
LiteRT Quantizer's moving averages clip and give 14 to 27 dB; for weights alone and for dynamic int8 the LiteRT
Quantizer takes every layer (43 to 47 dB), where the converter leaves weights of fewer than 1024 numbers in float32.
"""

import functools
import re
import tempfile
import threading

import keras
import tensorflow as tf
from tensorflow.lite.python.convert import ConverterError

from lucid_keras.export.files import workplace
from lucid_keras.export.flatbuffer import contents
from lucid_keras.export.flatbuffer_edits import (
    with_64_bit_depthwise_biases,
    with_first,
    with_honest_versions,
    with_outputs_apart,
    without_unused_constants,
)
from lucid_keras.export.progress import doing
from lucid_keras.export.recipes import RECIPES
from lucid_keras.export.save import save
from lucid_keras.export.signatures import frozen
from lucid_keras.layers.istft import ISTFT

LOOPS = ("While", "StatelessWhile")
# One conversion at a time: what it is converted from and what it refuses the converter keeps for the whole process,
# so that another thread's file would be marked with one's own origin, or refused with one's own errors.
CONVERTER = threading.Lock()


def convert(model, signatures, recipe, calibration=None, *, integer_io=False):
    """The bytes of the file.

    Args:
        model: a built `keras.Model`.
        signatures: list of `Signature`.
        recipe: a `recipes.Recipe`.
        calibration: for a calibrated recipe, the samples by signature name.
        integer_io: whether inputs and outputs are integers too, in a calibrated recipe.

    Raises:
        ValueError: an operator is not builtin; the message names it and the layer.
    """
    traced = {signature.name: frozen(model, signature, "litert") for signature in signatures}
    first = signatures[0].name if len(signatures) > 1 else None
    return convert_traced(model, traced, recipe, calibration, first=first, integer_io=integer_io)


@doing("converting")
def convert_traced(model, traced, recipe, calibration=None, *, states=None, first=None, integer_io=False):
    """`convert` for concrete functions by name without variables, or with those of `states`, a `tf.Module`.

    `first` names the signature for LiteRT's default delegate.
    """
    if recipe.calibrated:
        _check_no_loop(model, recipe, traced)
    with workplace(tempfile.gettempdir()) as folder:
        # Gradients are of no use to a file, and those of `silu` capture what `frozen` has made a constant.
        save(states or tf.Module(), folder, traced, gradients=False)
        converted = functools.partial(_converted, str(folder), list(traced), states is not None)
        try:
            content = converted(recipe, calibration, integer_io)
        except ConverterError as error:
            raise ValueError(_refusal(model, recipe, error)) from None
        except RuntimeError as error:
            raise ValueError(_quantizers_refusal(model, recipe, error, converted(RECIPES["float32"]))) from None
    if first is not None:
        content = with_first(content, first)
    if any(not function.inputs for function in traced.values()):  # it gives constants
        content = with_outputs_apart(content)
    if recipe.edge_recipe is not None:
        content = _edge_quantized(model, content, recipe)
    elif recipe.activations == "int16":
        content = with_64_bit_depthwise_biases(content)
    return with_honest_versions(content)


def _check_no_loop(model, recipe, traced):
    """Raise for a loop, whose body the TFLite converter cannot calibrate: it ends the whole process (2.21)."""
    for function in traced.values():
        for body in function.graph.as_graph_def().library.function:
            for node in body.node_def:
                if node.op in LOOPS:
                    raise ValueError(
                        f"{recipe.name!r} cannot calibrate a loop; unroll the layer (unroll=True) or take "
                        f"'dynamic_int8'. Received: {node.op} in {layer_at(model, node.name)}"
                    )


def _converted(folder, signatures, variables, recipe, calibration=None, integer_io=False):
    with CONVERTER:
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=signatures)
        converter.experimental_enable_resource_variables = variables
        if not recipe.calibrated:
            _configure(converter, recipe)
            return bytes(converter.convert())
        # A stage of its own out here: the converter may leave the samples' generator suspended when it raises.
        with doing("calibrating", sum(map(len, calibration.values()))) as advance:
            _configure(converter, recipe, calibration, integer_io, advance)
            return bytes(converter.convert())


def _configure(converter, recipe, calibration=None, integer_io=False, advance=None):
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    # What a loop writes of its results, as DYNAMIC_UPDATE_SLICE; else each step computes all of them anew.
    converter._experimental_enable_dynamic_update_slice = True
    if recipe.weights is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.as_dtype(recipe.weights)]
    if not recipe.calibrated:
        return
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: _representative(calibration, recipe.headroom, advance)
    if recipe.activations == "int8":
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    else:
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        ]
        # An int64 bias would run LiteRT's reference kernel, fifty times slower; `accumulator` checks that int32 holds.
        converter._experimental_full_integer_quantization_bias_type = tf.int32
    if integer_io:
        converter.inference_input_type = converter.inference_output_type = tf.as_dtype(recipe.activations)


def _representative(calibration, headroom, advance):
    for name, samples in calibration.items():
        for sample in samples:
            yield name, {key: _louder(array, headroom) for key, array in sample.items()}
            advance()


def _louder(array, headroom):
    return array * array.dtype.type(headroom) if array.dtype.kind == "f" else array


@doing("quantizing")
def _edge_quantized(model, content, recipe):
    from litert_quantizer import quantizer
    from litert_quantizer import recipe as edge

    left = [(".*", operator) for operator in recipe.left_in_float]
    # Not learned, and the last to touch the sound: its errors would be heard in every quiet band.
    inverses = [layer for layer in model._flatten_layers() if isinstance(layer, ISTFT)]
    left += [(rf"(^|/){re.escape(layer.name)}(_\d+)?/", "*") for layer in inverses]
    if recipe.groups_in_float:
        left += [(rf"^{re.escape(one.output)}", "CONV_2D") for one in contents(content).operators if one.groups > 1]
    kept = [{"regex": regex, "operation": name, "algorithm_key": "no_quantize"} for regex, name in left]
    content = without_unused_constants(content)
    tool = quantizer.Quantizer(bytearray(content), [*getattr(edge, recipe.edge_recipe)(), *kept])
    return bytes(tool.quantize(enable_progress_bar=False, enable_progress_report=False).quantized_model)


def _refusal(model, recipe, error):
    """One sentence for a converter's error: each operator without a builtin, with the layer it comes from."""
    found = sorted({(entry.operator.name, _layer_of(model, entry)) for entry in error.errors if entry.operator.name})
    if not found:
        first = next((line for line in str(error).splitlines() if line.strip()), "no reason given")
        return f"The model cannot be converted to the recipe {recipe.name!r}: {first}"
    listed = ", ".join(f"{operator} in {layer}" for operator, layer in found)
    return (
        "Every operator must be builtin in LiteRT; Flex and custom operators are refused. "
        f"Received: {listed} (recipe {recipe.name!r})"
    )


def _quantizers_refusal(model, recipe, error, content):
    """One sentence for operators that the converter cannot quantize, whose layers the file in float32 tells."""
    names, tensors = (re.findall(pattern, str(error)) for pattern in (r"for op: '(\w+)'", r"for tensor (\S+)"))
    found = {
        f"{one.name} in {layer_at(model, one.output)}"
        for one in contents(content).operators
        if one.name in names or not {*one.inputs}.isdisjoint(tensors)
    }
    return (
        f"Every operator must be one that the TFLite converter can write in the recipe {recipe.name!r}. "
        f"Received: {', '.join(sorted(found)) or ' '.join(str(error).split())}"
    )


def _layer_of(model, entry):
    """The layer that a converter's error comes from."""
    return layer_at(model, next((call.name for call in entry.location.call), "").split("@")[0])


def layer_at(model, path):
    """The layer whose name is deepest in the path of an operator's name in the graph, or that path, as a phrase."""
    names = {layer.name for layer in model._flatten_layers(include_self=False) if isinstance(layer, keras.Layer)}
    for part in reversed(path.split("/")):
        for candidate in (part, re.sub(r"_\d+$", "", part)):
            if candidate in names:
                return f"the layer {candidate!r}"
    if "PartitionedCall" in path and len(getattr(model, "outputs", ())) == 1:  # what gives an output has lost its name
        return f"the layer {model.outputs[0]._keras_history.operation.name!r}"
    return f"the graph at {path!r}"
