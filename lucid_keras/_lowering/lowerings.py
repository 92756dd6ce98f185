"""The lowerings by name: each takes `(geometry, x, weight, bias, target)`, and all compute the same numbers."""

from lucid_keras._lowering.conv2d_transpose import conv2d_transpose
from lucid_keras._lowering.fast_fir import fast_fir
from lucid_keras._lowering.overlap_add import overlap_add
from lucid_keras._lowering.polyphase import polyphase

LOWER = {
    "conv2d_transpose": conv2d_transpose,
    "fast_fir": fast_fir,
    "overlap_add": overlap_add,
    "polyphase": polyphase,
}
