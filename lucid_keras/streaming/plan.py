"""What a stream of chunks gives out, keeps and holds back: the arithmetic of overlap-add. Standard library only.

Notation as in `_geometry`: after `n` inputs in all, the taps have written the full output's positions
`u < (n - 1)*stride + kernel_extent`, and no later input touches `u < n*stride`. The signal's own output ends, if it
ends here, at `u = n*stride + end`. What is both final and sure to be in the output is given out; the rest is kept:

    u:   given out earlier          | this chunk's samples      | the overlap: kept        |
         ... (n - chunk)*stride - held            n*stride - held      n*stride - held + overlap_length
"""

import dataclasses

from lucid_keras._geometry import ConvTranspose1dGeometry


@dataclasses.dataclass(frozen=True)
class StreamPlan:
    """A geometry cut into chunks; `trim` output positions at the signal's end are left out (EnCodec's `K - s`)."""

    geometry: ConvTranspose1dGeometry
    trim: int = 0

    @property
    def _end(self):
        """Where the signal's output ends, relative to `n*stride`."""
        g = self.geometry
        return g.kernel_extent - g.stride - g.padding + g.output_padding - self.trim

    @property
    def held(self):
        """Final samples held back after each chunk, because the signal's own output would end before them."""
        return max(-self._end, 0)

    @property
    def overlap_length(self):
        """Samples of state: `max(kernel_extent - stride, padding + trim - output_padding, 0)`.

        The first is what the last taps wrote ahead; the second reaches back over the `held` samples.
        """
        g = self.geometry
        return max(g.kernel_extent - g.stride, g.padding + self.trim - g.output_padding, 0)

    @property
    def latency(self):
        """Samples by which the output lags: after `n` inputs, `max(n*stride - latency, 0)` have been given out."""
        return self.geometry.padding + self.held

    @property
    def flush_length(self):
        """Samples that the end of the signal releases."""
        return max(self._end, 0)

    @property
    def fill(self):
        """Zeros before and after a chunk's uncropped output, to reach from the held samples to the overlap's end."""
        return self.held, self.overlap_length - self.held - (self.geometry.kernel_extent - self.geometry.stride)
