"""A model's file in a recipe of integers with some of its layers left in float32, from one conversion."""

import re
from collections.abc import Collection

import tensorflow as tf
from tensorflow.lite.python.convert import mlir_quantize

from lucid_keras.export import flatbuffer
from lucid_keras.export.flatbuffer_edits import with_honest_versions, without_unused_constants
from lucid_keras.export.origins import Origins, operations
from lucid_keras.export.progress import doing
from lucid_keras.export.ranges import ranges, with_ranges
from lucid_keras.layers.istft import ISTFT

# Operators with weights, which alone the LiteRT Quantizer touches.
WEIGHTED = frozenset(
    {"BATCH_MATMUL", "CONV_2D", "DEPTHWISE_CONV_2D", "EMBEDDING_LOOKUP", "FULLY_CONNECTED", "TRANSPOSE_CONV"}
)


class Mixed:
    """A file in float32, and what it becomes when some of its layers are quantized.

    Args:
        model: what it was made of.
        content: its bytes.
        recipe: a `recipes.Recipe` of integers.
        lock: of the TFLite converter.
        distributions: for a calibrated recipe those of `ranges.statistics`.
        integer_io: whether inputs and outputs are integers too.

    Attributes:
        layers: the paths of the layers that the recipe would quantize, in the order of the graph.
        inverses: of those the ones that stay in float32 unless a user says otherwise: inverse transforms, which are
            not learned and the last to touch the sound, and what gives their spectra.
    """

    def __init__(self, model, content, recipe, lock, distributions=None, *, integer_io=False):
        self.recipe, self._content, self._lock = recipe, content, lock
        self._io = tf.int8 if integer_io else tf.float32
        if recipe.edge_recipe:
            self._content = without_unused_constants(content)
        else:
            self._content = with_ranges(content, ranges(distributions, "mse"))
        origins = Origins(model)
        self._graphs = [list(zip(graph, origins.of(graph), strict=True)) for graph in flatbuffer.graphs(content)]
        own = operations(model)
        transforms = {path for path, layer in own.items() if isinstance(layer, ISTFT)}
        self.inverses = frozenset().union(*(_with_spectra(graph, transforms) for graph in self._graphs))
        counted = [path for graph in self._graphs for one, path in graph if self._quantizes(one) and path]
        self.layers = list(dict.fromkeys(counted))

    def written(self, kept: Collection[str] = ()) -> bytes:
        """The bytes of the file with the layers at these paths, and what the recipe always leaves, in float32."""
        left = [one.output for graph in self._graphs for one, path in graph if path in kept or self._leaves(one)]
        with doing("quantizing"):
            content = self._by_edge(left) if self.recipe.edge_recipe else self._by_converter(left)
        return with_honest_versions(content)

    def _quantizes(self, operator):
        return not self._leaves(operator) and (not self.recipe.edge_recipe or operator.name in WEIGHTED)

    def _leaves(self, operator):
        """Whether the recipe leaves an operator in float32, whatever its layer."""
        if self.recipe.groups_in_float and operator.groups > 1:
            return True
        squares = operator.name == "MUL" and len(set(operator.inputs)) == 1
        return ("SQUARE" if squares else operator.name) in self.recipe.left_in_float

    def _by_edge(self, left):
        from litert_quantizer import quantizer
        from litert_quantizer import recipe as edge

        exactly = "|".join(re.escape(name) for name in left)
        kept = [{"regex": rf"^(?:{exactly});?$", "operation": "*", "algorithm_key": "no_quantize"}] if left else []
        recipe = [*getattr(edge, self.recipe.edge_recipe)(), *kept]
        tool = quantizer.Quantizer(bytearray(self._content), recipe)
        return bytes(tool.quantize(enable_progress_bar=False, enable_progress_report=False).quantized_model)

    def _by_converter(self, left):
        with self._lock:
            return mlir_quantize(
                self._content,
                input_data_type=self._io,
                output_data_type=self._io,
                denylisted_nodes=set(left) or None,
            )


def _with_spectra(graph, transforms):
    """The transforms, and the layers from the last one with weights before each on."""
    producer = {one.output: (one, path) for one, path in graph}
    pending = [name for one, path in graph if path in transforms for name in one.inputs]
    found = {path for _, path in graph if path in transforms}
    while pending:
        one, path = producer.pop(pending.pop(), (None, None))
        if one is None:
            continue
        found.add(path)
        if one.name not in WEIGHTED or path in transforms:
            pending += one.inputs
    return found - {None}
