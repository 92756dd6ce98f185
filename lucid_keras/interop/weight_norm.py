"""Folding weight norm, in both of PyTorch's spellings, into the weights of a state dict."""

import re
from collections.abc import Mapping

import numpy as np

from lucid_keras.interop.state_dict import arrays_by_name

PARAMETRIZED = re.compile(r"(?P<module>.*?)parametrizations\.(?P<name>\w+)\..+")


def fold_weight_norm(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A state dict with every weight-normalised pair replaced by the weight that it stands for.

    `weight = g * v / ||v||`, the norm over all axes on which `g` has extent 1. PyTorch normalises over all axes but
    `dim`, and its `g` has extent 1 on exactly those; so the axis needs no table of layer types. For a transposed
    convolution with the default `dim=0` it is in_channels: `g` is `[in_channels, 1, 1]`.

    Args:
        state: a dict of name to array. `weight_g` and `weight_v` are one spelling,
            `parametrizations.weight.original0` and `...original1` the other; `weight` may be any name that begins so,
            as an LSTM's `weight_hh_l0`.

    Returns:
        A new dict in the order of the old, `weight` where the pair was, in the dtype of `v`.

    Raises:
        ValueError: half of a pair is missing, `g` does not fit `v`, a direction is zero, or the state dict holds
            spectral norm or another parametrization.
        TypeError: `state` is no dict of arrays by name.

    Example:

    >>> import numpy as np
    >>> state = {"up.weight_g": np.full((1, 1, 1), 10.0), "up.weight_v": np.array([[[3.0, 4.0]]])}
    >>> fold_weight_norm(state)
    {'up.weight': array([[[6., 8.]]])}

    Source: T. Salimans and D. Kingma, "Weight Normalization", arXiv:1602.07868, eq. 2.
    """
    state, folded = arrays_by_name(state), {}
    for name, array in state.items():
        weight, *pair = _pair(name, state)
        if not pair:
            folded[name] = array
        elif weight not in folded:
            for needed in pair:
                if needed not in state:
                    raise ValueError(f"weight norm needs a magnitude and a direction. Received: {name} but no {needed}")
            if weight in state:
                raise ValueError(f"a weight is stored once. Received: {weight} beside {pair[0]}")
            folded[weight] = _weight(state, *pair)
    return folded


def _pair(name, state):
    """The weight that `name` is half of, its magnitude's name and its direction's; `name` alone where it is no half."""
    match = PARAMETRIZED.fullmatch(name)
    if match:
        stem = f"{match['module']}parametrizations.{match['name']}"
        pair = (f"{stem}.original0", f"{stem}.original1")  # the magnitude g, the direction v
        if name not in pair:
            raise ValueError(
                "the only parametrization that can be folded is weight_norm; undo spectral_norm and others with "
                f"torch.nn.utils.parametrize.remove_parametrizations and save again. Received: {name}"
            )
        return f"{match['module']}{match['name']}", *pair
    if name.endswith("_orig") and f"{name.removesuffix('_orig')}_u" in state:
        raise ValueError(
            "spectral_norm cannot be folded; undo it with torch.nn.utils.remove_spectral_norm and save again. "
            f"Received: {name}"
        )
    stem = name[:-2]
    if name.endswith(("_g", "_v")) and stem.rpartition(".")[2].startswith("weight") and f"{stem}_orig" not in state:
        return stem, f"{stem}_g", f"{stem}_v"
    return (name,)


def _weight(state, magnitude_name, direction_name):
    magnitude, direction = state[magnitude_name], state[direction_name]
    if magnitude.ndim == 0:  # the norm over all axes
        magnitude = magnitude.reshape((1,) * direction.ndim)
    if magnitude.ndim != direction.ndim or any(
        extent not in (1, of) for extent, of in zip(magnitude.shape, direction.shape, strict=True)
    ):
        raise ValueError(
            "a weight norm's magnitude must have the direction's shape, with extent 1 on the axes of the norm. "
            f"Received: {magnitude_name} of shape {list(magnitude.shape)}, "
            f"{direction_name} of shape {list(direction.shape)}"
        )
    axes = tuple(axis for axis, extent in enumerate(magnitude.shape) if extent == 1)
    exact = direction.astype(np.float64)
    norm = np.sqrt(np.sum(exact**2, axis=axes, keepdims=True))
    if not norm.all():
        raise ValueError(
            f"a weight norm's direction must not be zero. Received: {direction_name}, zero in some channel"
        )
    return (exact * (magnitude / norm)).astype(direction.dtype)
