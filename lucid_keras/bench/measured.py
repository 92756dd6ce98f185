"""What the rounds say: quartiles of a subject's times, and the median of the ratios between two subjects."""

import statistics

import numpy as np


def quartiles(numbers):
    """Lower quartile, median, upper quartile."""
    return np.quantile(numbers, [0.25, 0.5, 0.75]).tolist()


def times(results, name):
    """A subject's milliseconds, one a round; None if it was not timed to the end."""
    result = results.get(name, {})
    return None if "skipped" in result else result.get("milliseconds") or None


def ratio(results, other, ours):
    """The median over the rounds of the other's time to ours, both of one round; None where either was not timed."""
    theirs, own = times(results, other), times(results, ours)
    if theirs is None or own is None:
        return None
    return statistics.median(a / b for a, b in zip(theirs, own, strict=True))
