"""What a call adds to this process's resident memory at its peak, on Linux with glibc; None elsewhere."""

import ctypes
import gc
import pathlib

STATUS, CLEAR = pathlib.Path("/proc/self/status"), pathlib.Path("/proc/self/clear_refs")
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's mallopt
PAGES = 64 * 1024  # blocks above this go back to the system when they are freed, so that the peak is seen
CALLS = 3
ADAPTED = 32 * 1024 * 1024  # where glibc's own adaptive thresholds end once large tensors have come and gone


def peak_mib(call):
    """The resident MiB at the peak of `call()` beyond those before it.

    Freed blocks that malloc keeps would hide what the call takes anew. So for these calls malloc keeps none; they are
    never made before a timing is over, because returning pages makes calls slower. Of several the largest counts: what
    a thread has not let go of yet when a call begins is missing from its peak.
    """
    if not STATUS.exists() or not hasattr(ctypes.CDLL(None), "mallopt"):
        return None
    libc = ctypes.CDLL(None)
    libc.mallopt(M_MMAP_THRESHOLD, PAGES)
    libc.mallopt(M_TRIM_THRESHOLD, PAGES)
    try:
        call()  # blocks that were kept are given back
        return max(_added(call, libc) for _ in range(CALLS))
    finally:
        libc.mallopt(M_MMAP_THRESHOLD, ADAPTED)
        libc.mallopt(M_TRIM_THRESHOLD, 2 * ADAPTED)


def _added(call, libc):
    gc.collect()
    libc.malloc_trim(0)
    CLEAR.write_text("5")  # the peak so far is what is resident now
    before = process_peak_mib()
    call()
    return process_peak_mib() - before


def process_peak_mib():
    """The largest resident MiB of this process so far, on Linux."""
    return int(STATUS.read_text().split("VmHWM:")[1].split()[0]) / 1024
