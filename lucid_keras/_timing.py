"""How long a call takes. Standard library only."""

import statistics
import time
from collections.abc import Callable


def milliseconds(invoke: Callable[[], object], seconds: float = 1.0, least: int = 10) -> float:
    """The median time of `invoke()` in milliseconds, over `least` calls or as many as fit in `seconds`."""
    invoke()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < least or time.perf_counter() < end:
        start = time.perf_counter()
        invoke()
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)
