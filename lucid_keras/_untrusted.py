"""Files that nobody vouches for: read whole, once, and checked before anything is allocated. No TensorFlow."""

import collections
import io
import math
import os
import pathlib
import sys
import tokenize
import zipfile
import zlib

import ml_dtypes
import numpy as np

DTYPES = {"bfloat16": np.dtype(ml_dtypes.bfloat16)} | {
    name: np.dtype(name).newbyteorder("<")
    for name in (
        *("float16", "float32", "float64", "complex64", "complex128", "bool"),
        *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    )
}

# What a file may unfold to in memory: legitimate ones stay far below, a zip bomb reaches a thousand times its size.
MAX_EXPANSION = 16
SMALL = 64 << 20

# All that zipfile and NumPy's reader of headers are known to raise for what is not what it should be.
DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError),
    *(MemoryError, SyntaxError, tokenize.TokenError),
)


def content_of(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a file; raises ValueError for more than memory holds, and for a pipe or a device, which may not end.

    Links are followed.
    """
    path = pathlib.Path(path)
    size = path.stat().st_size
    if not path.is_file():
        raise ValueError(f"path must be a file, not a folder, a pipe or a device. Received: path={str(path)!r}")
    if size > _memory():
        raise ValueError(
            f"a file must fit into memory, {_memory()} bytes. Received: path={str(path)!r} of {size} bytes"
        )
    with open(path, "rb") as file:
        return file.read(size)


def _memory():
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows does not tell
        return sys.maxsize


def largest(size):
    """The most bytes that a file of `size` bytes may unfold to."""
    return max(SMALL, MAX_EXPANSION * size)


def unique(pairs):
    """A dict of pairs; raises where a name comes twice, of which one would be lost. `json.loads` takes it as a hook."""
    counts = collections.Counter(name for name, _ in pairs)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise ValueError(f"a name must come once. Received: {', '.join(f'{name!r:.60}' for name in twice[:8])} twice")
    return dict(pairs)


def archive_in(content):
    """The zip archive in the bytes of a file, its members different and unfolding to no more than they may.

    It is read from memory, where a length that the archive claims cannot make a read allocate more than there is.
    """
    archive = zipfile.ZipFile(io.BytesIO(content))
    members = archive.infolist()
    total = sum(member.file_size for member in members)
    if total > largest(len(content)):
        raise ValueError(f"it unfolds to {total} bytes, more than {largest(len(content))}")
    if any(member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for member in members):
        raise ValueError("its members must be stored or deflated")
    # A wrong length would hide further members in a comment; torch reads nothing of what is marked as a folder.
    if any(member.comment or (member.external_attr & 0x10 and not member.is_dir()) for member in members):
        raise ValueError("its members must be files without comments")
    unique([(member.filename, member) for member in members])
    return archive


def npz_arrays(content):
    """The arrays by name in the bytes of a `.npz` file; raises ValueError for anything else."""
    try:
        archive = archive_in(content)
        return unique([(name.removesuffix(".npy"), npy_array(archive.read(name))) for name in archive.namelist()])
    except DAMAGED as error:
        raise ValueError(str(error)) from None


def npy_array(content):
    """The array in the bytes of a `.npy` file; pickled objects are refused."""
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        headers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in headers:
            raise ValueError(f"the .npy format version must be 1.0 or 2.0, not {version}")
        shape, fortran_order, dtype = headers[version](stream)
    except DAMAGED as error:
        raise ValueError(f"its header is damaged: {error}") from None
    if dtype.kind not in "fciub" or dtype.byteorder == ">":
        raise ValueError(f"an array must be numeric and little-endian, not of dtype {dtype}")
    array = array_of(stream.read(), shape[::-1] if fortran_order else shape, dtype.name)
    return array.T if fortran_order else array


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
