"""Raw bytes, a shape and a dtype's name to an array, validated before anything is allocated."""

import math

import ml_dtypes
import numpy as np

DTYPES = {"bfloat16": np.dtype(ml_dtypes.bfloat16)} | {
    name: np.dtype(name).newbyteorder("<")
    for name in (
        *("float16", "float32", "float64", "complex64", "complex128", "bool"),
        *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    )
}


def array_of(raw, shape, dtype_name):
    """An array of a copy of `raw`, little-endian; bfloat16, which NumPy lacks, becomes float32, which holds it."""
    if not isinstance(shape, (list, tuple)) or not all(type(extent) is int and 0 <= extent < 2**63 for extent in shape):
        raise ValueError(f"a tensor's shape must be a list of non-negative ints. Received: shape={shape!r:.200}")
    if len(shape) > 64:
        raise ValueError(f"a tensor has at most 64 axes. Received: {len(shape)} axes")
    if not isinstance(dtype_name, str) or dtype_name not in DTYPES:
        raise ValueError(f"a tensor's dtype must be one of {', '.join(DTYPES)}. Received: dtype={dtype_name!r:.200}")
    if not isinstance(raw, (bytes, bytearray)):
        raise ValueError(f"a tensor's content must be bytes. Received: {type(raw).__name__}")
    stored = DTYPES[dtype_name]
    expected = math.prod(shape) * stored.itemsize
    if expected != len(raw):
        raise ValueError(
            f"a tensor of shape {list(shape)} and dtype {dtype_name} must hold {expected} bytes. Received: {len(raw)}"
        )
    held = np.float32 if dtype_name == "bfloat16" else stored.newbyteorder("=")
    return np.ndarray(shape, stored, raw).astype(held)
