"""A model's float64 self: what it would compute without rounding, which tells rounding from mistakes."""

import keras


def in_float64(model):
    """The model with the same weights, computing in float64; raises ValueError where its layers cannot.

    Integers stay what they are. Layers are built again from their configurations, so what a layer fixes to float32 by
    itself would be float32 here too; such a model has no float64 self.
    """
    layers = model._flatten_layers(include_self=False)
    own = {type(layer).__name__: type(layer) for layer in layers}
    try:
        with keras.saving.custom_object_scope(own):
            twin = type(model).from_config(_widened(model.get_config()))
        twin.set_weights(
            [weight.astype("float64") if weight.dtype.kind in "fV" else weight for weight in model.get_weights()]
        )
    except Exception as error:  # each layer's own: that it cannot be built again is all that matters here
        raise ValueError(f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}") from None
    computing = [
        layer for layer in twin._flatten_layers() if not isinstance(layer, (keras.Model, keras.layers.InputLayer))
    ]
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
