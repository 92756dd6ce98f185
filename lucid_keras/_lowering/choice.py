"""Which form of the polyphase lowering for a geometry on a target; "auto" is always polyphase.

The measurements behind both are rows 1 and 2 of `tests/benchmarks/NOTES.md`.
"""

LOWERINGS = ("auto", "conv2d_transpose", "polyphase")


def choose_form(geometry, target):
    """The name in `contraction.FORMS` of the polyphase lowering's inner product for a target.

    `target` is "tensorflow" (CPU, GPU and XLA), "saved_model" (the same, never compiled) or "litert". TensorFlow's CPU
    kernels without oneDNN have no gradient for grouped or dilated convolutions, and XLA's grouped ones are thousands
    of times too slow, so there both are matrix products; LiteRT has fast kernels for each.
    """
    depthwise = geometry.groups > 1 and geometry.in_channels == geometry.groups
    if target == "litert":
        return "depthwise_convolution" if depthwise else "convolution"
    if depthwise:
        return "multiply_add"
    if geometry.groups > 1 or geometry.phase_plan.spacing > 1:
        return "matrix_product"
    return "convolution"
