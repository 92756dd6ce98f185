"""Ranges of a float file's activations: what its tensors hold on calibration data, and where to clip them."""

import dataclasses
import warnings
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from lucid_keras._arguments import check_choice
from lucid_keras._extras import needed
from lucid_keras.export.flatbuffer import dtype_name, schema
from lucid_keras.export.progress import doing

# A bin is what float32 numbers have in common in their sign, their exponent and five bits of their mantissa: 3 % of its
# value wide, wherever a tensor's values lie.
KEPT_BITS = 14
BINS = 1 << KEPT_BITS
SHIFT = 32 - KEPT_BITS
LEVELS = 255  # steps between the ends of an int8 range
FRACTIONS = np.geomspace(1.0, 0.02, 64)  # of the largest magnitude, where a range is tried


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
        if not values.size:
            return None
        low, high = values.min(), values.max()
        if not np.isfinite(low) or not np.isfinite(high):
            return self.add(values[np.isfinite(values)])
        self.counts += np.bincount(values.view(np.uint32) >> SHIFT, minlength=BINS)
        self.extremes = min(self.extremes[0], float(low)), max(self.extremes[1], float(high))

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
    content: bytes, samples: Mapping[str, Sequence[Mapping]], threads: int = 2
) -> dict[Tensor, Distribution]:
    """A `Distribution` for each float32 tensor that the signatures of a file compute or are given.

    Inside a loop only what the last step left could be read; its tensors are left out.

    Args:
        content: the bytes of a file in float32.
        samples: the inputs by signature, a list of dicts of arrays each.
        threads: of the interpreter.
    """
    litert = needed("ai_edge_litert.interpreter", "calibration needs LiteRT")
    with warnings.catch_warnings(action="ignore"):  # that keeping all tensors is for debugging
        loaded = litert.Interpreter(model_content=content, num_threads=threads, experimental_preserve_all_tensors=True)
    model = schema().ModelT.InitFromPackedBuf(content)
    graphs = {one.signatureKey.decode(): one.subgraphIndex for one in model.signatureDefs}
    found: dict[Tensor, Distribution] = {}
    with doing("calibrating", sum(map(len, samples.values()))) as advance:
        for signature, given in samples.items():
            index = graphs[signature]
            activations = _activations(model.subgraphs[index])
            for sample in given:
                loaded.get_signature_runner(signature)(**sample)
                for tensor in activations:
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


def ranges(distributions: Mapping[Tensor, Distribution], method: str) -> dict[Tensor, Range]:
    """Where to clip each tensor; zero, which must be exact, lies within.

    Args:
        distributions: of `statistics`.
        method: `"extremes"`; `"percentile"`, 99.99 % of the values; `"mse"`, the least mean squared error;
            `"entropy"`, the least divergence of the quantized distribution, as TensorRT takes it.
    """
    check_choice("method", method, tuple(METHODS))
    return {tensor: METHODS[method](one) for tensor, one in distributions.items()}


def _percentile(one):
    values, counts = one.seen()
    passed = np.cumsum(counts) / counts.sum()
    low, high = (values[np.searchsorted(passed, share)] for share in (1e-4, 1 - 1e-4))
    return min(0.0, float(low)), max(0.0, float(high))


def _mse(one):
    values, counts = one.seen()
    low, high = _tried(one)
    steps = np.maximum((high - low) / LEVELS, np.finfo(np.float32).tiny)[:, None]
    clipped = values - np.clip(values, low[:, None], high[:, None])
    magnitudes = np.abs(values)
    rounded = np.where(magnitudes < steps / 2, magnitudes, steps / np.sqrt(12))  # what is small becomes zero
    errors = (np.square(np.where(clipped == 0, rounded, clipped)) * counts).sum(1)
    best = int(np.argmin(errors))
    return float(low[best]), float(high[best])


def _entropy(one, bins=2048, levels=128):
    values, counts = one.seen()
    largest = max(map(abs, one.extremes))
    if not largest:
        return one.extremes
    placed = np.minimum((np.abs(values) / largest * bins).astype(int), bins - 1)
    histogram = np.bincount(placed, counts, bins)
    histogram[0] = 0  # the zeros, which any range holds
    kept = np.arange(levels, bins + 1, 16)
    divergences = [_divergence(histogram, last, levels) for last in kept]
    limit = kept[int(np.argmin(divergences))] / bins * largest
    return max(one.extremes[0], -limit), min(one.extremes[1], limit)


def _divergence(histogram, last, levels):
    """Kullback and Leibler's, of the first bins from what is left of them on so many levels."""
    reference = histogram[:last].copy()
    level = np.arange(last) * levels // last
    present = reference > 0
    sums, sizes = (np.bincount(level, weights, levels) for weights in (reference, present))
    quantized = np.where(present, (sums / np.maximum(sizes, 1))[level], 0)
    reference[-1] += histogram[last:].sum()
    present = (reference > 0) & (quantized > 0)
    p, q = reference / max(reference.sum(), 1), quantized / max(quantized.sum(), 1)
    lost = p[(reference > 0) & ~present].sum()  # of a probability that the quantized one has not at all
    return (p[present] * np.log(p[present] / q[present])).sum() + lost * 30


def _tried(one):
    limits = FRACTIONS * max(map(abs, one.extremes))
    return np.maximum(one.extremes[0], -limits), np.minimum(one.extremes[1], limits)


METHODS: dict[str, Callable[[Distribution], Range]] = {
    "extremes": lambda one: one.extremes,
    "percentile": _percentile,
    "mse": _mse,
    "entropy": _entropy,
}


def clipped(chosen: Mapping[Tensor, Range], distributions: Mapping[Tensor, Distribution]) -> dict[Tensor, float]:
    """The share of each tensor's values that lie outside its range, by whole bins."""
    shares = {}
    for tensor, one in distributions.items():
        values, counts = one.seen()
        bounds = np.asarray(chosen[tensor], np.float32).view(np.uint32) >> SHIFT
        low, high = MIDDLES[bounds]
        shares[tensor] = float(counts[(values < low) | (values > high)].sum() / max(counts.sum(), 1))
    return shares
