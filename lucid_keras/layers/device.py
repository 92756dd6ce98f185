"""Devices by the names that PyTorch's and TensorFlow's users type: `"cpu"`, `"gpu:0"`, `"/GPU:0"`."""

import contextlib
import re

import tensorflow as tf

_DEVICE = re.compile(r"/?(?:device:)?(cpu|gpu|tpu)(?::(\d+))?", re.IGNORECASE)


def existing_device(device):
    """`device`, once it is known to name one that is there; None stays None."""
    if device is None:
        return None
    if not isinstance(device, str):
        raise TypeError(f"device must be a string or None. Received: device={device!r}")
    if not _DEVICE.fullmatch(device):
        raise ValueError(f'device must be like "cpu", "gpu:0" or "/GPU:0". Received: device={device!r}')
    there = [logical.name for logical in tf.config.list_logical_devices()]
    if _full_name(device) not in there:
        raise ValueError(f"device must be one of this machine's, {', '.join(there)}. Received: device={device!r}")
    return device


def on_device(device):
    """The context in which variables are placed on `device`; for None, TensorFlow's own choice."""
    return contextlib.nullcontext() if device is None else tf.device(_full_name(device))


def _full_name(device):
    kind, index = re.findall(_DEVICE, device)[0]
    return f"/device:{kind.upper()}:{int(index or 0)}"
