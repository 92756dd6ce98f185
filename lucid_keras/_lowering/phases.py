"""The plan of the polyphase lowering: which taps make which phase, from which block on. Standard library only.

A *phase* is an output position modulo the stride; a *block* is `stride` consecutive output positions.
With `g = gcd(stride, dilation)`, taps `k` and `k + stride/g` share a phase and lie `dilation/g` blocks apart,
so the kernel folds into `stride/g` phase kernels, of which number `j` holds the taps
`j, j + stride/g, j + 2*stride/g, ...` and writes from block `j*dilation // stride` on. Notation as in `_geometry.py`.
"""

import dataclasses
import functools
import itertools
import math


@dataclasses.dataclass(frozen=True)
class PhaseKernels:
    """Neighbouring phase kernels whose results begin in the same block: one stride-1 convolution."""

    first: int  # index of the first of them
    phases: tuple[int, ...]  # where in a block each of them writes
    taps: int  # of the longest of them; the others' last tap is zero
    pad: tuple[int, int]  # zeros before and after the input; negative: positions to leave out


@dataclasses.dataclass(frozen=True)
class PhasePlan:
    """How stride-1 convolutions compute every phase of the output, one convolution alone where there is no dilation."""

    shift: int  # zero taps before the first, that the output may begin where a block does
    taps: int  # of a phase kernel, the last ones zero where kernel_size does not divide
    phase_count: int  # phase kernels
    spacing: int  # distance between taps, in blocks: the dilation of the stride-1 convolution
    kernels: tuple[PhaseKernels, ...]
    crop: tuple[int, int]  # positions to cut from the blocks' two ends
    contiguous: bool  # whether the only convolution's result already is the blocks


@functools.lru_cache(maxsize=256)
def phase_plan(geometry):
    """The `PhasePlan` of a geometry; independent of the input length."""
    stride, kernel_size, shift = geometry.stride, geometry.kernel_size, _shift(geometry)
    dilation = geometry.dilation if kernel_size > 1 else 1  # one tap has no neighbour to be distant from
    common = math.gcd(stride, dilation)
    # An undilated kernel is padded to whole blocks, so that its phases are contiguous; a dilated one is not.
    phase_count = stride if dilation == 1 else min(stride // common, kernel_size)
    # Blocks first..last hold the output u = padding .. padding + L_out - 1, shifted; last is L + last_offset.
    begin = geometry.padding + shift
    first, last_offset = begin // stride, (begin + geometry.length_offset - 1) // stride
    crop_left = begin - first * stride
    block_positions = (last_offset - first + 1) * stride  # less L*stride, as length_offset is
    spacing = dilation // common
    landings = [divmod(k * dilation, stride) for k in range(phase_count)]
    kernels = []
    for block, together in itertools.groupby(range(phase_count), key=lambda j: landings[j][0]):
        numbers = tuple(together)
        longest = -(-(kernel_size + shift - numbers[0]) // phase_count)
        kernels.append(
            PhaseKernels(
                first=numbers[0],
                phases=tuple(landings[j][1] for j in numbers),
                taps=longest,
                pad=((longest - 1) * spacing + block - first, last_offset + 1 - block),
            )
        )
    return PhasePlan(
        shift=shift,
        taps=-(-(kernel_size + shift) * common // stride),
        phase_count=phase_count,
        spacing=spacing,
        kernels=tuple(kernels),
        crop=(crop_left, block_positions - crop_left - geometry.length_offset),
        contiguous=len(kernels) == 1 and phase_count == stride,
    )


def _shift(geometry):
    """Zero taps to put before the first so that no crop remains, which copies all of the output.

    Where they make the kernel longer by a block that is worth it for a depthwise one alone: it copies more than it
    computes (row 14 of `tests/benchmarks/NOTES.md`).
    """
    shift = -geometry.padding % geometry.stride
    if geometry.dilation > 1 or geometry.length_offset % geometry.stride:
        return 0
    longer = -(-(geometry.kernel_size + shift) // geometry.stride) > -(-geometry.kernel_size // geometry.stride)
    return 0 if longer and not geometry.depthwise else shift
