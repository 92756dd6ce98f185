"""The layers within a Keras layer or model, under the names that PyTorch would give them."""

import keras

from lucid_keras.interop.layouts import layout_of
from lucid_keras.streaming.layer import StreamingConvTranspose1d

KERAS_OWN = ("_layers", "_functional", "_self_")  # how the attributes begin in which Keras keeps the layers once more
TRANSPARENT = (keras.layers.TimeDistributed, StreamingConvTranspose1d)  # wrappers that PyTorch needs none of


def named_layers(target):
    """Each layer in `target` that may hold variables of its own, once, with its name; `target` itself is `""`.

    A layer in a functional or sequential model has its own name; one in a subclassed layer the name of the attribute
    that holds it, `blocks.0` in a list and `heads.left` in a dict. Names within names are joined with dots.
    """
    seen = set()
    pending = [("", target)]
    while pending:
        name, layer = pending.pop(0)
        if id(layer) in seen:
            continue
        seen.add(id(layer))
        if layout_of(layer) is not None and not layer.built:
            raise ValueError(
                f"a model must be built, that is called once, before its variables can be matched. Received: the layer "
                f"{name or layer.name!r}, which is not"
            )
        yield name, layer
        if layout_of(layer) is None:
            pending[:0] = [(joined(name, child_name), child) for child_name, child in _children(layer)]


def joined(name, rest):
    """Two names with a dot between them where both are there."""
    return f"{name}.{rest}" if name and rest else name or rest


def _children(layer):
    if isinstance(layer, TRANSPARENT):
        return [("", layer.layer)]
    if isinstance(layer, keras.Sequential) or hasattr(layer, "operations"):  # which only a functional model has
        return [(child.name, child) for child in layer.layers]
    return _layers_in("", {name: value for name, value in vars(layer).items() if not name.startswith(KERAS_OWN)})


def _layers_in(name, value):
    if isinstance(value, keras.Layer):
        return [(name, value)]
    if isinstance(value, (list, tuple)):
        value = dict(enumerate(value))
    entries = value.items() if isinstance(value, dict) else ()
    return [found for key, entry in entries for found in _layers_in(joined(name, str(key)), entry)]
