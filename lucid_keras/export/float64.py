"""A model's float64 self: what it would compute without rounding, which tells rounding from mistakes."""

import keras

from lucid_keras.export.progress import doing


@doing("computing in float64")
def exact_outputs(model, claims):
    """What each claim's `compute` gives of its samples in float64; raises ValueError where the model has no such self.

    That may show only when it computes: TensorFlow's CPU kernels convolve channels first in float32 alone.
    """
    try:
        twin = in_float64(model)
        return [[claim.compute(twin, sample) for sample in claim.samples] for claim in claims]
    except Exception as error:  # each layer's own: that there is no such self is all that matters here
        lines = [line for line in str(error).splitlines() if line.strip() and not line.startswith("Exception encount")]
        raise ValueError(lines[0] if lines else type(error).__name__) from None


def in_float64(model):
    """The model with the same weights, computing in float64.

    Integers stay what they are. Layers are built again from their configurations, so what a layer fixes to float32 by
    itself would be float32 here too; such a model raises ValueError.
    """
    own = {type(layer).__name__: type(layer) for layer in model._flatten_layers(include_self=False)}
    with keras.saving.custom_object_scope(own):
        twin = type(model).from_config(_widened(model.get_config()))
    weights = model.get_weights()
    twin.set_weights([weight if weight.dtype.kind in "iub" else weight.astype("float64") for weight in weights])
    holding = (keras.Model, keras.layers.InputLayer)  # they compute nothing themselves
    computing = [layer for layer in twin._flatten_layers() if not isinstance(layer, holding)]
    if narrow := [layer.name for layer in computing if layer.compute_dtype == "float32"]:
        raise ValueError(f"the layer {narrow[0]!r} computes in float32 whatever it is told")
    return twin


def _widened(config):
    """A configuration with every floating-point dtype and dtype policy in it float64."""
    if isinstance(config, dict):
        if config.get("class_name") == "DTypePolicy":
            return {**config, "config": {**config["config"], "name": "float64"}}
        return {key: "float64" if _is_float(key, value) else _widened(value) for key, value in config.items()}
    if isinstance(config, (list, tuple)):
        return type(config)(_widened(one) for one in config)
    return config


def _is_float(key, value):
    return key == "dtype" and isinstance(value, str) and "float" in value
