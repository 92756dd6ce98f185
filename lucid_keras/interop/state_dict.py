"""`read_state_dict`: a checkpoint file to a dict of NumPy arrays; nothing in the file is executed. No TensorFlow."""

import io
import json
import math
import os
import pathlib
import re
from collections.abc import Mapping

import numpy as np

from lucid_keras._arguments import check_text
from lucid_keras._arrays import REAL, array_of_numbers
from lucid_keras._extras import needed
from lucid_keras._untrusted import DTYPES, archive_in, array_of, content_of, largest, npz_arrays, unique
from lucid_keras.interop.lucid_file import read_lucid, read_sharded

TORCH_SUFFIXES = (".pt", ".pth", ".ckpt", ".bin")
ZIP_MAGIC = b"PK\x03\x04"

SAFETENSORS_DTYPES = {"BF16": "bfloat16", "BOOL": "bool", "C64": "complex64"} | {
    f"{dtype.kind.upper()}{8 * dtype.itemsize}": name for name, dtype in DTYPES.items() if dtype.kind in "fiu"
}


def read_state_dict(path: str | os.PathLike[str], key: str | None = None) -> dict[str, np.ndarray]:
    """Read the tensors of a checkpoint by name. No code in the file is executed.

    Args:
        path: a `.safetensors` or `.npz` file, a PyTorch `.pt`, `.pth`, `.ckpt` or `.bin` file (read by torch with
            `weights_only=True`; torch must be installed for these only), a Lucid `.lucid` file of format 1 or 2, or
            the directory of a sharded Lucid checkpoint.
        key: where the state dict lies in a file that wraps it, `"generator"` or nested `"model.generator"`. Default
            None: at the top, or under `"state_dict"`, or under the one key that holds tensors.

    Returns:
        A dict of name to NumPy array in the file's order. bfloat16 and 8-bit floats, which NumPy lacks, become
        float32, which holds them exactly. Entries that are not tensors are left out.

    Raises:
        ValueError: the path is a pipe or a device, the file is larger than the memory, damaged or not what its name
            says, unfolds to far more than its size, or holds a name twice, or several state dicts of which `key` names
            none.
        TypeError: `key` is no string.
        ImportError: the format needs a package that is not installed; the message names it.

    Example:

    >>> import pathlib, tempfile, numpy as np
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "decoder.npz"
    >>> np.savez(path, **{"up.weight": np.zeros((16, 8, 4), "float32")})
    >>> {name: array.shape for name, array in read_state_dict(path).items()}
    {'up.weight': (16, 8, 4)}
    """
    check_text("key", key)
    path = pathlib.Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there must be a checkpoint at the path. Received: path={str(path)!r}")
    read = READERS.get("" if path.is_dir() else path.suffix.lower())
    if read is None:
        raise ValueError(
            f"a checkpoint's name must end in one of {', '.join(filter(None, READERS))}, or be a sharded Lucid "
            f"checkpoint's directory. Received: path={str(path)!r}"
        )
    tensors = _state_dict_in(read(path), key, path)
    files = path.iterdir() if path.is_dir() else [path]
    limit = largest(sum(file.stat().st_size for file in files))
    held = sum(math.prod(_plain(name, one).shape) * one.itemsize for name, one in tensors.items())
    if held > limit:  # torch's tensors may be views that repeat few numbers many times
        raise ValueError(f"a file of this size holds at most {limit} bytes. Received: {path} with {held}")
    return {name: as_array(name, tensor) for name, tensor in tensors.items()}


def _read_safetensors(path):
    safetensors = needed("safetensors", "reading .safetensors needs safetensors", "interop")
    content = content_of(path)
    try:
        tensors = safetensors.deserialize(content)
        # The reader would take the last of two tensors of one name.
        json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")], object_pairs_hook=unique)
    except (safetensors.SafetensorError, ValueError) as error:
        raise ValueError(f"{path} is not a readable .safetensors file: {error}") from error
    return {name: _safetensor(name, tensor) for name, tensor in tensors}


def _safetensor(name, tensor):
    code = tensor["dtype"]
    if code in SAFETENSORS_DTYPES:
        return array_of(tensor["data"], tensor["shape"], SAFETENSORS_DTYPES[code])
    raise ValueError(
        f"a tensor's dtype must be one of {', '.join(SAFETENSORS_DTYPES)}. Received: {name} of dtype {code}"
    )


def _read_npz(path):
    try:
        return npz_arrays(content_of(path))
    except ValueError as error:
        raise ValueError(f"{path} is not a readable .npz file: {error!s:.500}") from error


