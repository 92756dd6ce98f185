"""`Kernel`: the weight with the output channels last, where Keras's wrappers look for them."""

import keras


class Kernel:
    """A view of `weight [in_channels, out_channels // groups, kernel_size]` with the last two axes exchanged.

    `keras.layers.SpectralNormalization` makes a matrix of a kernel's last axis and all others. Of the weight itself
    that axis would be the taps; PyTorch's `spectral_norm` takes a transposed convolution's output channels.
    """

    def __init__(self, weight):
        self._weight = weight
        self.dtype = weight.dtype
        in_channels, group_out, taps = weight.shape
        self.shape = (in_channels, taps, group_out)

    @property
    def value(self):
        return _exchanged(self._weight)

    def assign(self, value):
        self._weight.assign(_exchanged(value))

    def __tf_tensor__(self, dtype=None, name=None):
        return self.value


def _exchanged(weight):
    return keras.ops.transpose(weight, (0, 2, 1))
