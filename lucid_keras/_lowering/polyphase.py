"""The polyphase lowering: stride-1 convolutions compute the phases of the output, without dilation all of them at once.

Tap `k` of input `l` lands at `u = l*stride + k*dilation`, that is in block `l + (k*dilation) // stride` at phase
`(k*dilation) % stride`. Taps of one phase lie a whole number of blocks apart, so every phase is an ordinary
convolution of the input, and all phases that begin in the same block are one with `phases * C_out` output channels.
No zero is inserted between input positions, and none is multiplied but those that fill the kernel up to whole blocks.
(Vaidyanathan, "Multirate Systems and Filter Banks", section 4.3: the polyphase interpolator.)
"""

import tensorflow as tf

from lucid_keras._lowering.choice import choose_form
from lucid_keras._lowering.contraction import contract
from lucid_keras._lowering.edges import blocks_to_positions, crop, pad_or_crop
from lucid_keras._lowering.phases import phase_plan


def polyphase(geometry, x, weight, bias, target):
    """`[N, L, C_in]` and `[C_in, C_out/groups, K]` to `[N, L_out, C_out]`."""
    plan, form = phase_plan(geometry), choose_form(geometry, target)
    x, folded = tf.expand_dims(x, 1), _fold(geometry, plan, weight)
    # Phases that no tap hits have a bias too, and LiteRT's int16x8 quantizer ruins one that two convolutions share.
    inner_bias = bias if plan.contiguous else None
    results = [
        contract(form, pad_or_crop(x, *some.pad, 2, target), _chosen(folded, some), inner_bias, plan.spacing, target)
        for some in plan.kernels
    ]
    blocks = results[0] if plan.contiguous else _interleave(geometry, plan, results)
    y = crop(blocks_to_positions(blocks, geometry.stride), *plan.crop, 1, target)
    return y if bias is inner_bias else tf.nn.bias_add(y, bias)


def _fold(geometry, plan, weight):
    """`[C_in, C_out/groups, K]` to `[groups, C_in/groups, C_out/groups, taps, phases]`."""
    missing = plan.taps * plan.phase_count - plan.shift - geometry.kernel_size
    if plan.shift or missing:
        weight = tf.pad(weight, [[0, 0], [0, 0], [plan.shift, missing]])
    in_channels, group_out, _ = weight.shape
    return tf.reshape(weight, [geometry.groups, in_channels // geometry.groups, group_out, plan.taps, plan.phase_count])


def _chosen(folded, kernels):
    """Of the folded weight the phase kernels that are one convolution, without the tap that is zero in all of them."""
    last = kernels.first + len(kernels.phases)
    if (kernels.taps, kernels.first, last) == (folded.shape[3], 0, folded.shape[4]):
        return folded
    return folded[..., : kernels.taps, kernels.first : last]


def _interleave(geometry, plan, results):
    """Each phase kernel's result at its place in the block; zeros at the phases that no tap hits."""
    pieces = {}
    for some, z in zip(plan.kernels, results, strict=True):
        count = len(some.phases)
        pieces |= zip(some.phases, tf.split(z, count, axis=3) if count > 1 else [z], strict=True)
    silence = tf.zeros_like(pieces[0])  # tap 0 lands at phase 0
    return tf.concat([pieces.get(phase, silence) for phase in range(geometry.stride)], axis=3)
