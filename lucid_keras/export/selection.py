"""Which layers a file loses its accuracy in, by what the output loses when a layer alone is quantized; and the fewest
that have to stay in float32 for a floor."""

import heapq
import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence

from lucid_keras.export.accuracy import snr_db
from lucid_keras.export.claims import Claim
from lucid_keras.export.live import first_call
from lucid_keras.export.mixed import Mixed
from lucid_keras.export.progress import doing
from lucid_keras.export.report import CurvePoint
from lucid_keras.runtimes import LiteRT

TELLING = 2  # samples that tell one layer's loss from another's
TIMED_SECONDS = 0.2


def ratio_db(runtime: LiteRT, claims: Sequence[Claim], samples: int | None = None) -> float:
    """The least signal-to-noise ratio of the outputs of a file, in dB; of each claim's first samples alone."""
    worst = math.inf
    for claim in claims:
        some = slice(samples)
        results = [claim.run(runtime, sample) for sample in claim.samples[some]]
        for name in claim.references[0]:
            references = [reference[name] for reference in claim.references[some]]
            worst = min(worst, snr_db(references, [result[name] for result in results]))
    return worst


def noise_of(mixed: Mixed, claims: Sequence[Claim], kept: Sequence[str] = ()) -> Callable[[Sequence[str]], float]:
    """The noise at the output, over the signal's energy, when some layers alone are quantized of those not kept."""
    return lambda layers: _energy(ratio_db(LiteRT(mixed.alone(layers, kept)), claims[:1], TELLING))


def culprits(layers: Sequence[str], noise: Callable[[Sequence[str]], float]) -> Iterator[tuple[str, float]]:
    """Layers with their noise, from the greatest down; as many are measured as it takes to tell the next.

    Noise adds up: the noisiest group of layers is halved until it is one layer.
    """
    order = itertools.count()  # between equals, by their place in the graph
    heap = [(-math.inf, next(order), tuple(layers))] if layers else []
    while heap:
        loss, _, group = heapq.heappop(heap)
        if len(group) == 1 and loss != -math.inf:
            yield group[0], -loss
            continue
        middle = len(group) // 2
        for half in filter(None, (group[:middle], group[middle:])):
            heapq.heappush(heap, (-noise(half), next(order), half))


def worst_layer(mixed: Mixed, claims: Sequence[Claim], kept: Sequence[str]) -> tuple[str, float] | None:
    """The layer that loses the most of those not kept, and the output's ratio in dB when it alone is quantized."""
    layers = [path for path in mixed.layers if path not in kept]
    with doing("looking for the layer that loses the most"):
        found = next(culprits(layers, noise_of(mixed, claims, kept)), None)
    return found and (found[0], _decibels(found[1]))


def fewest(mixed: Mixed, claims: Sequence[Claim], floor_db: float, until: float = math.inf) -> tuple[CurvePoint, ...]:
    """What was tried to reach the floor, the one with the fewest layers that does last, or the best.

    Layers are kept in float32 in the order of their noise, and the least number of them is found by halving. After the
    moment `until` of the monotonic clock nothing further is tried.
    """
    with doing("looking for the layers to keep in float32"):
        points, kept, least = [tried(mixed, claims)], [], 0
        expected, bearable = _energy(points[0].snr_db), _energy(floor_db)
        found = culprits(mixed.layers, noise_of(mixed, claims)) if points[0].snr_db < floor_db else iter(())
        for layer, loss in found:
            kept.append(layer)
            expected -= loss
            if expected > bearable and len(kept) < 2 * max(least, 1):
                continue
            points.append(tried(mixed, claims, tuple(kept)))
            if points[-1].snr_db >= floor_db or time.monotonic() > until:
                break
            expected, least = _energy(points[-1].snr_db), len(kept)
        return tuple(_narrowed(mixed, claims, floor_db, points, kept, least))


def _narrowed(mixed, claims, floor_db, points, kept, least):
    """The points, and between the last that misses the floor and the one that reaches it the fewest layers."""
    best, most = max(points, key=lambda one: min(one.snr_db, floor_db)), len(kept)
    while best.snr_db >= floor_db and most - least > 1:
        middle = (least + most) // 2
        points.append(tried(mixed, claims, tuple(kept[:middle])))
        if points[-1].snr_db >= floor_db:
            best, most = points[-1], middle
        else:
            least = middle
    return [*(one for one in points if one is not best), best]


def tried(mixed: Mixed, claims: Sequence[Claim], kept: tuple[str, ...] = ()) -> CurvePoint:
    """What becomes of the file with some layers in float32."""
    content = mixed.written(kept)
    runtime = LiteRT(content)
    coverage, (signature, inputs) = runtime.coverage(), first_call(runtime, claims[0])
    return CurvePoint(
        recipe=mixed.recipe.name,
        kept=kept,
        snr_db=ratio_db(runtime, claims),
        bytes=len(content),
        milliseconds=runtime.milliseconds(signature, inputs, TIMED_SECONDS),
        partitions=coverage.partitions,
        outside=len(coverage.outside),
    )


def _energy(decibels):
    return 10 ** (-decibels / 10)


def _decibels(energy):
    return -10 * math.log10(energy) if energy > 0 else math.inf
