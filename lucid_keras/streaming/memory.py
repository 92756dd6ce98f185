"""One memory for all that looks back at a place: the windows over it, and the delays of its branches.

What a residual block is given is remembered twice, by the delay of its shortcut and, behind an activation, by its first
convolution. One line of it, as long as the longer of the two, serves both; the activation is then computed of the line
too, which costs no more than a copy.
"""

import keras
import tensorflow as tf

from lucid_keras._lowering.edges import crop
from lucid_keras.streaming.convolution import Sliding
from lucid_keras.streaming.pointwise import Pointwise
from lucid_keras.streaming.stage import Stage
from lucid_keras.streaming.timing import last

AS_CHEAP_AS_A_COPY = (keras.layers.Identity, keras.layers.ReLU, keras.layers.LeakyReLU)


class Line(Stage):
    """A chunk, and before it so many samples that came before."""

    needs_silence = False
    keeps_silence = True

    def __init__(self, samples, place):
        self._samples, self.state_dtype = samples, place.spec.dtype
        self.state_shapes = {"kept": (samples, *place.sizes)}

    def step(self, x, states, moment):
        heard = tf.concat([states["kept"], x], axis=1)
        return heard, {"kept": last(heard, self._samples, moment.target)}

    def flush(self, x, states, moment):
        return states["kept"] if x is None else tf.concat([states["kept"], x], axis=1)


class Earlier(Stage):
    """A delay out of a line of `past` samples."""

    needs_silence = False
    keeps_silence = True

    def __init__(self, past, samples):
        self._past, self._samples = past, samples

    def signal(self, x):
        return x.delayed(self._samples)

    def step(self, x, states, moment):
        return crop(x, self._past - self._samples, self._samples, 1, moment.target), {}

    def flush(self, x, states, moment):
        return crop(x, self._past - self._samples, 0, 1, moment.target)


def lines_shared(nodes, delays, output):
    """The lines that serve windows and delays at once, as (place, line, where it leads); what they serve reads them.

    Args:
        nodes: the graph's nodes, of which those that read a line are changed.
        delays: for each delayed place, by its delays in samples, the places that are so much later; by 0 itself.
        output: the graph's output.
    """
    readers = {}
    for node in nodes:
        for place in node.inputs:
            readers.setdefault(id(place), []).append(node)
    found = []
    for later in delays.values():
        place = later[0]
        windows = [*_windows(place, readers, output)]
        if not windows:
            continue
        samples = max(*later, *(window.stage.looks_back for *_, window in windows))
        wide = place.with_past(samples)
        for *between, window in windows:
            for node, given in zip([*between, window], [wide, *(node.outputs[0] for node in between)], strict=True):
                node.inputs = [given]
            for node in between:
                node.outputs[0].past = samples
            window.stage.after_line(samples)
        for delay, one in later.items():
            if delay:
                one.source.inputs, one.source.stage = [wide], Earlier(samples, delay)
        found.append((place, Line(samples, place), wide))
    return found


def _windows(place, readers, output):
    """Each window over a place that looks back, behind the activations between that can be computed of a line too."""
    for node in readers.get(id(place), []):
        if isinstance(node.stage, Sliding) and node.stage.looks_back:
            yield (node,)
        elif _is_cheap(node) and node.outputs[0] is not output and len(readers.get(id(node.outputs[0]), [])) == 1:
            yield from ((node, *rest) for rest in _windows(node.outputs[0], readers, output))


def _is_cheap(node):
    stage = node.stage
    return isinstance(stage, Pointwise) and isinstance(stage.operation, AS_CHEAP_AS_A_COPY) and stage.keeps_silence
