"""What is timed: a geometry, an input length, a batch, and whether forward or a training step; and its arrays."""

import collections
import dataclasses

from lucid_keras._arguments import check_choice, checked_count
from lucid_keras._geometry import ConvTranspose1dGeometry

MODES = ("forward", "train")
SEED = 7

# `x [N, C_in, L]`, `weight [C_in, C_out/groups, K]`, `bias [C_out]`, the output's gradient `dy`; all float32.
Arrays = collections.namedtuple("Arrays", ("x", "weight", "bias", "dy"))


@dataclasses.dataclass(frozen=True)
class Workload(ConvTranspose1dGeometry):
    """One configuration to time. A training step is the gradients of input, weight and bias."""

    length: int = 100
    batch: int = 1
    mode: str = "forward"

    def __post_init__(self):
        self._validate()
        for name in ("length", "batch"):
            checked_count(name, getattr(self, name), least=1)
        check_choice("mode", self.mode, MODES)
        if not self.output_length(self.length):
            raise ValueError(f"An empty output cannot be timed. Received: length={self.length}, with {self}")

    @property
    def parameters(self):
        """The keyword arguments of `conv_transpose1d` beside its tensors."""
        names = ("stride", "padding", "output_padding", "groups", "dilation")
        return {name: getattr(self, name) for name in names}

    @property
    def layer_arguments(self):
        """The arguments of `ConvTranspose1d`, its channels and kernel size first."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(ConvTranspose1dGeometry)}

    @property
    def product_shape(self):
        """Rows, inner and columns of the matrix product that multiplies and adds as often."""
        inner = max(round(self.in_channels * self.kernel_size / (self.stride * self.groups)), 1)
        return self.batch * self.length, inner, self.stride * self.out_channels

    @property
    def shapes(self):
        """Of the arrays."""
        return Arrays(
            x=(self.batch, self.in_channels, self.length),
            weight=tuple(self.weight_shape),
            bias=(self.out_channels,),
            dy=(self.batch, self.out_channels, self.output_length(self.length)),
        )

    def arrays(self):
        """Standard normal numbers, the same at each call."""
        import numpy as np  # not for `--help`

        rng = np.random.default_rng(SEED)
        return Arrays(*(rng.standard_normal(shape, np.float32) for shape in self.shapes))

    def __str__(self):
        layer = ", ".join(f"{name}={value}" for name, value in self.layer_arguments.items())
        return f"ConvTranspose1d({layer}): {self.mode}, batch {self.batch}, length {self.length}"
