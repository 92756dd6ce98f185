"""The one registry of named cases that every suite runs over: geometries by what makes each of them hard."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Case:
    """One configuration of the operation and the input length it is tried at."""

    in_channels: int
    out_channels: int
    kernel_size: int
    stride: int = 1
    padding: int = 0
    output_padding: int = 0
    groups: int = 1
    dilation: int = 1
    length: int = 7
    bias: bool = True
    batch: int = 2

    @property
    def parameters(self):
        """The keyword arguments of `conv_transpose1d` beside its tensors."""
        names = ("stride", "padding", "output_padding", "groups", "dilation")
        return {name: getattr(self, name) for name in names}

    @property
    def layer_arguments(self):
        """The keyword arguments of `ConvTranspose1d`."""
        names = ("in_channels", "out_channels", "kernel_size", "bias")
        return {name: getattr(self, name) for name in names} | self.parameters

    @property
    def output_length(self):
        reach = self.dilation * (self.kernel_size - 1) + self.output_padding + 1
        return (self.length - 1) * self.stride - 2 * self.padding + reach

    @property
    def weight_shape(self):
        return (self.in_channels, self.out_channels // self.groups, self.kernel_size)


# Each name says what the case is there for; the lengths are small, the structure is not.
CASES = {
    "pointwise": Case(3, 5, 1),
    "one_to_one": Case(1, 1, 1, length=1),
    "stride_1": Case(3, 4, 3, padding=1),
    "no_bias": Case(3, 4, 4, stride=2, padding=1, bias=False),
    "unit_batch": Case(4, 2, 4, stride=2, padding=1, batch=1),
    "empty_batch": Case(4, 2, 4, stride=2, padding=1, batch=0),
    "length_1": Case(3, 2, 5, stride=3, length=1),
    # the decoders people have
    "hifigan_up": Case(6, 3, 16, stride=8, padding=4),
    "encodec_up": Case(6, 3, 10, stride=5),
    "dac_up": Case(6, 3, 16, stride=8, padding=4, length=9),
    "demucs_up": Case(6, 4, 8, stride=4, padding=2),
    "wavegan_up": Case(4, 2, 25, stride=4, padding=11, output_padding=1, length=16),
    "istft": Case(18, 1, 16, stride=4, length=12, bias=False),
    "bigvgan_up": Case(6, 6, 12, stride=2, padding=5, groups=6, bias=False),
    "mimi_up": Case(6, 6, 4, stride=2, groups=6, bias=False),
    "kokoro_pool": Case(6, 6, 3, stride=2, padding=1, output_padding=1, groups=6),
    # what other converters compute wrongly without a word
    "k3s2p1": Case(4, 4, 3, stride=2, padding=1),
    "k4s2p1op1": Case(4, 3, 4, stride=2, padding=1, output_padding=1),
    "k3d2s3p1": Case(4, 3, 3, stride=3, padding=1, dilation=2),
    "odd_stride_padding": Case(4, 3, 10, stride=5, padding=3),
    # groups
    "grouped": Case(8, 8, 8, stride=4, padding=2, groups=4),
    "grouped_wider": Case(4, 12, 5, stride=2, groups=2),
    "grouped_narrower": Case(12, 4, 5, stride=3, padding=1, groups=4),
    "depthwise_multiplier": Case(5, 15, 4, stride=2, padding=1, groups=5),
    "depthwise_many_taps": Case(3, 6, 11, stride=2, padding=1, groups=3, length=9),
    "grouped_dilated": Case(4, 6, 3, stride=2, groups=2, dilation=3, output_padding=2),
    "depthwise_dilated": Case(4, 4, 3, stride=1, padding=2, groups=4, dilation=4, output_padding=3),
    # dilation
    "dilated": Case(3, 4, 5, padding=6, dilation=3),
    "dilated_output_padding": Case(2, 3, 3, dilation=4, output_padding=1),
    "dilated_strided": Case(3, 4, 5, stride=2, dilation=3),
    "dilation_is_stride": Case(3, 2, 3, stride=2, dilation=2, padding=1),
    "dilation_divides_stride": Case(3, 2, 5, stride=6, dilation=2, padding=3),
    "stride_divides_dilation": Case(3, 2, 4, stride=2, dilation=4, output_padding=3),
    "common_factor": Case(2, 3, 6, stride=4, dilation=6, output_padding=3),
    # lengths and crops
    "kernel_below_stride": Case(3, 2, 2, stride=5),
    "kernel_below_stride_padded": Case(3, 2, 2, stride=5, padding=1, output_padding=4),
    "kernel_below_phases": Case(3, 2, 2, stride=5, dilation=3, output_padding=4),
    "padding_beyond_kernel": Case(3, 2, 3, stride=2, padding=5, length=9),
    "padding_beyond_input": Case(2, 2, 1, stride=3, padding=1, output_padding=2, length=1),
    "one_tap_dilated": Case(2, 2, 1, dilation=5, padding=2, output_padding=4, length=1),
    "output_padding_beyond_taps": Case(3, 2, 3, stride=7, output_padding=6),
    "empty_output": Case(2, 3, 2, padding=1, length=1),
    "stride_not_dividing_kernel": Case(3, 2, 7, stride=3, padding=2, output_padding=2),
}


def random_case(rng):
    """A case drawn over the whole legal space by a `numpy.random.Generator`; nothing legal is excluded."""
    while True:
        groups = int(rng.choice([1, 1, 1, 2, 3, 4]))
        stride, dilation = int(rng.choice([1, 2, 3, 4, 5, 6, 7] * 3 + [33])), int(rng.choice([1, 1, 2, 3, 4, 5, 6, 8]))
        case = Case(
            in_channels=groups * int(rng.integers(1, 4)),
            out_channels=groups * int(rng.integers(1, 4)),
            kernel_size=int(rng.integers(1, 12)),
            stride=stride,
            padding=int(rng.choice([0, 0, 1, 2, 3, 4, 7, 12])),
            output_padding=int(rng.integers(0, max(stride, dilation))),
            groups=groups,
            dilation=dilation,
            length=int(rng.integers(1, 12)),
            bias=bool(rng.integers(0, 2)),
            batch=int(rng.choice([0, 1, 1, 2, 3])),
        )
        if case.output_length >= 0:
            return case
