"""Attention: over all positions, causal, or over a window with rotary positions, which is `WindowedAttention`."""

import keras
import torch

from lucid_keras.interop.translation.trace import Constant, Extent
from lucid_keras.interop.translation.values import Refused, Value, reshaped
from lucid_keras.layers.windowed_attention import WindowedAttention

MASKED = -1e4  # a score less by as much counts no more


def attention(
    site, query, key, value, mask=None, dropout=0.0, is_causal=False, *, scale=None, enable_gqa=False, rotary_base=None
):
    """`rotary_base` is that of the positions which queries and keys are to be rotated by."""
    heads, key_heads, size = site.shape_of(0)[1], site.shape_of(1)[1], site.shape_of(0)[3]
    length = site.shape_of(0)[2]
    if dropout or (scale is not None and abs(scale - size**-0.5) > 1e-6 * scale):
        raise Refused("it drops weights, or has a scale of its own")
    if mask is not None and not isinstance(mask, Constant):
        raise Refused("its mask depends on the input")
    if mask is not None and mask.names and isinstance(length, Extent):
        raise Refused("its mask is cut from a buffer, of which longer signals may see more; compute it from positions")
    window, is_causal = _seen(mask, is_causal)
    if rotary_base is not None and window is None:
        if isinstance(length, Extent) or not is_causal:
            raise Refused("its rotary positions have no window; attention that streams has one")
        window = length
    if window is None:
        return _over_all(query, key, value, heads // key_heads, is_causal)
    layer = WindowedAttention(heads, window, key_heads, rotary_base,
                              name=site.building.unique(site.named("attention")))  # fmt: skip
    given = [(query, heads), (key, key_heads), (value, key_heads)]
    joined = [_heads_joined(one, site.shape_of(index)) for index, (one, _) in enumerate(given)]
    together = Value(layer(*joined), (0, 1, 2))
    batch = site.shape[0]
    parted = reshaped(together, (batch, length, heads * size), (batch, length, heads, size))
    return parted.turned((0, 2, 1, 3))


def _heads_joined(x, shape):
    batch, heads, length, size = shape
    return reshaped(x.turned((0, 2, 1, 3)), (batch, length, heads, size), (batch, length, heads * size)).laid_out(
        (0, 1, 2)
    )


def _over_all(query, key, value, shared, is_causal):
    axes = (0, 2, 1, 3)
    query, key, value = (one.laid_out(axes) for one in (query, key, value))
    if shared > 1:
        key, value = (keras.ops.repeat(one, shared, axis=2) for one in (key, value))
    return Value(keras.ops.dot_product_attention(query, key, value, is_causal=is_causal), axes)


def _seen(mask, is_causal):
    """How many positions a mask lets see, None for all of them, and whether these are those before alone."""
    if mask is None:
        return None, is_causal
    array = mask.array if mask.longer is None else mask.longer
    seen = array if array.dtype == torch.bool else array > MASKED
    seen = seen.reshape(-1, *seen.shape[-2:])
    rows = torch.arange(seen.shape[-2])
    back = rows[:, None] - rows[: seen.shape[-1]]
    window = int(seen[0, -1].sum())
    if bool((seen != ((back >= 0) & (back < window))).any()) or (
        array.dtype != torch.bool and bool(array[array > MASKED].any())
    ):
        if bool(seen.all()) and array.dtype == torch.bool:
            return None, is_causal
        raise Refused("its mask is neither causal nor a causal window")
    return (None if window == len(rows) else window), True


def rotary(cosines: Constant, sines: Constant) -> float | None:
    """The base of the angles of rotary positions, from the tables of both functions; None for other tables."""
    cosine, sine = (
        (one.array if one.longer is None else one.longer).reshape(-1, *one.array.shape[-1:]).double()
        for one in (cosines, sines)
    )
    if cosine.shape != sine.shape or len(cosine) < 2 or cosine.shape[1] < 4 or cosine.shape[1] % 2:
        return None
    size = cosine.shape[1]
    exact = float(torch.atan2(sine[1, 1], cosine[1, 1])) ** (-size / 2)
    if not 1 < exact < 1e9:
        return None
    base = float(round(exact)) if abs(exact - round(exact)) < 1e-3 * exact else exact
    angles = torch.arange(len(cosine))[:, None] * base ** (-2 * torch.arange(size // 2).double() / size)
    angles = torch.cat([angles, angles], 1)
    near = all(torch.allclose(one, other, atol=1e-3) for one, other in ((cosine, angles.cos()), (sine, angles.sin())))
    return base if near else None
