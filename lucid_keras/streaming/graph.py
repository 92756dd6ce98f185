"""A decoder's graph as the list of its stages, each with the places that it reads and writes.

Where branches meet, what comes early is delayed to the same latency, in the longest common delay line. What precedes
the signal is silenced where a later stage would hear it, as near to that stage as the stages between keep silence.
"""

import math

import keras
import tensorflow as tf

from lucid_keras._lowering.edges import crop
from lucid_keras._names import identifier, scope
from lucid_keras.streaming.borders import Filled
from lucid_keras.streaming.memory import share_lines
from lucid_keras.streaming.node import Node, one_or_all, present, silence
from lucid_keras.streaming.pointwise import Call, Place
from lucid_keras.streaming.presence import Presence, lines, silenced
from lucid_keras.streaming.stage import CannotStreamError, Moment, Signal, fewest_positions, length_of
from lucid_keras.streaming.stages import stage_of
from lucid_keras.streaming.timing import Delay

STREAMS = "streams"  # a state that holds nothing


class Graph:
    """The stages of a decoder in the order in which they run.

    Attributes:
        inputs: the `Place` of each input by its name, `output` that of the output.
        nodes: the `Node`s.
        made: the models that layers said they are made of.
        granularity: positions of which a chunk has to be a multiple.
        fewest_positions: those of a signal from which every stage makes a sample.
        state_specs: the states' specs by name, without the batch.
    """

    def __init__(self, decoder, pointwise, data_format):
        self._pointwise, self._delays, self._fillings, self._uses = pointwise, {}, {}, {}
        self.nodes, self.made = [], []
        self.inputs = _inputs(decoder, data_format)
        self.output = self._run(decoder, list(self.inputs.values()), "")[0]
        if self.output.signal is None:
            raise ValueError("decoder must have an output that depends on time. Received: an output that does not")
        self.output = self._filled(self.output)
        if self.output.signal.latency < 0:
            self.output = self._delayed(self.output, -self.output.signal.latency)
        share_lines(self.nodes, self._delays, self.output)
        self.granularity = math.lcm(*(place.signal.rate.denominator for place in self._places() if place.signal))
        self.fewest_positions = fewest_positions(place.signal for place in self._places() if place.signal)
        self._lines = lines(
            [place.signal for place in self._places() if place.masked]
            + [node.signal.delayed(node.stage.reach) for node in self.nodes if node.stage and node.stage.needs_presence]
        )
        self.state_specs = self._specs()

    def step(self, values, state, target, seen=None):
        """The output of a chunk, given each input's by its name, and the next state."""
        presence, following = self._presence(state, target), {}

        def advance(node, inputs, moment):
            names = node.state_names
            y, kept = node.stage.step(one_or_all(inputs), {kind: state[name] for kind, name in names.items()}, moment)
            following.update({names[kind]: tensor for kind, tensor in kept.items()})
            if seen is not None and node.name == node.path and tf.is_tensor(y):
                seen[node.path] = crop(y, node.outputs[0].past, 0, 1, target)
            return y

        y = self._through(values, target, presence, advance)
        following |= presence.after()
        return y, following | {name: state[name] for name in self.state_specs if name == STREAMS}

    def flush(self, constants, state, target):
        """What the end releases, None where that is nothing, given the inputs that are the same throughout."""

        def advance(node, inputs, moment):
            streams = [one for one, place in zip(inputs, node.inputs, strict=True) if place.signal is not None]
            x = None if any(one is None for one in streams) else one_or_all(inputs)
            own = {kind: state[name] for kind, name in node.state_names.items()}
            y = node.stage.flush(x, own, moment)
            return [None] * len(node.outputs) if y is None else y

        batch = tf.shape(next(iter(state.values())))[0] if state else 1
        return self._through(constants, target, self._presence(state, target), advance, batch)

    def _presence(self, state, target):
        return Presence({name: state[name] for name in self._lines}, target)

    def _through(self, values, target, presence, advance, batch=1):
        """The output, every node's given by `advance`; what precedes a masked place's signal is silenced."""
        known = {id(place): values.get(name) for name, place in self.inputs.items()}
        for node in self.nodes:
            with tf.name_scope(f"{scope(node.path)}/"):  # by which reports and refusals find the layer
                inputs = [known[id(place)] for place in node.inputs]
                if node.stage is None:
                    outputs = node.call(*inputs)
                else:
                    outputs = advance(node, inputs, Moment(target, batch, present(node, inputs, presence)))
                for place, y in zip(node.outputs, keras.tree.flatten(outputs), strict=True):
                    if y is not None:
                        y = tf.cast(y, place.spec.dtype)  # as Keras casts what a layer is given
                    if place.masked and y is not None:
                        y = silenced(y, presence.of(place.signal, length_of(y)), target)
                    known[id(place)] = y
        return known[id(self.output)]

    def _run(self, model, places, above):
        """The places of a model's outputs, the nodes on the way added."""
        graph = model._functional if isinstance(model, keras.Sequential) else model
        known = {id(tensor): place for tensor, place in zip(graph.inputs, places, strict=True)}
        for depth in sorted(graph._nodes_by_depth, reverse=True):  # no public way to walk a model's graph
            for node in graph._nodes_by_depth[depth]:
                if not node.is_input:
                    args, kwargs = node.arguments.fill_in(known)
                    path = f"{above}{node.operation.name}"
                    outputs = self._after(path, Call(node.operation, args, kwargs), node.outputs)
                    known.update({id(tensor): place for tensor, place in zip(node.outputs, outputs, strict=True)})
        return [known[id(tensor)] for tensor in graph.outputs]

    def _after(self, path, call, specs):
        """The places that an operation of the graph gives."""
        if is_graph(call.operation):
            return self._run(call.operation, call.places, f"{path}/")
        if hasattr(call.operation, "streaming_graph"):
            self.made.append(model := _made_of(call.operation, call.places))
            return self._run(model, call.places, f"{path}/")
        try:
            if all(place.signal is None for place in call.places):
                return self._added(path, self._named(path), call.places, specs, None, call)
            return self._staged(path, call, specs)
        except CannotStreamError as reason:
            raise ValueError(refusal(call.operation, reason)) from None

    def _staged(self, path, call, specs):
        stage = stage_of(call, self._pointwise)
        places = self._together([one if stage.fills_border else self._filled(one) for one in call.places], stage)
        return self._added(path, self._named(path), places, specs, stage)

    def _named(self, path):
        """The name of a further use of the layer at a path."""
        use = self._uses[path] = self._uses.get(path, 0) + 1
        return path if use == 1 else f"{path}_use_{use}"

    def _added(self, path, name, inputs, specs, stage, call=None):
        """The places that a new node gives, its inputs silenced where it would hear what precedes their signals."""
        signal, streams = None, [place for place in inputs if place.signal is not None]
        if stage is not None:
            signal = stage.signal(*(place.signal for place in streams))
            if stage.needs_silence:
                for place in streams:
                    silence(place)
        self.nodes.append(node := Node(path, name, inputs, [], stage, call))
        names = [name, *(f"{name}_{index}" for index in range(1, len(specs)))]
        node.outputs = [Place(spec, signal, own, source=node) for spec, own in zip(specs, names, strict=True)]
        return node.outputs

    def _together(self, places, stage):
        """The places as they arrive together at a stage: those that come early, delayed."""
        signals = [place.signal for place in places if place.signal is not None]
        for what in ("rate", "data_format"):
            if len(found := list(dict.fromkeys(getattr(one, what) for one in signals))) > 1:
                raise CannotStreamError(f"its inputs differ in {what}: {', '.join(map(str, found))}")
        latency = max(one.latency for one in signals)
        latency = latency if stage.takes_lead else max(latency, 0)
        lengths = {one.tail - one.latency for one in signals}
        if len(lengths) > 1:
            raise CannotStreamError(f"its inputs differ in length, by {max(lengths) - min(lengths)} samples")
        return [
            place if place.signal is None else self._delayed(place, latency - place.signal.latency) for place in places
        ]

    def _filled(self, place):
        """The place with its border filled in, which takes as many samples more."""
        if place.signal is None or not place.signal.border:
            return place
        if id(place) not in self._fillings:
            name, stage = f"{place.path}_filled", Filled(place)
            (self._fillings[id(place)],) = self._added(place.source.path, name, [place], [place.spec], stage)
        return self._fillings[id(place)]

    def _delayed(self, place, samples):
        """The place so many samples later, from the longest delay line of it that is not too long."""
        if not samples:
            return place
        lines = self._delays.setdefault(id(place), {0: place})
        if samples not in lines:
            longest = max(one for one in lines if one < samples)
            path = place.source.path if place.source else place.path
            name, stage = f"{place.path}_late_{samples}", Delay(samples - longest, place)
            (lines[samples],) = self._added(path, name, [lines[longest]], [place.spec], stage)
        return lines[samples]

    def _places(self):
        return [*self.inputs.values(), *(place for node in self.nodes for place in node.outputs)]

    def _specs(self):
        """Each state's shape, without the batch, and its dtype by name; refuses two of one name."""
        specs, owners = {}, {}
        for node in self.nodes:
            for kind, name in node.state_names.items():
                if name in specs:
                    raise ValueError(
                        f"{node.path!r} cannot stream: its state {name} would be named as that of {owners[name]!r} is; "
                        f"rename one of the two layers. Received: the states {name} and {name}"
                    )
                specs[name] = tf.TensorSpec(node.stage.state_shapes[kind], node.stage.state_dtype)
                owners[name] = node.path
        specs |= {name: tf.TensorSpec([length, 1]) for name, length in self._lines.items()}
        if not specs and self.output.signal.tail:  # the end has to know of how many streams it is
            specs[STREAMS] = tf.TensorSpec([1])
        return specs


