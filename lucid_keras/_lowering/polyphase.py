"""The polyphase lowering: stride-1 convolutions compute the phases of the output, without dilation all of them at once.

Tap `k` of input `l` lands at `u = l*stride + k*dilation`, that is in block `l + (k*dilation) // stride` at phase
`(k*dilation) % stride`. Taps of one phase lie a whole number of blocks apart, so every phase is an ordinary
convolution of the input, and all phases that begin in the same block are one with `phases * C_out` output channels.
No zero is inserted between input positions, and none is multiplied but those that fill the kernel up to whole blocks.
(Vaidyanathan, "Multirate Systems and Filter Banks", section 4.3: the polyphase interpolator.)
"""

import tensorflow as tf

from lucid_keras._lowering.choice import choose_form
from lucid_keras._lowering.contraction import FORMS
from lucid_keras._lowering.edges import as_rows, blocks_to_positions, crop, extents, pad_or_crop, shortage, with_zeros
from lucid_keras._lowering.phases import phase_plan


def polyphase(geometry, x, weight, bias, target):
    """`[N, L, C_in]` and `[C_in, C_out/groups, K]` to `[N, L_out, C_out]`."""
    plan, contract = phase_plan(geometry), FORMS[choose_form(geometry, target)]
    folded = fold(geometry, plan, weight)
    # Phases that no tap hits have a bias too, and LiteRT's int16x8 quantizer ruins one that two convolutions share.
    inner_bias = bias if plan.contiguous else None
    results = [
        _result(contract, x, _chosen(folded, some), inner_bias, some, plan.spacing, target) for some in plan.kernels
    ]
    blocks = results[0] if plan.contiguous else _interleave(geometry, plan, results, target)
    y = crop(blocks_to_positions(blocks, geometry.stride), *plan.crop, 1, target)
    return y if bias is inner_bias else tf.nn.bias_add(y, bias)


def _result(contract, x, folded, bias, kernels, spacing, target):
    """What these phase kernels make of `x`; a position more, which goes again, where that would be none at all."""
    reach = (kernels.taps - 1) * spacing
    met = _met(x, kernels.pad, target)
    if target.name == "litert" or (x.shape[1] or 1) + sum(kernels.pad) > reach:
        return contract(met, folded, bias, spacing, target)
    count = extents(met)[2] - reach
    return contract(with_zeros(met, shortage(count), 2), folded, bias, spacing, target)[:, :count]


def _met(x, pad, target):
    """`x [N, L, C]` as the `[N, 1, L', C]` that a convolution meets, between its zeros.

    TensorFlow fuses a Pad, a convolution and its bias into one operation of oneDNN, which for a single signal of few
    positions with more zeros after than before it writes where it must not (2.21). A Pad in three dimensions it leaves.
    """
    left, right = pad
    few = x.shape[1] is None or x.shape[1] <= 4 * right
    if target.name in ("tensorflow", "saved_model") and right > left and few:
        return as_rows(pad_or_crop(x, left, right, 1, target))
    return pad_or_crop(as_rows(x), left, right, 2, target)


def fold(geometry, plan, weight):
    """`[C_in, C_out/groups, K]` to `[groups, C_in/groups, C_out/groups, taps, phases]`."""
    in_channels, group_out, _ = weight.shape
    missing = plan.taps * plan.phase_count - plan.shift - geometry.kernel_size
    if plan.shift or missing:
        weight = tf.pad(weight, [[0, 0], [0, 0], [plan.shift, missing]])
    return tf.reshape(weight, [geometry.groups, in_channels // geometry.groups, group_out, plan.taps, plan.phase_count])


def _chosen(folded, kernels):
    """Of the folded weight the phase kernels that are one convolution, without the tap that is zero in all of them."""
    last = kernels.first + len(kernels.phases)
    if (kernels.taps, kernels.first, last) == (folded.shape[3], 0, folded.shape[4]):
        return folded
    return folded[..., : kernels.taps, kernels.first : last]


def _interleave(geometry, plan, results, target):
    """Each phase kernel's result at its place in the block; zeros at the phases that no tap hits."""
    pieces = {}
    for some, z in zip(plan.kernels, results, strict=True):
        count = len(some.phases)
        pieces |= zip(some.phases, tf.split(z, count, axis=2) if count > 1 else [z], strict=True)
    hit = sorted(pieces)  # the first is phase 0, where tap 0 lands
    silent = [after - phase - 1 for phase, after in zip(hit, [*hit[1:], geometry.stride], strict=True)]
    filled = [
        pad_or_crop(pieces[phase], 0, geometry.out_channels * some, 2, target)
        for phase, some in zip(hit, silent, strict=True)
    ]
    return tf.concat(filled, axis=2) if len(filled) > 1 else filled[0]
