"""Inputs for a case, and the layout changes between the reference's channels first and a tensor's."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Arrays:
    """`x [N, C_in, L]`, `weight`, `bias` or None and the output's gradient `dy [N, C_out, L_out]`."""

    x: np.ndarray
    weight: np.ndarray
    bias: np.ndarray | None
    dy: np.ndarray


def integers(case, rng, dtype="float32"):
    """Small integers, on which every order of summation gives the same float; bfloat16 has none above 256."""
    most = 2 if dtype == "bfloat16" else 4
    return _arrays(case, lambda shape: rng.integers(-most, most + 1, shape).astype(dtype))


def normals(case, rng, dtype="float32"):
    """Standard normal numbers."""
    return _arrays(case, lambda shape: rng.standard_normal(shape).astype(dtype))


def ones(case, dtype, scale):
    """The same number everywhere but in weight and bias, which are 1."""
    data = _arrays(case, lambda shape: np.ones(shape, dtype))
    return dataclasses.replace(data, x=data.x * data.x.dtype.type(scale), dy=data.dy * data.dy.dtype.type(scale))


def _arrays(case, draw):
    return Arrays(
        x=draw((case.batch, case.in_channels, case.length)),
        weight=draw(case.weight_shape),
        bias=draw((case.out_channels,)) if case.bias else None,
        dy=draw((case.batch, case.out_channels, case.output_length)),
    )


def in_layout(array, data_format):
    """Channels first in a data format, and back; batched or not."""
    return array if data_format == "channels_first" else np.swapaxes(array, -2, -1)


def hard_to_subtract(rng, length, channels):
    """Signals `[1, length, channels]`: random numbers, and what differences of neighbours hold badly or enlarge."""
    noise = rng.standard_normal((1, length, channels))
    signs = np.where(np.arange(length) % 2, 1.0, -1.0)[None, :, None]
    yield noise
    yield noise + 1000.0  # neighbours nearly equal
    yield signs * np.abs(noise)  # neighbours opposed
    yield noise * np.where(np.arange(length) % 2, 1.0, 1e4)[None, :, None]  # neighbours of unlike size
    yield np.where(np.arange(length)[None, :, None] == length // 2, 1e4, 1e-3) * noise  # one that is loud
