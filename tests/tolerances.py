"""The only tolerances of the tests."""

import math

# One rounding error of each dtype, and how many of them a sum of n terms may gather: sqrt(n) times a margin.
EPSILON = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "float32": 2.0**-24, "float64": 2.0**-53}
MARGIN = {"float16": 2, "bfloat16": 2, "float32": 16, "float64": 16}

# Signal-to-noise floors in dB of exported files against the Keras model, by quantization recipe.
SNR_FLOOR = {
    "float32": 110.0,
    "float16": 60.0,
    "dynamic_int8": 30.0,
    "weight_only_int8": 40.0,
    "weight_only_int4": 15.0,
    "int16x8": 35.0,
    "int8": 20.0,
}

# The largest error of a whole decoder in float32 against its PyTorch original, relative to the largest sample.
MODEL_PARITY = 1e-5


def relative_tolerance(dtype, terms):
    """The largest error, relative to the largest magnitude of the result, of a sum of `terms` products in `dtype`."""
    return MARGIN[dtype] * EPSILON[dtype] * math.sqrt(max(terms, 1))
