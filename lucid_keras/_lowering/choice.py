"""Which lowering for a geometry and a signal, and which form of the polyphase one, on each target.

The measurements behind each rule are the rows of `tests/benchmarks/NOTES.md` that it names.
"""

from typing import Literal, get_args

from lucid_keras._lowering.phases import phase_plan

Lowering = Literal["auto", "conv2d_transpose", "fast_fir", "overlap_add", "polyphase"]  # what a caller may choose
LOWERINGS = get_args(Lowering)

# From where fewer products outweigh what they cost besides (row 26).
FAST_FIR_CHANNELS, FAST_FIR_WIDTH = 256, 512  # of the input; of the output times stride, and positions
WIDE = 768  # input channels from which XNNPACK's and oneDNN's convolution fall behind their product (row 9)


def choose_lowering(geometry, target, batch, length, dtype):
    """The name of the lowering for a signal of these extents, None where unknown, and of this dtype.

    On a TPU what XLA estimates the fewest cycles of (row 25). Else polyphase (row 1), except where the weight outweighs
    the signal: then laying out the weight anew, which polyphase must at each call, costs more than overlap-add's larger
    product (row 2). An exported file does it once and for all. Wide float32 layers of two taps a phase take three
    products for four on a CPU, where it is known that the signal outweighs the sums of taps (row 26).
    """
    if target.platform == "tpu" and geometry.depthwise:
        return "overlap_add"
    if target.platform == "tpu" and _few_taps_apart(geometry):
        return "conv2d_transpose"
    if target.name in ("tensorflow", "xla"):
        if batch and length and batch * length < geometry.in_channels // geometry.groups:
            return "overlap_add"
        least = (1 if batch is None else batch) * (length or 0)
        if target.platform == "cpu" and dtype == "float32" and _wide_enough_for_fast_fir(geometry, least):
            return "fast_fir"
    return "polyphase"


def has_two_taps(geometry):
    """Whether two blocks of the output share a product: dense, two neighbouring taps a phase, all phases together."""
    plan = phase_plan(geometry)
    return geometry.groups == 1 and plan.contiguous and (plan.taps, plan.spacing) == (2, 1)


def _wide_enough_for_fast_fir(geometry, positions):
    wide = min(geometry.stride * geometry.out_channels, positions) >= FAST_FIR_WIDTH
    return wide and FAST_FIR_CHANNELS <= geometry.in_channels <= positions and has_two_taps(geometry)


def _few_taps_apart(geometry):
    """Whether no more than two positions meet in an output, or a dilation lies between the taps, of a dense layer."""
    few = geometry.kernel_size <= 2 * geometry.stride and geometry.out_channels > 1
    return geometry.stride > 1 and geometry.groups == 1 and (few or geometry.dilation > 1)


def choose_form(geometry, target):
    """The name in `contraction.FORMS` of the polyphase lowering's inner product (row 3).

    The target is "tensorflow" (CPU and GPU kernels), "xla", "saved_model" (the same kernels on any machine, and its
    gradients without oneDNN) or "litert". XLA's grouped convolutions are thousands of times too slow on the CPU.
    """
    multiplied = geometry.out_channels > geometry.in_channels
    if geometry.depthwise and not (multiplied and target.name == "litert"):  # there a dense kernel is faster (row 17)
        return "elementwise" if target.name == "xla" else "depthwise_convolution"
    if target.name == "xla" and geometry.groups > 1:
        return "matrix_product"
    wide = geometry.groups == 1 and WIDE <= geometry.in_channels <= geometry.stride * geometry.out_channels
    if target.name in ("litert", "tensorflow") and wide:
        return "matrix_product"
    if target.name == "saved_model" and (geometry.groups > 1 or phase_plan(geometry).spacing > 1):
        return "matrix_product"
    return "convolution"
