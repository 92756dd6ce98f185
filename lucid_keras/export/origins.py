"""Which layers of a model the operators of its `.tflite` file come from.

TensorFlow numbers a scope that is opened again, and Keras opens a layer's twice: in the names of a plain trace the
layer `conv1d` is `conv1d_1`, the name of another. So a trace for a file gives each layer its path as its scope.
"""

import contextlib
import functools
import threading

import keras
import tensorflow as tf

from lucid_keras._names import scope
from lucid_keras.layers.dilations import one_convolution
from lucid_keras.layers.sums import plain_sum
from lucid_keras.streaming.graph import is_graph

TRACING = threading.Lock()  # one trace at a time: while it lasts, the layers' calls are not their own


def operations(model, above=""):
    """The layers and Keras operations of a model's graph by their paths; of a model in it, its own."""
    graph = getattr(model, "decoder", model)
    if not is_graph(graph):  # a layer that streams
        return {layer.name: layer for layer in graph._flatten_layers(include_self=False, recursive=False)}
    found: dict[str, keras.Operation] = {}
    for one in graph._functional.operations if isinstance(graph, keras.Sequential) else graph.operations:
        path = f"{above}{one.name}"
        if is_graph(one):
            found |= operations(one, f"{path}/")
        elif not isinstance(one, keras.layers.InputLayer):
            found[path] = one
    return found


@contextlib.contextmanager
def scoped(model):
    """What is traced of a model in here has each operation of its graph in the scope of that operation's path."""
    with TRACING, contextlib.ExitStack() as stack:
        for path, operation in operations(model).items():
            if "call" not in vars(operation):
                call = plain_sum(operation) or one_convolution(operation) or operation.call
                vars(operation)["call"] = _within(scope(path), call)
                stack.callback(vars(operation).pop, "call")
        yield


def _within(name, call):
    @functools.wraps(call)
    def within(*args, **kwargs):
        with tf.name_scope(f"{name}/"):  # this very scope, whatever is open, however often
            return call(*args, **kwargs)

    return within


class Origins:
    """The layers of a model behind the names of its file's tensors."""

    def __init__(self, model):
        found = operations(model)
        self.paths = list(found)
        self._by_scope = {scope(path): path for path in reversed(found)}
        graph = getattr(model, "decoder", model)
        self._outputs = [_last(tensor) for tensor in graph.outputs] if is_graph(graph) else self.paths[-1:]

    def named(self, name):
        """The path of the layer that a tensor's name tells of; None where it tells of none."""
        for part in reversed(name.split(";")):  # of what was fused, what computes before what is added
            pieces = part.split("/")
            for count in range(len(pieces), 0, -1):
                if path := self._by_scope.get("/".join(pieces[:count])):
                    return path
        # What gives an output has lost its name.
        return self._outputs[0] if "PartitionedCall" in name and len(self._outputs) == 1 else None

    def phrase(self, name):
        """The layer of a tensor, or its name, for a sentence."""
        path = self.named(name)
        return f"the layer {path!r}" if path else f"the graph at {name!r}"

    def of(self, graph):
        """For each `flatbuffer.Operator` of a graph the path of its layer.

        What no name tells belongs to the layer before it, or after it.
        """
        found = [self.named(operator.output) for operator in graph]
        producer = {operator.output: index for index, operator in enumerate(graph)}
        for index, operator in enumerate(graph):
            before = [found[producer[name]] for name in operator.inputs if name in producer]
            found[index] = found[index] or next(filter(None, before), None)
        for index in reversed(range(len(found))):
            for name in graph[index].inputs if found[index] else ():
                if name in producer and not found[producer[name]]:
                    found[producer[name]] = found[index]
        return [one or self.paths[0] for one in found] if len(self.paths) == 1 else found


def _last(tensor, above=""):
    """The path of the operation that gives a tensor of a model's graph."""
    operation, _, index = tensor._keras_history
    path = f"{above}{operation.name}"
    return _last(operation.outputs[index], f"{path}/") if is_graph(operation) else path
