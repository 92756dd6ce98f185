"""What each quantization recipe means and how exact its files must be."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A way of writing a model's numbers to a `.tflite` file.

    `floor_db` is the least signal-to-noise ratio against the Keras model; `calibrated` says that the ranges of the
    activations come from the user's data; `activations` is the integer type of inputs and outputs with `integer_io`.
    """

    name: str
    floor_db: float
    meaning: str
    calibrated: bool = False
    activations: str | None = None


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("float32", 110.0, "weights and arithmetic in float32"),
        Recipe("float16", 60.0, "weights in float16, arithmetic in float32"),
        Recipe("dynamic_int8", 30.0, "weights in int8; activations quantized on the fly, each call by its own range"),
        Recipe("weight_only_int8", 40.0, "weights in int8, arithmetic in float32"),
        Recipe("weight_only_int4", 15.0, "weights of dense convolutions in int4, arithmetic in float32"),
        Recipe("int8", 20.0, "weights and activations in int8, ranges from calibration data", True, "int8"),
        Recipe("int16x8", 35.0, "weights in int8, activations in int16, ranges from calibration data", True, "int16"),
    )
}


def recipe_named(name):
    """The recipe of a name; raises for an unknown one."""
    if name not in RECIPES:
        raise ValueError(f"quantization must be one of {', '.join(map(repr, RECIPES))}. Received: {name!r}")
    return RECIPES[name]
