"""Raw bytes, a shape and a dtype's name to an array, validated before anything is allocated."""

import math

import numpy as np

DTYPES = {
    name: np.dtype(name).newbyteorder("<")
    for name in (
        *("float16", "float32", "float64", "complex64", "complex128", "bool"),
        *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    )
}


def array_of(raw, shape, dtype_name):
    """An array over a copy of `raw`, little-endian; bfloat16, which NumPy lacks, becomes float32, which holds it."""
    if not isinstance(shape, (list, tuple)) or not all(type(extent) is int and 0 <= extent < 2**63 for extent in shape):
        raise ValueError(f"a tensor's shape must be a list of non-negative ints. Received: shape={shape!r:.200}")
    if len(shape) > 64:
        raise ValueError(f"a tensor has at most 64 axes. Received: {len(shape)} axes")
    if dtype_name != "bfloat16" and (not isinstance(dtype_name, str) or dtype_name not in DTYPES):
        raise ValueError(
            f"a tensor's dtype must be bfloat16 or one of {', '.join(DTYPES)}. Received: dtype={dtype_name!r:.200}"
        )
    if not isinstance(raw, (bytes, bytearray)):
        raise ValueError(f"a tensor's content must be bytes. Received: {type(raw).__name__}")
    stored = np.dtype("<u2") if dtype_name == "bfloat16" else DTYPES[dtype_name]
    expected = math.prod(shape) * stored.itemsize
    if expected != len(raw):
        raise ValueError(
            f"a tensor of shape {list(shape)} and dtype {dtype_name} must hold {expected} bytes. Received: {len(raw)}"
        )
    values = np.frombuffer(raw, stored) if raw else np.empty(0, stored)
    if dtype_name == "bfloat16":
        return (values.astype(np.uint32) << 16).view(np.float32).reshape(shape)
    return values.astype(values.dtype.newbyteorder("="), copy=True).reshape(shape)
