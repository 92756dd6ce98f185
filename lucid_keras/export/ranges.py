"""Ranges of a float file's activations: what its tensors hold on calibration data, and where to clip them."""

import dataclasses
from collections.abc import Container, Mapping, Sequence

import numpy as np

from lucid_keras._extras import needed
from lucid_keras.export.flatbuffer import dtype_name, schema
from lucid_keras.export.progress import doing

# A bin is what float32 numbers have in common in their sign, their exponent and five bits of their mantissa: 3 % of its
# value wide, wherever a tensor's values lie.
KEPT_BITS = 14
BINS = 1 << KEPT_BITS
SHIFT = 32 - KEPT_BITS
LEVELS = 255  # steps between the ends of an int8 range
FRACTIONS = np.geomspace(1.0, 0.02, 64)  # of a tensor's extremes, where its range is tried to end


def _middles():
    middles = ((np.arange(BINS, dtype=np.uint32) << SHIFT) + (1 << (SHIFT - 1))).view(np.float32)
    return np.where(np.isfinite(middles), middles, 0).astype(np.float64)


MIDDLES = _middles()
Tensor = tuple[int, int]  # the number of a graph, and of a tensor in it
Range = tuple[float, float]


@dataclasses.dataclass
class Distribution:
    """What a tensor held: its extremes, zero among them, and how often each bin. Two of them add up."""

    counts: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(BINS, np.int64))
    extremes: Range = (0.0, 0.0)

    def add(self, values: np.ndarray) -> None:
        """More values; those that are not finite are left out."""
        values = np.ravel(values)
        if not np.isfinite(values.sum(dtype=np.float64)):
            values = values[np.isfinite(values)]
        self.counts += np.bincount(values.view(np.uint32) >> SHIFT, minlength=BINS)
        lowest, highest = self.extremes
        self.extremes = float(values.min(initial=lowest)), float(values.max(initial=highest))

    def __add__(self, other: "Distribution") -> "Distribution":
        (low, high), (others_low, others_high) = self.extremes, other.extremes
        return Distribution(self.counts + other.counts, (min(low, others_low), max(high, others_high)))

    def seen(self) -> tuple[np.ndarray, np.ndarray]:
        """The values that occur, each within a bin, in order, and how often."""
        found = np.flatnonzero(self.counts)
        values = np.clip(MIDDLES[found], *self.extremes)
        order = np.argsort(values, kind="stable")
        return values[order], self.counts[found][order]


def statistics(
    content: bytes, samples: Mapping[str, Sequence[Mapping]], tensors: Container[Tensor] | None = None, threads: int = 2
) -> dict[Tensor, Distribution]:
    """A `Distribution` for each float32 tensor that the signatures of a file compute or are given.

    Inside a loop only what the last step left could be read; its tensors are left out.

    Args:
        content: the bytes of a file in float32.
        samples: the inputs by signature, a list of dicts of arrays each.
        tensors: those that are wanted, None for all; reading them takes longer than computing them.
        threads: of the interpreter.
    """
    litert = needed("ai_edge_litert.interpreter", "calibration needs LiteRT")
    loaded = litert.Interpreter(model_content=content, num_threads=threads, experimental_preserve_all_tensors=True)
    model = schema().ModelT.InitFromPackedBuf(content)
    graphs = {one.signatureKey.decode(): one.subgraphIndex for one in model.signatureDefs}
    found: dict[Tensor, Distribution] = {}
    with doing("calibrating", sum(map(len, samples.values()))) as advance:
        for signature, given in samples.items():
            index = graphs[signature]
            activations = _activations(model.subgraphs[index])
            wanted = [tensor for tensor in activations if tensors is None or (index, tensor) in tensors]
            for sample in given:
                loaded.get_signature_runner(signature)(**sample)
                for tensor in wanted:
                    try:
                        values = loaded.get_tensor(tensor, index)
                    except ValueError:  # nothing reads it, so LiteRT has not kept it
                        continue
                    found.setdefault((index, tensor), Distribution()).add(values)
                advance()
    return found


def _activations(graph):
    computed = {int(index) for operator in graph.operators for index in operator.outputs}
    given = computed | {int(index) for index in graph.inputs}
    return sorted(index for index in given if index >= 0 and dtype_name(graph.tensors[index]) == "float32")


def ranges(distributions: Mapping[Tensor, Distribution]) -> dict[Tensor, Range]:
    """Where to clip each tensor so that in int8 its values keep the least squared error; zero, which is exact, within.

    What lies beyond an end loses its distance to it, what lies within a twelfth of a squared step, and what is smaller
    than half a step becomes zero.
    """
    return {tensor: _of_least_error(one) for tensor, one in distributions.items()}


def symmetric_ranges(distributions: Mapping[Tensor, Distribution]) -> dict[Tensor, Range]:
    """A range about zero for each tensor in int16, which holds all that occurred: clipping would lose more."""
    found = {}
    for tensor, one in distributions.items():
        largest = max(map(abs, one.extremes)) or 1.0
        found[tensor] = (-largest * 32768 / 32767, largest)
    return found


def _of_least_error(one):
    values, counts = one.seen()
    negative = values < 0
    below = _sums(-values[negative][::-1], counts[negative][::-1])
    above = _sums(values[~negative], counts[~negative])
    lowest, highest = one.extremes
    lows, highs = -lowest * FRACTIONS[:, None], highest * FRACTIONS
    steps = (lows + highs) / LEVELS
    errors = _errors(below, lows, steps) + _errors(above, highs, steps)
    low, high = np.unravel_index(np.argmin(errors), errors.shape)
    return -float(lows[low, 0]), float(highs[high])


def _sums(magnitudes, counts):
    """Magnitudes in order, and of their powers 0, 1 and 2 the sums over the first so many."""
    powers = counts[:, None] * magnitudes[:, None] ** np.arange(3)
    return magnitudes, np.concatenate([np.zeros((1, 3)), np.cumsum(powers, 0)])


def _errors(side, limits, steps):
    """The squared errors of the values of one sign, summed."""
    magnitudes, sums = side
    ends = limits, np.minimum(limits, steps / 2)
    within, small = (sums[np.searchsorted(magnitudes, end, "right")] for end in ends)
    beyond = sums[-1] - within
    clipped = beyond[..., 2] - 2 * limits * beyond[..., 1] + limits**2 * beyond[..., 0]
    return clipped + small[..., 2] + steps**2 / 12 * (within[..., 0] - small[..., 0])


def clipped(chosen: Mapping[Tensor, Range], distributions: Mapping[Tensor, Distribution]) -> dict[Tensor, float]:
    """The share of each tensor's values that lie outside its range, by whole bins."""
    shares = {}
    for tensor, one in distributions.items():
        values, counts = one.seen()
        ends = np.asarray(chosen[tensor], np.float32)
        (low, high), (lowest, highest) = MIDDLES[ends.view(np.uint32) >> SHIFT], ends
        low, high = min(low, lowest), max(high, highest)  # a bin's middle may lie on either side of an end
        shares[tensor] = float(counts[(values < low) | (values > high)].sum() / max(counts.sum(), 1))
    return shares
