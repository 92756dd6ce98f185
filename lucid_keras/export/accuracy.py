"""How near what an artefact computes is to what the Keras model computes. The one definition of decibels here."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lucid_keras._arrays import array_of_numbers

QUIET_DB = 20.0  # a channel so far below the floor is told of: the others' loudness hides it
# What a voice sounds like at so many dB and more, by what trained voices got in PESQ (docs/speed/voices.md): 4.64, the
# best there is, at 30, 4.4 to 4.6 at 20, 3.4 at 17.
HEARD = (
    (60.0, "no difference is heard"),
    (30.0, "a difference is hardly heard"),
    (20.0, "a little noise in the quietest passages"),
    (15.0, "noise in quiet passages"),
    (8.0, "noise throughout"),
    (-math.inf, "another sound"),
)


def heard(decibels: float) -> str:
    """What a voice with this signal-to-noise ratio sounds like beside the original."""
    return next(words for least, words in HEARD if decibels >= least)


@dataclasses.dataclass(frozen=True)
class OutputAccuracy:
    """How one output of one signature compares with the Keras model over all verified samples.

    `snr_db` is the energy of the reference over that of the error, in dB, infinite where there is no error;
    `max_error` the largest absolute difference, `peak` the reference's largest magnitude. `channel` is the channel
    with the least ratio, `channel_db`, of those that are not silent in the reference; None where there is one alone.
    """

    signature: str
    name: str
    snr_db: float
    max_error: float
    peak: float
    samples: int
    lengths: tuple[int, ...]
    channel: int | None = None
    channel_db: float = math.inf


@dataclasses.dataclass(frozen=True)
class LayerAccuracy:
    """A layer's signal-to-noise ratio in dB: of its output, and by itself.

    By itself is against what the Keras layer makes of those inputs that the artefact's layer had, so that an error
    which a layer only passes on or amplifies is not its own.
    """

    name: str
    snr_db: float
    own_snr_db: float


def snr_db(reference: npt.ArrayLike, result: npt.ArrayLike) -> float:
    """The signal-to-noise ratio of a result, in dB: the reference's energy over that of the difference.

    Args:
        reference: what is right: an array of any shape, or a list of arrays, whose energies add up.
        result: what is compared with it: an array of the same shape, or a list of as many.

    Returns:
        `10 * log10(sum(reference**2) / sum((result - reference)**2))`, in float64; infinite where nothing differs,
        minus infinity where something does and the reference is silent, or where a number is not finite.

    Raises:
        ValueError: the shapes differ.
        TypeError: what is given holds no numbers.

    Example:

    >>> print(f"{snr_db(np.array([1., 2.]), np.array([1., 2.02])):.1f}")
    41.0
    """
    references, results = (
        [array_of_numbers(name, one) for one in (given if isinstance(given, (list, tuple)) else [given])]
        for name, given in (("reference", reference), ("result", result))
    )
    if not references or len(references) != len(results):
        raise ValueError(
            f"reference and result must be as many arrays, one at least. Received: {len(references)} and {len(results)}"
        )
    pairs = zip(references, results, strict=True)
    return float(_decibels(*np.sum([_energies(*pair, axes=()) for pair in pairs], axis=0)))


def accuracy(
    signature: str,
    name: str,
    references: Sequence[np.ndarray],
    results: Sequence[np.ndarray | None],
    lengths: tuple[int, ...],
    time_axis: int | None = None,
) -> OutputAccuracy:
    """The `OutputAccuracy` of one output; raises where the artefact has none or one of another shape.

    Channels are all axes but the batch's and `time_axis`, the output's longest where None.
    """
    for one, other in zip(references, results, strict=True):
        if other is None or one.shape != other.shape:
            raise ValueError(
                f"The artefact must have the model's output {name!r} of shape {list(one.shape)}. "
                f"Received: {'no such output' if other is None else f'shape {list(other.shape)}'}"
            )
    over_time = _over_time(references, time_axis)
    signal, noise = np.sum([_energies(*pair, over_time) for pair in zip(references, results, strict=True)], axis=0)
    worst, channel = math.inf, None
    if signal.size > 1 and np.any(signal > 0):
        by_channel = np.where(signal > 0, _decibels(signal, noise), np.inf).reshape(-1)
        channel = int(np.argmin(by_channel))
        worst = float(by_channel[channel])
    return OutputAccuracy(
        signature=signature,
        name=name,
        snr_db=float(_decibels(signal.sum(), noise.sum())),
        max_error=max(_largest(_difference(*pair)) for pair in zip(references, results, strict=True)),
        peak=max(_largest(np.asarray(one, np.float64)) for one in references),
        samples=len(references),
        lengths=lengths,
        channel=channel,
        channel_db=worst,
    )


def _over_time(references, time_axis):
    """The axes that are no channels': the batch's, time's, others of several extents; all where there are but two."""
    rank = references[0].ndim
    if rank < 3:
        return ()
    varying = {axis for axis in range(1, rank) if len({one.shape[axis] for one in references}) > 1}
    longest = max(references, key=lambda one: one.size)
    return (0, *varying.union([1 + int(np.argmax(longest.shape[1:])) if time_axis is None else time_axis]))


def _energies(reference, result, axes):
    """The energies of the reference and of the difference, summed over `axes`, or all of them."""
    with np.errstate(over="ignore"):
        squares = np.square(np.asarray(reference, np.float64)), np.square(_difference(reference, result))
    return [np.sum(one, axis=axes or None) for one in squares]


def _difference(reference, result):
    """What the result is off by; infinite where it is no number."""
    reference, result = np.asarray(reference, np.float64), np.asarray(result, np.float64)
    if reference.shape != result.shape:
        raise ValueError(f"Both shapes must be equal. Received: {list(reference.shape)} and {list(result.shape)}")
    with np.errstate(invalid="ignore"):
        difference = result - reference
    return np.nan_to_num(difference, nan=np.inf, posinf=np.inf, neginf=np.inf)


def _largest(array):
    return float(np.abs(array).max(initial=0.0))


def _decibels(signal, noise):
    """Energies as a ratio in dB."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = 10 * (np.log10(np.asarray(signal, np.float64)) - np.log10(noise))  # a quotient may not be a float
    return np.where(noise == 0, np.inf, np.where(np.isfinite(signal + noise), ratio, -np.inf))
