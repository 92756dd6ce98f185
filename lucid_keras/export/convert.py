"""From signatures of a model to a `.tflite` file in float32, by the maintained converter, and on to a recipe.

Which tool quantizes what was measured over the cases of the test registry: for integers alone the TFLite converter's
quantizer writes every operator, and takes the ranges that it is given; for weights alone and for dynamic int8 the
LiteRT Quantizer takes every layer (43 to 47 dB), where the converter leaves weights of fewer than 1024 numbers in
float32.
"""

import tempfile

import tensorflow as tf
from tensorflow.lite.python.convert import ConverterError

from lucid_keras.export.constant_layouts import with_constants_laid_out
from lucid_keras.export.constant_shapes import with_constant_shapes
from lucid_keras.export.files import workplace
from lucid_keras.export.flatbuffer_edits import with_first, with_honest_versions, with_outputs_apart
from lucid_keras.export.mixed import Mixed
from lucid_keras.export.origins import Origins, scoped
from lucid_keras.export.progress import doing
from lucid_keras.export.quantizers import CONVERTER
from lucid_keras.export.ranges import statistics
from lucid_keras.export.save import save
from lucid_keras.export.signatures import traced
from lucid_keras.export.starting_lengths import with_starting_lengths


def convert(model, signatures, recipe, calibration=None, *, integer_io=False):
    """A `mixed.Mixed`, which writes the file.

    Args:
        model: a built `keras.Model`.
        signatures: list of `Signature`.
        recipe: a `recipes.Recipe`.
        calibration: for a calibrated recipe, the samples by signature name.
        integer_io: whether inputs and outputs are integers too, in a calibrated recipe.

    Raises:
        ValueError: an operator is not builtin; the message names it and the layer.
    """
    return in_recipe(model, unquantized(model, signatures, recipe), recipe, calibration, integer_io=integer_io)


def unquantized(model, signatures, recipe):
    """The bytes of the file before any integers, which all recipes of integers have in common."""
    with scoped(model):
        functions = {signature.name: traced(model, signature, "litert") for signature in signatures}
    return unquantized_traced(model, functions, recipe, first=signatures[0].name if len(signatures) > 1 else None)


def unquantized_traced(model, functions, recipe, *, states=None, first=None):
    """`unquantized` for concrete functions by name, whose variables become constants of the file.

    With `states`, a `tf.Module`, they have no variables but its own, and those stay variables. `first` names the
    signature for LiteRT's default delegate.
    """
    content = with_constant_shapes(with_constants_laid_out(_converted(model, functions, recipe, states)))
    if first is not None:
        content = with_first(content, first)
    if any(not function.structured_input_signature[1] for function in functions.values()):  # it gives constants
        content = with_outputs_apart(content)
    return with_starting_lengths(with_honest_versions(content))


def in_recipe(model, content, recipe, calibration=None, *, integer_io=False):
    """A `Mixed` of the bytes of an unquantized file; the other arguments are `convert`'s."""
    found = None
    if recipe.calibrated:
        louder = {name: [_louder(sample, recipe.headroom) for sample in some] for name, some in calibration.items()}
        found = statistics(content, louder)
    return Mixed(model, content, recipe, found, integer_io=integer_io)


@doing("converting")
def _converted(model, functions, recipe, states):
    """The bytes of the file before any integers."""
    with workplace(tempfile.gettempdir()) as folder:
        # Gradients are of no use to a file, and those of `silu` capture what is no variable of a model.
        save(states or _holding_variables(functions), folder, functions, gradients=False)
        with CONVERTER:
            converter = tf.lite.TFLiteConverter.from_saved_model(str(folder), signature_keys=list(functions))
            converter.experimental_enable_resource_variables = states is not None
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
            # What a loop writes of its results, as DYNAMIC_UPDATE_SLICE; else each step computes all of them anew.
            converter._experimental_enable_dynamic_update_slice = True
            if recipe.weights is not None:
                converter.optimizations = [tf.lite.Optimize.DEFAULT]
                converter.target_spec.supported_types = [tf.as_dtype(recipe.weights)]
            try:
                return bytes(converter.convert())
            except ConverterError as error:
                raise ValueError(_refusal(model, recipe, error)) from None


def _holding_variables(functions):
    """What a SavedModel keeps the weights of. As constants of its graph they would be copied half a dozen times."""
    module = tf.Module()
    module.held = [variable for function in functions.values() for variable in function.variables]
    return module


def _louder(sample, headroom):
    return {name: array * array.dtype.type(headroom) if array.dtype.kind == "f" else array
            for name, array in sample.items()}  # fmt: skip


def _refusal(model, recipe, error):
    """One sentence for a converter's error: each operator without a builtin, with the layer it comes from."""
    origins = Origins(model)
    found = sorted({(one.operator.name, _layer_of(origins, one)) for one in error.errors if one.operator.name})
    if not found:
        first = next((line for line in str(error).splitlines() if line.strip()), "no reason given")
        return f"The model cannot be converted to the recipe {recipe.name!r}: {first}"
    listed = ", ".join(f"{operator} in {layer}" for operator, layer in found)
    return (
        "Every operator must be builtin in LiteRT; Flex and custom operators are refused. "
        f"Received: {listed} (recipe {recipe.name!r})"
    )


def _layer_of(origins, entry):
    """The layer that a converter's error comes from."""
    return origins.phrase(next((call.name for call in entry.location.call), "").split("@")[0])
