"""The maintained tools that write integers to a `.tflite` file in float32, all operators but those that are named."""

import dataclasses
import functools
import re
import threading
from collections.abc import Collection

import numpy as np
import tensorflow as tf
from tensorflow.lite.python.convert import convert_inference_tf_type_to_tflite_type, mlir_quantize
from tensorflow.lite.python.util import modify_model_io_type

from lucid_keras.export.flatbuffer_edits import as_int16_kernels_take_it
from lucid_keras.export.integer_inputs import with_inputs_by_int16

# One conversion at a time: what it is converted from and what it refuses the converter keeps for the whole process,
# so that another thread's file would be marked with one's own origin, or refused with one's own errors.
CONVERTER = threading.Lock()
LARGE = 32 * 1024 * 1024  # bytes


def by_edge(content: bytes, recipe: str, left: Collection[str]) -> bytes:
    """By the LiteRT Quantizer, which touches operators with weights alone.

    Args:
        content: the file.
        recipe: the name of the tool's own recipe.
        left: the names of the operators that stay in float32, which are those of the first tensor that each gives.
    """
    from litert_quantizer import quantizer
    from litert_quantizer import recipe as recipes
    from litert_quantizer.algorithms.uniform_quantize import uniform_quantize_tensor as its

    if not hasattr(its.uniform_quantize, "__wrapped__"):
        its.uniform_quantize = _in_rows(its.uniform_quantize)
    exactly = "|".join(map(re.escape, left))
    kept = [{"regex": rf"^(?:{exactly});?$", "operation": "*", "algorithm_key": "no_quantize"}] if left else []
    tool = quantizer.Quantizer(bytearray(content), [*getattr(recipes, recipe)(), *kept])
    return bytes(tool.quantize(enable_progress_bar=False, enable_progress_report=False).quantized_model)


def _in_rows(uniform_quantize):
    """The tool's own quantization of a tensor; of a kernel of 32 MiB and more, at which it ends (0.11), row by row."""

    @functools.wraps(uniform_quantize)
    def quantize(tensor, parameters, *others, **options):
        each_row = parameters.quantized_dimension == 0 and np.ndim(parameters.scale) == tensor.ndim
        if tensor.nbytes < LARGE or tensor.ndim < 3 or not each_row:
            return uniform_quantize(tensor, parameters, *others, **options)
        rows = []
        for row in range(len(tensor)):
            one = slice(row, row + 1)
            scale, zero_point = parameters.scale[one], parameters.zero_point[one]
            own = dataclasses.replace(parameters, scale=scale, zero_point=zero_point, quantized_data=None)
            rows.append(uniform_quantize(tensor[one], own, *others, **options))
        return np.concatenate(rows)

    return quantize


def by_converter(content: bytes, activations: str, left: Collection[str], *, integer_io: bool) -> bytes:
    """By the TFLite converter's quantizer, the ranges of the activations from the file itself.

    Args:
        content: the file, with the ranges of its tensors.
        activations: `"int8"` or `"int16"`; weights are in int8.
        left: as `by_edge`'s.
        integer_io: whether inputs and outputs are integers too.

    Raises:
        RuntimeError: it cannot write an operator.
    """
    inner, outer = (tf.as_dtype(name) for name in (activations, activations if integer_io else "float32"))
    kind = convert_inference_tf_type_to_tflite_type(inner)
    # It gives int8 in and out by itself; int16 another tool makes of them afterwards.
    ends = inner if integer_io and activations == "int8" else tf.float32
    with CONVERTER:
        written = mlir_quantize(
            content,
            inference_type=kind,
            input_data_type=ends,
            output_data_type=ends,
            denylisted_nodes=set(left) or None,
        )
        if ends != outer:
            written = modify_model_io_type(with_inputs_by_int16(bytes(written), content), outer, outer)
        written = bytes(written)
    return as_int16_kernels_take_it(written, content) if activations == "int16" else written
