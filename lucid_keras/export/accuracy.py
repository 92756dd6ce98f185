"""`snr_db`: the one definition of how near a result is to its reference, in decibels."""

import math

import numpy as np
import numpy.typing as npt


def snr_db(reference: npt.ArrayLike, result: npt.ArrayLike) -> float:
    """The energy of the reference over the energy of the difference, in dB.

    Args:
        reference: what is right: an array of any shape, or a list of arrays, whose energies add up.
        result: what is compared with it: an array of the same shape, or a list of as many.

    Returns:
        `10*log10(sum reference**2 / sum (result - reference)**2)`, computed in float64. `inf` where there is no
        difference; `-inf` where the reference is silent and the result is not, or where something is not finite.

    Raises:
        ValueError: the shapes differ.

    Example:

    >>> snr_db([3.0, 4.0], [3.0, 4.5])
    20.0
    >>> snr_db([[3.0, 4.0], [0.0]], [[3.0, 4.0], [0.0]])
    inf
    """
    signal = noise = 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        for one, other in zip(_arrays(reference), _arrays(result), strict=True):
            if one.shape != other.shape:
                raise ValueError(f"shapes must be equal. Received: {list(one.shape)} and {list(other.shape)}")
            signal, noise = signal + float(np.sum(one**2)), noise + float(np.sum((other - one) ** 2))
    if not math.isfinite(signal + noise):
        return -math.inf
    if noise == 0:
        return math.inf
    return 10 * (math.log10(signal) - math.log10(noise)) if signal > 0 else -math.inf


def _arrays(given: npt.ArrayLike) -> list[npt.NDArray[np.float64]]:
    parts = given if isinstance(given, (list, tuple)) else [given]
    return [np.asarray(part, np.float64) for part in parts]
