"""Translations of what works along a signal: convolutions, padding, interpolation, the inverse Fourier transform."""

import dataclasses

import keras
import torch

from lucid_keras.interop.translation.building import fixed, integer
from lucid_keras.interop.translation.trace import Constant
from lucid_keras.interop.translation.values import CHANNELS_LAST, Refused, Value, at
from lucid_keras.layers.conv_transpose1d import ConvTranspose1d
from lucid_keras.layers.istft import ISTFT
from lucid_keras.layers.mirrored_ends import MirroredEnds
from lucid_keras.layers.repeated_ends import RepeatedEnds

layers = keras.layers


@dataclasses.dataclass(frozen=True, eq=False)
class Complex:
    """A spectrum's real and imaginary parts."""

    real: Value
    imaginary: Value


def _first(number, *_):
    return integer(number[0] if isinstance(number, (list, tuple)) else number)


def conv1d(site, x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1, *, zeros=(0, 0)):
    """`zeros` are those of a padding before it."""
    out, _, taps = fixed(weight).array.shape
    stride, dilation = _first(stride), _first(dilation)
    reach, channels = dilation * (taps - 1), site.shape_of()[1]
    ends = (
        {"valid": (0, 0), "same": (reach // 2, reach - reach // 2)}.get(padding) if isinstance(padding, str) else None
    )
    ends = (_first(padding),) * 2 if ends is None else ends
    before, after = ends[0] + zeros[0], ends[1] + zeros[1]
    if stride > 1 and dilation > 1:
        raise Refused("Keras has no convolution with a stride and a dilation")
    y, how = x.channels_last(), "valid"
    is_depthwise = groups == channels > 1
    if before == after > 0 and before + after == reach and stride == 1:
        how = "same"
    elif before == reach > 0 and after == 0 and not is_depthwise:
        how = "causal"
    elif before or after:
        y = layers.ZeroPadding1D((before, after))(y)
    kind, sizes = layers.Conv1D, {"filters": out, "groups": groups}
    if is_depthwise:
        kind, sizes = layers.DepthwiseConv1D, {"depth_multiplier": out // groups}
    options = {"kernel_size": taps, "strides": stride, "padding": how, "dilation_rate": dilation}
    entries = {"weight": weight, "bias": bias}
    return Value(site.weighted(kind, entries, y, use_bias=bias is not None, **sizes, **options), CHANNELS_LAST)


def conv_transpose1d(site, x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    channels, of_group, taps = fixed(weight).array.shape
    numbers = dict(zip(("stride", "padding", "output_padding", "dilation"),
                       map(_first, (stride, padding, output_padding, dilation)), strict=True))  # fmt: skip
    sizes = {"in_channels": channels, "out_channels": of_group * groups, "kernel_size": taps, "groups": groups}
    y = site.weighted(ConvTranspose1d, {"weight": weight, "bias": bias}, x.channels_last(), bias=bias is not None,
                      data_format="channels_last", **sizes, **numbers)  # fmt: skip
    return Value(y, CHANNELS_LAST)


def pad(site, x, ends, mode="constant", value=None):
    ends = [integer(end) for end in ends]
    if mode == "constant":
        return padded(x, ends, value or 0)
    if any(ends[2:]) or min(ends) < 0 or mode not in ("reflect", "replicate"):
        raise Refused(f"it pads by mode={mode!r} with {ends}")
    kind = MirroredEnds if mode == "reflect" else RepeatedEnds
    return Value(kind(*ends[:2])(x.channels_last()), CHANNELS_LAST)


def padded(x: Value, ends, value=0) -> Value:
    """A value with a number put before and after each axis; `ends` begin at the last axis, as PyTorch's. Less than 0
    cuts.
    """
    pairs = {x.rank - 1 - index: tuple(ends[2 * index : 2 * index + 2]) for index in range(len(ends) // 2)}
    if x.rank == 3 and value == 0 and not any(any(pair) for dim, pair in pairs.items() if dim != 2):
        y, (before, after) = x.channels_last(), pairs.get(2, (0, 0))
        if min(before, after) < 0:
            y = layers.Cropping1D((max(-before, 0), max(-after, 0)))(y)
        if max(before, after) > 0:
            y = layers.ZeroPadding1D((max(before, 0), max(after, 0)))(y)
        return Value(y, CHANNELS_LAST)
    if min(ends) < 0:
        raise Refused("it pads by less than nothing")
    widths = [pairs.get(axis, (0, 0)) for axis in x.axes]
    return x.of(keras.ops.pad(x.tensor, widths, mode="constant", constant_values=value))


def _factor(site):
    sizes = [(at(site.shape[2], length), at(site.shape_of()[2], length)) for length in range(2)]
    factor = sizes[0][0] // sizes[0][1]
    if any(after != factor * before for after, before in sizes):
        raise Refused(f"it interpolates by no whole number: {sizes}")
    return factor


def nearest(site, x, *_, **__):
    return Value(layers.UpSampling1D(_factor(site))(x.channels_last()), CHANNELS_LAST)


def linear(site, x, size, align_corners, *_, **__):
    """Triangles that overlap, of a signal whose ends are repeated."""
    factor, channels = _factor(site), site.shape_of()[1]
    if align_corners:
        raise Refused("it aligns corners; use align_corners=False")
    taps = 2 * factor - factor % 2
    triangle = 1 - (torch.arange(taps) - (taps - 1) / 2).abs() / factor
    cut = (3 * factor - factor % 2) // 2
    weight = Constant(triangle.expand(channels, 1, taps))
    ends = Value(RepeatedEnds(1, 1)(x.channels_last()), CHANNELS_LAST)
    return conv_transpose1d(site, ends, weight, None, factor, cut, 0, channels)


def polar(site, magnitude, angle):
    turn = angle.laid_out(magnitude.axes)
    parts = (magnitude.of(magnitude.tensor * function(turn)) for function in (keras.ops.cos, keras.ops.sin))
    return Complex(*parts)


def complex_(site, real, imaginary):
    return Complex(real, imaginary)


def istft(
    site, spectrum, n_fft, hop_length=None, win_length=None, window=None, center=True,
    normalized=False, onesided=None, length=None, return_complex=False,
):  # fmt: skip
    if normalized or onesided is False or return_complex or length is not None:
        raise Refused("it is normalized, two-sided, complex or of a length of its own")
    if not isinstance(spectrum, Complex):
        raise Refused("its spectrum is neither torch.polar's nor torch.complex's")
    parts = [part.channels_last() for part in (spectrum.real, spectrum.imaginary)]
    window = "rectangular" if window is None else fixed(window).array.double().numpy()
    transform = ISTFT(n_fft, hop_length, win_length, window, center, data_format="channels_last",
                      name=site.building.unique(site.named("istft")))  # fmt: skip
    return Value(transform(layers.Concatenate(axis=-1)(parts)), (0, 1))
