"""The 1-D transposed convolution, its gradients and the inverse STFT in NumPy float64, from the definitions alone.

Imports nothing of the package, so that it shares none of its mistakes.
"""

import numpy as np


def conv_transpose1d(x, weight, bias, stride, padding, output_padding, groups, dilation):
    """`x [N, C_in, L]`, `weight [C_in, C_out/groups, K]`, `bias [C_out]` or None to `[N, C_out, L_out]`."""
    x, weight = np.asarray(x, np.float64), np.asarray(weight, np.float64)
    batch, in_channels, length = x.shape
    group_in, group_out, taps = in_channels // groups, weight.shape[1], weight.shape[2]
    out_length = (length - 1) * stride - 2 * padding + dilation * (taps - 1) + output_padding + 1
    y = np.zeros((batch, groups * group_out, out_length))
    for sources, targets, tap in _landings(length, out_length, taps, stride, padding, dilation):
        for group in range(groups):
            ins = slice(group * group_in, (group + 1) * group_in)
            outs = slice(group * group_out, (group + 1) * group_out)
            y[:, outs, targets] += np.einsum("nil,io->nol", x[:, ins, sources], weight[ins, :, tap])
    if bias is not None:
        y += np.asarray(bias, np.float64)[:, None]
    return y


def gradients(x, weight, dy, stride, padding, output_padding, groups, dilation):
    """The gradients of `sum(y * dy)` with respect to x, weight and bias."""
    x, weight, dy = (np.asarray(a, np.float64) for a in (x, weight, dy))
    group_in, group_out, taps = x.shape[1] // groups, weight.shape[1], weight.shape[2]
    dx, dweight = np.zeros_like(x), np.zeros_like(weight)
    for sources, targets, tap in _landings(x.shape[2], dy.shape[2], taps, stride, padding, dilation):
        for group in range(groups):
            ins = slice(group * group_in, (group + 1) * group_in)
            outs = slice(group * group_out, (group + 1) * group_out)
            dx[:, ins, sources] += np.einsum("nol,io->nil", dy[:, outs, targets], weight[ins, :, tap])
            dweight[ins, :, tap] += np.einsum("nil,nol->io", x[:, ins, sources], dy[:, outs, targets])
    return dx, dweight, dy.sum((0, 2))


def _landings(length, out_length, taps, stride, padding, dilation):
    """For each tap, the input positions that reach the output and where they land."""
    for tap in range(taps):
        targets = np.arange(length) * stride + tap * dilation - padding
        inside = (targets >= 0) & (targets < out_length)
        yield np.nonzero(inside)[0], targets[inside], tap


def istft(spectrum, window, hop, cut):
    """`spectrum [N, bins, frames]`, complex, to `[N, samples]`: every frame by the inverse DFT, added and divided."""
    batch, _, frames = spectrum.shape
    signal, energy = np.zeros((2, batch, (frames - 1) * hop + len(window)))
    for frame in range(frames):
        reached = slice(frame * hop, frame * hop + len(window))
        signal[:, reached] += window * np.fft.irfft(spectrum[:, :, frame], len(window))
        energy[:, reached] += window**2
    kept = slice(cut, signal.shape[1] - cut)
    return signal[:, kept] / energy[:, kept]
