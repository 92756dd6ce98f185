"""A model's file in a recipe, with some of its layers left in float32: one conversion, as many files as are asked for.

What stays in float32 beside what a user names: inverse transforms with what gives their spectra, in every recipe of
integers, for no weight of theirs was learned and they are the last to touch the sound; and in recipes for activations
what 8 or 16 evenly spaced bits cannot hold, or a delegate does not take in integers.
"""

from collections.abc import Collection

from lucid_keras.export import flatbuffer
from lucid_keras.export.flatbuffer_edits import (
    with_honest_versions,
    with_outputs_apart,
    with_ranges,
    without_ranges,
    without_unused_constants,
)
from lucid_keras.export.origins import Origins, operations
from lucid_keras.export.progress import doing
from lucid_keras.export.quantizers import by_converter, by_edge
from lucid_keras.export.ranges import clipped, ranges, statistics, symmetric_ranges
from lucid_keras.layers.istft import ISTFT

# Operators with weights, which alone the LiteRT Quantizer touches.
WEIGHTED = frozenset(
    {"BATCH_MATMUL", "CONV_2D", "DEPTHWISE_CONV_2D", "EMBEDDING_LOOKUP", "FULLY_CONNECTED", "TRANSPOSE_CONV"}
)


class Mixed:
    """A file in float32 (or float16), and what it becomes in its recipe.

    Args:
        model: what it was made of.
        content: its bytes.
        recipe: a `recipes.Recipe`.
        distributions: for a calibrated recipe those of `ranges.statistics`.
        integer_io: whether inputs and outputs are integers too, and what an NPU needs in integers between them.

    Attributes:
        layers: the paths of the layers that the recipe quantizes, in the order of the graph.
        kept: of the layers those that stay in float32 whatever else does.
        floating: of `layers` those that compute what integers hold badly.
    """

    def __init__(self, model, content, recipe, distributions=None, *, integer_io=False):
        self.recipe, self._integer_io, self._content = recipe, integer_io, content
        self._distributions = distributions
        if recipe.edge_recipe:
            self._content = without_unused_constants(content)
        elif recipe.calibrated:
            chosen = symmetric_ranges if recipe.activations == "int16" else ranges
            self._content = with_ranges(content, chosen(distributions))
        tensors = flatbuffer.contents(content).tensors if recipe.activations == "int16" else ()
        self._constants = {one.name for one in tensors if one.constant}
        origins = Origins(model)
        self._graphs = [list(zip(graph, origins.of(graph), strict=True)) for graph in flatbuffer.graphs(content)]
        transforms = {path for path, layer in operations(model).items() if isinstance(layer, ISTFT)}
        self.kept = frozenset().union(*(_with_spectra(graph, transforms) for graph in self._graphs))
        quantized = [path for graph in self._graphs for one, path in graph if path and self._quantizes(one)]
        self.layers = [path for path in dict.fromkeys(quantized) if path not in self.kept]
        badly = {path for graph in self._graphs for one, path in graph if self._held_badly(one)}
        self.floating = tuple(path for path in self.layers if path in badly)

    def written(self, kept: Collection[str] = ()) -> bytes:
        """The bytes of the file with the layers at these paths in float32 too."""
        if not self.recipe.integers:
            return self._content
        return self._quantized([name for graph in self._graphs for name in self._left(graph, self.kept.union(kept))])

    def alone(self, layers: Collection[str], kept: Collection[str] = ()) -> bytes:
        """The bytes of the file with no more than these layers quantized of what `written(kept)` quantizes."""
        left = []
        for graph in self._graphs:
            others = {one.output for one, path in graph if path not in layers}
            left += self._left(graph, self.kept.union(kept)) | others
        return self._quantized(left)

    def uncovered(self, samples: dict[str, list]) -> dict[str, float]:
        """By layer the share of its output's values, on samples by signature, outside what calibration brought."""
        extremes = {tensor: one.extremes for tensor, one in self._distributions.items()}
        seen = statistics(self._content, samples)
        shares = clipped(extremes, seen)
        names = flatbuffer.names(self._content)
        quantized = [self._in_integers(graph) for graph in self._graphs]
        paths = [{one.output: path for one, path in graph} for graph in self._graphs]
        found: dict[str, list] = {}
        for (graph, tensor), one in seen.items():
            if (name := names[graph][tensor]) in quantized[graph] and one.counts.any():
                count = float(one.counts.sum())
                found.setdefault(paths[graph].get(name, "the input"), []).append((count * shares[graph, tensor], count))
        return {path: sum(out for out, _ in pairs) / sum(count for _, count in pairs) for path, pairs in found.items()}

    def _in_integers(self, graph):
        """The names of the tensors of a graph that an operator takes or gives in integers."""
        left = self._left(graph, self.kept)
        return {name for one, _ in graph if one.output not in left for name in (*one.inputs, one.output)}

    @doing("quantizing")
    def _quantized(self, left):
        if self.recipe.edge_recipe:
            content = by_edge(self._content, self.recipe.edge_recipe, left)
        else:
            try:
                content = by_converter(
                    self._without_ranges(left), self.recipe.activations, left, integer_io=self._integer_io
                )
            except RuntimeError as error:
                received = " ".join(str(error).split())
                raise ValueError(
                    f"Every operator must be one that the TFLite converter can write in {self.recipe.name!r}, or lie "
                    f"in a layer of float_layers. Received: {received}"
                ) from None
            if not all(self._graphs):  # of a graph that gives constants the converter made one of equal ones again
                content = with_outputs_apart(content)
        return with_honest_versions(content)

    def _without_ranges(self, left):
        """The file, in which nothing that a transposed convolution of `left` gives can be quantized.

        The converter's quantizer takes no notice of their names: it has changed their place when it looks at them.
        """
        transposed = {one.output for graph in self._graphs for one, _ in graph if one.name == "TRANSPOSE_CONV"}
        return without_ranges(self._content, transposed.intersection(left)) if transposed else self._content

    def _quantizes(self, operator):
        if not self.recipe.integers or self._leaves(operator):
            return False
        return self.recipe.calibrated or operator.name in WEIGHTED

    def _leaves(self, operator):
        """Whether the recipe leaves an operator in float32, whatever its layer."""
        if self.recipe.groups_in_float and operator.groups > 1:
            return True
        if operator.name in self.recipe.never_integers:
            return True
        if self.recipe.activations == "int16" and self._adds_constants(operator):
            return True
        return not self._integer_io and self._held_badly(operator)

    def _held_badly(self, operator):
        square = operator.name == "MUL" and operator.inputs[0] == operator.inputs[1]
        return ("SQUARE" if square else operator.name) in self.recipe.left_in_float

    def _adds_constants(self, operator):
        """Whether an operator without weights takes constants, which the converter's quantizer writes in int8."""
        kinds = dict(zip(operator.inputs, operator.dtypes, strict=False))  # those of the outputs come last
        return operator.name not in {*WEIGHTED, "GATHER"} and any(
            kinds[name] == "float32" for name in self._constants.intersection(operator.inputs)
        )

    def _left(self, graph, kept):
        """The names of the operators of a graph that stay in float32.

        Beside floating-point numbers an operator without weights gains nothing by integers, and loses twice.
        """
        left = {one.output for one, path in graph if path in kept or self._leaves(one)}
        if not self.recipe.calibrated or self._integer_io:
            return left
        beside = _neighbours([one for one, _ in graph if one.name not in WEIGHTED], graph)
        pending = list(left)
        while pending:
            new = beside.get(pending.pop(), set()) - left
            left |= new
            pending += new
        return left


def _neighbours(operators, graph):
    """For each operator of a graph, by name, those of `operators` that it gives to or takes from."""
    found: dict[str, set] = {}
    computed = {one.output for one, _ in graph}
    for one, _ in graph:
        for name in computed.intersection(one.inputs):
            found.setdefault(name, set()).add(one.output)
            found.setdefault(one.output, set()).add(name)
    among = {one.output for one in operators}
    return {name: others & among for name, others in found.items()}


def _with_spectra(graph, transforms):
    """The transforms of a graph, what lies between each and the last layer with weights, and that layer too where it
    gives logarithms: an exponential multiplies by its error."""
    producer = {one.output: (one, path) for one, path in graph}
    pending = [(name, False) for one, path in graph if path in transforms for name in one.inputs]
    found, seen = {path for _, path in graph if path in transforms}, set()
    while pending:
        name, logarithms = pending.pop()
        one, path = producer.get(name, (None, None))
        if one is None or (name, logarithms) in seen:
            continue
        seen.add((name, logarithms))
        passes = one.name not in WEIGHTED or path in transforms
        if passes or logarithms:
            found.add(path)
        if passes:
            pending += [(other, logarithms or one.name == "EXP") for other in one.inputs]
    return found - {None}
