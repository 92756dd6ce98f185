"""The judge of parity: the operation and its gradients in NumPy float64, fast enough for layers of real decoders.

One matrix product a sample for all taps at once, then each tap's rows added where they land. It shares no code with the
lowerings. (Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", arXiv:1603.07285.)
"""

import numpy as np


def forward(x, weight, bias, stride, padding, output_padding, groups, dilation):
    """`x [N, C_in, L]`, `weight [C_in, C_out/groups, K]` and `bias [C_out]` to `y [N, C_out, L_out]`."""
    group_out, taps = weight.shape[1:]
    length = x.shape[2]
    out_length = (length - 1) * stride - 2 * padding + dilation * (taps - 1) + output_padding + 1
    landings = _landings(length, out_length, taps, stride, padding, dilation)
    kernel = _grouped(weight, groups).transpose(0, 2, 1)  # [groups, C_out/groups*K, C_in/groups]
    y = np.zeros((len(x), groups, group_out, out_length))
    for sample, result in zip(np.asarray(x, np.float64), y, strict=True):
        columns = kernel @ sample.reshape(groups, -1, length)
        columns = columns.reshape(groups, group_out, taps, length)
        for tap, sources, targets in landings:
            result[:, :, targets] += columns[:, :, tap, sources]
    return y.reshape(len(x), groups * group_out, out_length) + np.asarray(bias, np.float64)[:, np.newaxis]


def gradients(x, weight, dy, stride, padding, output_padding, groups, dilation):
    """The gradients of `sum(y * dy)` with respect to x, weight and bias; `output_padding` is in `dy`'s length."""
    group_out, taps = weight.shape[1:]
    length = x.shape[2]
    landings = _landings(length, dy.shape[2], taps, stride, padding, dilation)
    kernel = _grouped(weight, groups)
    dx, dkernel = np.zeros(x.shape), np.zeros_like(kernel)
    for sample, cotangent, dsample in zip(np.asarray(x, np.float64), np.asarray(dy, np.float64), dx, strict=True):
        columns = np.zeros((groups, group_out, taps, length))
        for tap, sources, targets in landings:
            columns[:, :, tap, sources] = cotangent.reshape(groups, group_out, -1)[:, :, targets]
        columns = columns.reshape(groups, group_out * taps, length)
        dsample[...] = (kernel @ columns).reshape(dsample.shape)
        dkernel += sample.reshape(groups, -1, length) @ columns.transpose(0, 2, 1)
    return dx, dkernel.reshape(weight.shape), np.asarray(dy, np.float64).sum((0, 2))


def largest_error(results, wanted):
    """The largest error over the arrays, each relative to the largest magnitude of what is wanted."""
    errors = [np.abs(got - want).max() / np.abs(want).max() for got, want in zip(results, wanted, strict=True)]
    return float(np.max(errors))  # a maximum that keeps NaN


def _grouped(weight, groups):
    """`[C_in, C_out/groups, K]` to `[groups, C_in/groups, C_out/groups*K]`."""
    return np.asarray(weight, np.float64).reshape(groups, weight.shape[0] // groups, -1)


def _landings(length, out_length, taps, stride, padding, dilation):
    """For each tap that reaches the output: the input positions that do, and where they land, both slices."""
    landings = []
    for tap in range(taps):
        shift = tap * dilation - padding
        first = max(-(shift // stride), 0)
        last = min((out_length - 1 - shift) // stride, length - 1)
        if first <= last:
            targets = slice(first * stride + shift, last * stride + shift + 1, stride)
            landings.append((tap, slice(first, last + 1), targets))
    return landings
