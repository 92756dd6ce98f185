"""One memory for all that looks back at a place: the windows over it, and the delays of its branches.

What a residual block is given is remembered twice, by the delay of its shortcut and, behind an activation, by its first
convolution. One line of it, as long as the longer of the two, serves both; the activation is then computed of the line
too, which costs no more than a copy.
"""

import keras

from lucid_keras._lowering.edges import crop
from lucid_keras.streaming.convolution import Sliding
from lucid_keras.streaming.node import Node
from lucid_keras.streaming.pointwise import Place, Pointwise
from lucid_keras.streaming.stage import Stage
from lucid_keras.streaming.timing import Line

AS_CHEAP_AS_A_COPY = (keras.layers.Identity, keras.layers.ReLU, keras.layers.LeakyReLU)


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


def share_lines(nodes, delays, output):
    """Lines that serve windows and delays at once are put among the nodes, and what they serve reads them.

    Args:
        nodes: the graph's nodes in their order.
        delays: for each delayed place, by its delays in samples, the places that are so much later; by 0 itself.
        output: the graph's output.
    """
    readers = {}
    for node in nodes:
        for place in node.inputs:
            readers.setdefault(id(place), []).append(node)
    for later in delays.values():
        place = later[0]
        windows = [*_windows(place, readers, output)]
        if not windows:
            continue
        samples = max(*later, *(window.stage.looks_back for *_, window in windows))
        wide = _line(place, samples, nodes)
        for *between, window in windows:
            for node, given in zip([*between, window], [wide, *(node.outputs[0] for node in between)], strict=True):
                node.inputs = [given]
            for node in between:
                node.outputs[0].past = samples
            window.stage.after_line(samples)
        for delay, one in later.items():
            if delay:
                one.source.inputs, one.source.stage = [wide], Earlier(samples, delay)


def _line(place, samples, nodes):
    """The place with so many samples before each chunk, which a line right behind it gives."""
    path = place.source.path if place.source else place.path
    wide = Place(place.spec, place.signal, place.path, past=samples)
    wide.source = Node(path, f"{place.path}_line", [place], [wide], Line(samples, place))
    nodes.insert(nodes.index(place.source) + 1 if place.source else 0, wide.source)
    return wide


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