def is_graph(operation):
    """Whether it is a built Sequential or functional model, whose layers can be walked."""
    return isinstance(operation, keras.Model) and bool(getattr(operation, "inputs", None))


def _made_of(layer, places):
    """The model of what a layer is made of, as its method `streaming_graph` says it."""
    inputs = [keras.Input(batch_shape=place.spec.shape, dtype=place.spec.dtype) for place in places]
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(layer.dtype_policy)  # what it is made of computes as it does
    try:
        return keras.Model(inputs, layer.streaming_graph(*inputs))
    finally:
        keras.config.set_dtype_policy(before)


def refusal(operation, reason):
    """The sentence that an operation cannot stream."""
    return f"{operation.name!r} cannot stream: {reason}. Received: {type(operation).__name__} named {operation.name!r}"


def _inputs(decoder, data_format):
    """The `Place` of each input by its name; without a signal where no axis is the time's."""
    found, alone = {}, len(decoder.inputs) == 1
    for tensor in decoder.inputs:
        name = "x" if alone else identifier(tensor.name)
        signal = Signal(data_format=data_format) if alone or _has_time(tensor.shape, data_format) else None
        found[name] = Place(tensor, signal, name)
    if not any(place.signal for place in found.values()):
        raise ValueError(
            "Of several inputs one at least must have an open length, keras.Input((None, channels)), and those without "
            f"are the same throughout. Received: inputs of the shapes {[place.spec.shape for place in found.values()]}"
        )
    return found


def _has_time(shape, data_format):
    axis = 2 if data_format == "channels_first" and len(shape) > 2 else 1
    return len(shape) > axis and shape[axis] is None
