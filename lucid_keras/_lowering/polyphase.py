"""The polyphase lowering: one stride-1 convolution computes all phases of the output at once.

Tap `k` of input `l` lands at `u = l*stride + k*dilation`, that is in block `l + (k*dilation) // stride` at phase
`(k*dilation) % stride`. Taps of one phase lie a whole number of blocks apart, so every phase is an ordinary
convolution of the input, and all phases together are one with `phases * C_out` output channels. No zero is inserted
between input positions, and none is multiplied but those that fill the kernel up to whole blocks.
(Vaidyanathan, "Multirate Systems and Filter Banks", section 4.3: the polyphase interpolator.)
"""

import tensorflow as tf

from lucid_keras._lowering.choice import choose_form
from lucid_keras._lowering.contraction import contract
from lucid_keras._lowering.edges import blocks_to_positions, crop, pad_or_crop
from lucid_keras._lowering.target import current_target


def polyphase(geometry, x, weight, bias):
    """`[N, L, C_in]` and `[C_in, C_out/groups, K]` to `[N, L_out, C_out]`."""
    plan = geometry.phase_plan
    form = choose_form(geometry, current_target())
    x = pad_or_crop(tf.expand_dims(x, 1), *plan.pad, axis=2)
    phases = contract(form, x, _fold(geometry, weight), bias if plan.contiguous else None, plan.spacing)
    blocks = phases if plan.contiguous else _interleave(geometry, phases)
    y = crop(blocks_to_positions(blocks, geometry.stride), *plan.crop, axis=1)
    return y if bias is None or plan.contiguous else tf.nn.bias_add(y, bias)


def _fold(geometry, weight):
    """`[C_in, C_out/groups, K]` to `[groups, C_in/groups, C_out/groups, taps, phases]`."""
    plan = geometry.phase_plan
    phases = len(plan.phases)
    missing = plan.taps * phases - geometry.kernel_size
    if missing:
        weight = tf.pad(weight, [[0, 0], [0, 0], [0, missing]])
    in_channels, group_out, _ = weight.shape
    return tf.reshape(weight, [geometry.groups, in_channels // geometry.groups, group_out, plan.taps, phases])


def _interleave(geometry, z):
    """Each phase kernel's result, `offset` blocks later, at its place in the block; zeros at the phases no tap hits."""
    plan = geometry.phase_plan
    furthest = max(plan.offsets)
    pieces = dict(zip(plan.phases, tf.split(z, len(plan.phases), axis=3), strict=True))
    offsets = dict(zip(plan.phases, plan.offsets, strict=True))
    placed = {phase: crop(piece, furthest - offsets[phase], offsets[phase], axis=2) for phase, piece in pieces.items()}
    silence = tf.zeros_like(placed[0])  # tap 0 lands at phase 0
    return tf.concat([placed.get(phase, silence) for phase in range(geometry.stride)], axis=3)
