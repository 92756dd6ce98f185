"""Geometry of the 1-D transposed convolution: validation, lengths and shapes. Standard library only.

What the parameters alone decide for every lowering is decided here, once; what lies below (the lowerings) and above
(ops, layers) only reads it.

Notation, after Dumoulin and Visin, "A guide to convolution arithmetic for deep learning" (arXiv:1603.07285):
input position `l`, tap `k`, output position `t`, and `u = t + padding`, the position in the full, uncropped output.
Tap `k` of input `l` lands on `u = l*stride + k*dilation`.
"""

import dataclasses
import math

from lucid_keras._arguments import MAX_LENGTH, check_shape, integer, single_integer


@dataclasses.dataclass(frozen=True)
class ConvTranspose1dGeometry:
    """The parameters of a 1-D transposed convolution, validated, and all that follows from them."""

    in_channels: int
    out_channels: int
    kernel_size: int
    stride: int = 1
    padding: int = 0
    output_padding: int = 0
    groups: int = 1
    dilation: int = 1

    def __post_init__(self):
        if isinstance(self.padding, str):
            raise ValueError(
                f"ConvTranspose1d: string padding ({self.padding!r}) is not supported; use an int or tuple of ints. "
                f"Received: padding={self.padding!r}"
            )
        for field in dataclasses.fields(self):
            check = integer if field.name in ("in_channels", "out_channels", "groups") else single_integer
            object.__setattr__(self, field.name, check(field.name, getattr(self, field.name)))
        self._validate()

    def _validate(self):
        for name in ("in_channels", "out_channels", "kernel_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1. Received: {name}={getattr(self, name)}")
        if self.groups < 1:
            raise ValueError(f"groups must be a positive integer. Received: groups={self.groups}")
        for name in ("in_channels", "out_channels"):
            if getattr(self, name) % self.groups:
                raise ValueError(
                    f"{name} must be divisible by groups. Received: {name}={getattr(self, name)}, groups={self.groups}"
                )
        for name in ("stride", "dilation"):
            if getattr(self, name) < 1:
                raise ValueError(f"non-positive {name} is not supported. Received: {name}={getattr(self, name)}")
        for name in ("padding", "output_padding"):
            if getattr(self, name) < 0:
                raise ValueError(f"negative {name} is not supported. Received: {name}={getattr(self, name)}")
        if self.output_padding >= max(self.stride, self.dilation):
            raise ValueError(
                "output padding must be smaller than either stride or dilation. Received: "
                f"output_padding={self.output_padding}, stride={self.stride}, dilation={self.dilation}"
            )
        for name in ("kernel_extent", "stride", "padding"):
            if getattr(self, name) > MAX_LENGTH:
                raise ValueError(f"{name} must be at most {MAX_LENGTH} (int32). Received: {name}={getattr(self, name)}")
        if math.prod(self.weight_shape) > MAX_LENGTH:
            raise ValueError(
                f"weight must hold at most {MAX_LENGTH} numbers (int32). Received: weight of shape {self.weight_shape}"
            )

    @classmethod
    def of_weight(cls, weight_shape, *, groups=1, **parameters):
        """The geometry of a weight `[in_channels, out_channels // groups, kernel_size]`."""
        if weight_shape is None or len(weight_shape) != 3 or None in weight_shape:
            raise ValueError(
                "weight must have the static shape [in_channels, out_channels // groups, kernel_size]. "
                f"Received: weight of shape {weight_shape}"
            )
        in_channels, group_out, kernel_size = weight_shape
        groups = integer("groups", groups)
        return cls(in_channels, group_out * max(groups, 1), kernel_size, groups=groups, **parameters)

    # ---- lengths ----------------------------------------------------------------------------------------------------

    @property
    def kernel_extent(self):
        """Output positions that one input position reaches: first tap to last tap, inclusive."""
        return self.dilation * (self.kernel_size - 1) + 1

    @property
    def length_offset(self):
        """`output_length(L) - L*stride`."""
        return self.kernel_extent - self.stride - 2 * self.padding + self.output_padding

    @property
    def weight_shape(self):
        return (self.in_channels, self.out_channels // self.groups, self.kernel_size)

    @property
    def fan_in(self):
        """PyTorch's fan-in of the transposed layout: `weight.shape[1] * kernel_size`."""
        return (self.out_channels // self.groups) * self.kernel_size

    @property
    def depthwise(self):
        """Whether each input channel is a group of its own."""
        return 1 < self.groups == self.in_channels

    def output_length(self, length):
        """The output length of an input of `length` positions; raises where there is no such output."""
        if length < 1:
            raise ValueError(f"Expected an input of at least one position. Received: input length={length}")
        out = length * self.stride + self.length_offset
        if out < 0:
            raise ValueError(
                "The output length (length - 1)*stride - 2*padding + dilation*(kernel_size - 1) + output_padding + 1 "
                f"must not be negative. Received: input length={length}, giving {out}, with {self}"
            )
        if out > MAX_LENGTH or out + 2 * self.padding > MAX_LENGTH:
            raise ValueError(
                f"The output length must be at most {MAX_LENGTH} (int32). Received: input length={length}, giving {out}"
            )
        return out

    def for_output_size(self, length, output_size):
        """The geometry whose output length for an input of `length` is `output_size`, PyTorch's `output_size=`."""
        shortest = length * self.stride + self.length_offset - self.output_padding
        longest = shortest + self.stride - 1
        if not max(shortest, 0) <= output_size <= longest:
            raise ValueError(
                f"requested an output size of {output_size}, but valid sizes range from {max(shortest, 0)} to {longest}"
                f" (for an input length of {length}). Received: output_size={output_size}"
            )
        return dataclasses.replace(self, output_padding=output_size - shortest)

    # ---- shapes -----------------------------------------------------------------------------------------------------

    def sized(self, shape, data_format, output_size=None):
        """The geometry that gives an input of `shape` its `output_size`, and the output's length, None where unknown.

        `shape` is `[batch, in_channels, length]` or `[in_channels, length]`, or with `data_format="channels_last"`
        `[batch, length, in_channels]` or `[length, in_channels]`. Where its length is unknown but `output_size` is
        given, the geometry is that of the longest output, to be cut off. Raises where the input does not fit.
        """
        if len(shape) not in (2, 3):
            raise ValueError(
                "Expected 2D (unbatched) or 3D (batched) input to conv_transpose1d, but got input of size: "
                f"{list(shape)}. Received: an input of rank {len(shape)}"
            )
        channel_axis, length_axis = (-2, -1) if data_format == "channels_first" else (-1, -2)
        channels, length = shape[channel_axis], shape[length_axis]
        if channels != self.in_channels:
            raise ValueError(
                f"Given transposed=1, weight of size {list(self.weight_shape)}, expected input{list(shape)} to have "
                f"{self.in_channels} channels, but got {channels} channels instead. "
                f"Received: in_channels={self.in_channels}, data_format={data_format!r}"
            )
        geometry = self
        if output_size is not None:
            output_size = requested_length(output_size, len(shape), data_format)
            if length is None:
                geometry = dataclasses.replace(self, output_padding=self.stride - 1)
            elif length > 0:
                geometry = self.for_output_size(length, output_size)
        return geometry, output_size if length is None else geometry.output_length(length)

    def output_shape(self, shape, data_format, output_size=None):
        """The output shape of an input of `shape`, None where unknown; raises as `sized` does."""
        shape = check_shape("input_shape", shape)
        _, length = self.sized(shape, data_format, output_size)
        sizes = (self.out_channels, length) if data_format == "channels_first" else (length, self.out_channels)
        return (*shape[:-2], *sizes)


def requested_length(output_size, rank, data_format):
    """The length that `output_size` asks for: an int, a sequence of one, or a whole shape of the input's rank."""
    if isinstance(output_size, (tuple, list)) and len(output_size) == rank:
        output_size = output_size[-1 if data_format == "channels_first" else -2]
    elif isinstance(output_size, (tuple, list)) and len(output_size) != 1:
        raise ValueError(
            f"ConvTranspose1d: for {rank}D input, output_size must have 1 or {rank} elements (got {len(output_size)})."
            f" Received: output_size={output_size!r}"
        )
    return single_integer("output_size", output_size)