def _read_torch(path):
    try:
        import torch
    except ImportError:
        raise ImportError(
            f"reading a PyTorch file ({', '.join(TORCH_SUFFIXES)}) needs torch: pip install torch; or save it as "
            f".safetensors where torch is. Received: path={str(path)!r}"
        ) from None
    content = content_of(path)
    try:
        if content.startswith(ZIP_MAGIC):  # else the form before PyTorch 1.6
            _check_sums(archive_in(content))
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises nearly every type for a damaged or a refused file
        refused = re.search(r"Unsupported global: GLOBAL (\S+)", str(error))
        reason = (
            f"it holds more than tensors, {refused[1]}; where you trust it, load it in PyTorch and save its state dict"
            if refused
            else f"{type(error).__name__}: {error!s:.200}"
        )
        raise ValueError(f"{path} cannot be read with weights_only=True: {reason}") from error


def _check_sums(archive):
    """Raise where a member's bytes are not those that its checksum was made of, which torch itself never asks."""
    if damaged := archive.testzip():
        raise ValueError(f"its member {damaged!r:.200} does not match its checksum")


def as_array(name, tensor):
    """The array that an array-like or a torch tensor holds; torch is there if the tensor is."""
    if not _is_tensor(tensor) or isinstance(tensor, np.ndarray):
        return array_of_numbers(name, tensor, "c" + REAL)
    import torch

    _plain(name, tensor)
    tensor = tensor.detach().resolve_conj().resolve_neg()
    if tensor.dtype == torch.bfloat16 or (tensor.dtype.is_floating_point and tensor.element_size() == 1):
        tensor = tensor.float()
    return np.array(tensor.numpy())  # a copy: views of one storage are independent after it


def _plain(name, tensor):
    """The array or torch tensor, once it is known that its shape and its numbers can be asked for."""
    if isinstance(tensor, np.ndarray):
        return tensor
    strided, nested = str(tensor.layout) == "torch.strided", tensor.is_nested
    if not strided or nested or tensor.is_quantized or tensor.device.type != "cpu":
        raise ValueError(
            "a tensor must be dense and hold plain numbers. "
            f"Received: {name} of {'nested ' if nested else ''}{tensor.layout}, {tensor.dtype}, on {tensor.device}"
        )
    return tensor


def arrays_by_name(state):
    """A state dict's tensors as arrays; raises where it is none."""
    if not isinstance(state, Mapping) or not all(isinstance(name, str) for name in state):
        raise TypeError(f"a state dict must be a dict of arrays by name. Received: {state!r:.200}")
    return {name: as_array(name, tensor) for name, tensor in state.items()}


READERS = {
    ".safetensors": _read_safetensors,
    ".npz": _read_npz,
    **dict.fromkeys(TORCH_SUFFIXES, _read_torch),
    ".lucid": read_lucid,
    "": read_sharded,
}


def _state_dict_in(content, key, path):
    """The tensors by name within what a file holds: under `key`, at the top, or under the one key that holds any."""
    where = str(path)
    parts = () if key is None else key.split(".")
    if key in _named(content):  # as the file has it, dots and all
        parts = (key,)
    for part in parts:
        if part not in _named(content):
            raise ValueError(
                f"key must lead to a state dict. Received: key={key!r}, and {where} holds {_held(content)}"
            )
        content, where = content[part], f"{where}[{part!r}]"
    inner = {name: found for name, value in _named(content).items() if (found := _tensors(value))}
    tensors = _tensors(content) or inner.get("state_dict")
    if not tensors and len(inner) > 1:
        raise ValueError(f"key must say which state dict is meant. Received: key=None, {where} holds {_held(inner)}")
    tensors = tensors or next(iter(inner.values()), None)
    if not tensors:
        raise ValueError(f"a checkpoint must hold tensors by name. Received: {where}, which holds {_held(content)}")
    return tensors


def _named(content):
    entries = content.items() if isinstance(content, dict) else ()
    return {name: value for name, value in entries if isinstance(name, str)}


def _tensors(content):
    return {name: value for name, value in _named(content).items() if _is_tensor(value)}


def _is_tensor(value):
    return isinstance(value, np.ndarray) or (type(value).__module__.startswith("torch") and hasattr(value, "numel"))


def _held(content):
    if not isinstance(content, dict):
        return f"no dict but {type(content).__name__}"
    return f"the keys {', '.join(repr(name)[:60] for name in list(content)[:12])}" if content else "an empty dict"
