"""How long a call takes, and on what processor. Standard library only."""

import os
import pathlib
import platform
import statistics
import time
from collections.abc import Callable

CPUINFO = pathlib.Path("/proc/cpuinfo")


def milliseconds(invoke: Callable[[], object], seconds: float = 1.0) -> float:
    """The median time of `invoke()` in milliseconds, over three calls or as many as fit in `seconds`."""
    invoke()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        invoke()
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def processor() -> str:
    """Its name."""
    lines = CPUINFO.read_text().splitlines() if CPUINFO.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def cores() -> int:
    """How many this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
