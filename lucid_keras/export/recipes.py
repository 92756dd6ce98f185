"""What each quantization recipe means, how exact its files must be, and what it asks of the converters."""

import dataclasses
from typing import Literal

from lucid_keras._arguments import check_choice

Quantization = Literal["float32", "float16", "dynamic_int8", "weight_only_int8", "weight_only_int4", "int8", "int16x8"]

# What evenly spaced integers hold badly, such as squares, whose range is that of what is squared twice over, and what
# XNNPACK (LiteRT 2.3) takes in float32 alone.
FLOATING = (
    *("BATCH_MATMUL", "COS", "DIV", "EXP", "GELU", "LOG", "MEAN", "POW", "RSQRT", "SIN", "SQRT", "SQUARE"),
    *("SQUARED_DIFFERENCE", "SUM"),
)
# What LiteRT (2.3) has no int16 kernel for, or one that wants another scale than the converter's quantizer gives.
NOT_IN_INT16 = ("HARD_SWISH", "LOGISTIC", "LOG_SOFTMAX", "PRELU", "RELU_N1_TO_1", "SQUARED_DIFFERENCE")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A way of writing a model's numbers to a `.tflite` file.

    Attributes:
        floor_db: the least signal-to-noise ratio against the Keras model.
        coarser_db: where float32 keeps a model from the floor, how much more than in Keras its rounding may cost here.
        meaning: in one line.
        weights: `"float16"` where the TFLite converter stores them so.
        edge_recipe: the LiteRT Quantizer's recipe, where that tool quantizes; None: the TFLite converter does.
        left_in_float: operators that stay in float32, SQUARE the product of a tensor with itself too.
        never_integers: operators that integers throughout leave in float32 too.
        groups_in_float: whether convolutions in groups stay so too.
        activations: `"int8"` or `"int16"` where the activations are integers too, whose ranges the user's data give.
        headroom: by how much louder than the calibration data inputs may be.
        streams: whether a streaming model may be written so.
    """

    name: str
    floor_db: float
    meaning: str
    coarser_db: float = 0.0
    weights: str | None = None
    edge_recipe: str | None = None
    left_in_float: tuple[str, ...] = ()
    never_integers: tuple[str, ...] = ()
    groups_in_float: bool = False
    activations: str | None = None
    headroom: float = 1.0
    streams: bool = True

    @property
    def integers(self) -> bool:
        """Whether a quantizer writes integers."""
        return self.edge_recipe is not None or self.calibrated

    @property
    def calibrated(self) -> bool:
        """Whether the ranges of the activations come from the user's data."""
        return self.activations is not None


# The floors of integers are what right files of trained voices reach (docs/speed/voices.md), less a little; those of
# floating point let nothing pass but rounding.
RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("float32", 110.0, "weights and arithmetic in float32"),
        # Weights of 11 bits for 24 are 78 dB coarser; but sums, which float32 computes in both, round too.
        Recipe("float16", 60.0, "weights in float16, arithmetic in float32", coarser_db=40.0, weights="float16"),
        # XNNPACK has no depthwise convolution of this kind; LiteRT's own takes two to four times as long as in float32,
        # whose weights are a few KB.
        Recipe(
            "dynamic_int8",
            18.0,
            "weights in int8; activations quantized on the fly, each call by its own range; depthwise ones in float32",
            edge_recipe="dynamic_wi8_afp32",
            left_in_float=("DEPTHWISE_CONV_2D",),
        ),
        # A convolution in groups whose weights arrive while it runs LiteRT's GPU accelerator (2.3) computes wrongly,
        # without an error; a group's weights are few.
        Recipe(
            "weight_only_int8",
            25.0,
            "weights in int8 but those of groups, arithmetic in float32",
            edge_recipe="weight_only_wi8_afp32",
            groups_in_float=True,
        ),
        Recipe(
            "weight_only_int4",
            15.0,
            "weights of dense convolutions in int4, arithmetic in float32",
            edge_recipe="weight_only_wi4_afp32",
            groups_in_float=True,
            streams=False,
        ),
        Recipe(
            "int8",
            20.0,
            "weights and activations in int8, ranges from calibration data",
            left_in_float=FLOATING,
            activations="int8",
        ),
        # int16 has 6 dB to spare.
        Recipe(
            "int16x8",
            30.0,
            "weights in int8, activations in int16, ranges from calibration data",
            left_in_float=FLOATING,
            never_integers=NOT_IN_INT16,
            activations="int16",
            headroom=2.0,
            streams=False,
        ),
    )
}


def recipe_named(name: str, *, streams: bool = False) -> Recipe:
    """The recipe of a name, one that streams where asked; raises for an unknown one."""
    known = [key for key, recipe in RECIPES.items() if recipe.streams or not streams]
    check_choice("quantization", name, known)
    return RECIPES[name]
