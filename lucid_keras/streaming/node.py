"""A stage in its place in a graph, and what it is told of a chunk there."""

import dataclasses
from collections.abc import Callable

from lucid_keras._names import identifier
from lucid_keras.streaming.pointwise import Place
from lucid_keras.streaming.stage import Stage, length_of


@dataclasses.dataclass(eq=False)
class Node:
    """A stage in its place; `path` is the layer's, `name` its own. Without a stage, `call` is the same throughout."""

    path: str
    name: str
    inputs: list[Place]
    outputs: list[Place]
    stage: Stage | None
    call: Callable | None = None

    @property
    def signal(self):
        """What comes in, all of it together."""
        return next(place.signal for place in self.inputs if place.signal is not None)

    @property
    def state_names(self):
        """The states' names in the stream by what they are in the stage."""
        return {kind: identifier(f"{self.name}_{kind}") for kind in self.stage.state_shapes} if self.stage else {}


def silence(place):
    """What precedes the signal comes as zeros: made so here, or before the stages that keep them."""
    if place.signal is None or place.signal.begins <= 0 or place.silent:
        return
    place.silent = True
    source = place.source
    if source.stage.keeps_silence and len(source.outputs) == 1:
        for one in source.inputs:
            silence(one)
    else:
        place.masked = True


def present(node, inputs, presence):
    """Which of a chunk's samples are the signal's, where the stage has to know and not all are."""
    if not node.stage.needs_presence or node.signal.begins + node.stage.reach <= 0:
        return None
    x = next(one for one, place in zip(inputs, node.inputs, strict=True) if place.signal is not None)
    return None if x is None else presence.of(node.signal, length_of(x), node.stage.reach)


def one_or_all(inputs):
    """The inputs as a stage takes them: one alone, or a list."""
    return inputs[0] if len(inputs) == 1 else list(inputs)
