"""The judge of parity: the operation and its gradients in NumPy float64, fast enough for layers of real decoders.

One matrix product a sample for all taps at once, then each tap's rows added where they land, and at the end the padding
cropped. It shares no code with the lowerings. (Dumoulin and Visin, "A guide to convolution arithmetic for deep
learning", arXiv:1603.07285.)
"""

import numpy as np


def forward(x, weight, bias, stride, padding, output_padding, groups, dilation):
    """`x [N, C_in, L]`, `weight [C_in, C_out/groups, K]` and `bias [C_out]` to `y [N, C_out, L_out]`."""
    group_out, taps = weight.shape[1:]
    length = x.shape[2]
    landings = _landings(length, taps, stride, dilation)
    kernel = _grouped(weight, groups).transpose(0, 2, 1)  # [groups, C_out/groups*K, C_in/groups]
    y = np.zeros((len(x), groups, group_out, landings[-1].stop + output_padding))
    for sample, result in zip(np.asarray(x, np.float64), y, strict=True):
        columns = kernel @ sample.reshape(groups, -1, length)
        columns = columns.reshape(groups, group_out, taps, length)
        for tap, targets in enumerate(landings):
            result[..., targets] += columns[:, :, tap]
    y = y[..., padding : y.shape[3] - padding]
    return y.reshape(len(x), groups * group_out, y.shape[3]) + np.asarray(bias, np.float64)[:, np.newaxis]


def gradients(x, weight, dy, stride, padding, output_padding, groups, dilation):
    """The gradients of `sum(y * dy)` with respect to x, weight and bias; `output_padding` is in `dy`'s length."""
    group_out, taps = weight.shape[1:]
    length = x.shape[2]
    landings = _landings(length, taps, stride, dilation)
    kernel = _grouped(weight, groups)
    dx, dkernel = np.zeros(x.shape), np.zeros_like(kernel)
    dy = np.asarray(dy, np.float64)
    uncropped = np.pad(dy, [(0, 0), (0, 0), (padding, padding)])
    for sample, cotangent, dsample in zip(np.asarray(x, np.float64), uncropped, dx, strict=True):
        columns = np.stack([cotangent[:, targets] for targets in landings], axis=1)
        columns = columns.reshape(groups, group_out * taps, length)
        dsample[...] = (kernel @ columns).reshape(dsample.shape)
        dkernel += sample.reshape(groups, -1, length) @ columns.transpose(0, 2, 1)
    return dx, dkernel.reshape(weight.shape), dy.sum((0, 2))


def largest_error(results, wanted):
    """The largest error over the arrays, each relative to the largest magnitude of what is wanted."""
    errors = [np.abs(got - want).max() / np.abs(want).max() for got, want in zip(results, wanted, strict=True)]
    return float(np.max(errors))  # a maximum that keeps NaN


def mean_error(results, wanted):
    """The largest over the arrays of the errors' root mean square, each relative to that of what is wanted."""
    root = lambda array: np.sqrt(np.mean(np.square(array, dtype=np.float64)))  # noqa: E731
    errors = [root(got - want) / root(want) for got, want in zip(results, wanted, strict=True)]
    return float(np.max(errors))


def _grouped(weight, groups):
    """`[C_in, C_out/groups, K]` to `[groups, C_in/groups, C_out/groups*K]`."""
    return np.asarray(weight, np.float64).reshape(groups, weight.shape[0] // groups, -1)


def _landings(length, taps, stride, dilation):
    """For each tap, where in the uncropped output the input's positions land, a slice."""
    last = (length - 1) * stride
    return [slice(tap * dilation, tap * dilation + last + 1, stride) for tap in range(taps)]
