"""What a stream of chunks gives out, keeps and holds back: the arithmetic of overlap-add. Standard library only.

Notation as in `_geometry`: after `n` inputs in all, the taps have written the full output's positions
`u < (n - 1)*stride + kernel_extent`, and no later input touches `u < n*stride`. The signal's own output ends, if it
ends here, at `u = n*stride + end`. What is both final and sure to be in the output is given out; the rest is kept:

    u:   given out earlier          | this chunk's samples      | the overlap: kept        |
         ... (n - chunk)*stride - held            n*stride - held      n*stride - held + overlap_length
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class StreamPlan:
    """A geometry cut into chunks."""

    latency: int  # samples by which the output lags: after n inputs max(n*stride - latency, 0) have been given out
    overlap_length: int  # samples of state
    flush_length: int  # samples that the end of the signal releases beyond those of its last inputs
    fill: tuple[int, int]  # zeros before and after a chunk's uncropped output, from held samples to overlap's end


def stream_plan(geometry, trim=0, tail=0):
    """The `StreamPlan` of a geometry; `trim` output positions at the signal's end are left out (EnCodec's `K - s`).

    The end of the stream brings `tail` inputs more.
    """
    ahead = geometry.kernel_extent - geometry.stride  # where the last taps' writing ends, relative to n*stride
    end = ahead - geometry.padding + geometry.output_padding - trim
    held = max(
        -end - tail * geometry.stride, 0
    )  # final samples held back, because the signal's own output would end before them
    return StreamPlan(
        latency=geometry.padding + held,
        overlap_length=max(ahead + held, 0),
        flush_length=end + held,
        fill=(held, max(-ahead - held, 0)),
    )
