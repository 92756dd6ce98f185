"""Whether an int32 accumulator holds the sums of an int16x8 file.

An accumulator counts in units of (input scale * weight scale). Its value for an output `y` is `y` over that unit, so
the range that calibration found for `y` bounds what occurs, and 32767 times the sum of the weights' magnitudes bounds
what can occur at all. (Intermediate sums may wrap around; two's complement brings them back.)
"""

import dataclasses

import numpy as np

from lucid_keras.export.flatbuffer import builtin_name, schema

LIMIT = 2**31 - 1
LARGEST_INPUT = 32767


@dataclasses.dataclass(frozen=True)
class Accumulator:
    """The largest magnitudes that the accumulator of one convolution reaches: in the calibrated range, and ever.

    `calibrated` is None where a fused activation hides part of the range.
    """

    tensor: str
    calibrated: float | None
    worst: float


def accumulators(content):
    """An `Accumulator` for each convolution with int32 bias in an int16x8 file."""
    model = schema().ModelT.InitFromPackedBuf(content)
    found = []
    for graph in model.subgraphs:
        for operator in graph.operators:
            name = builtin_name(model, operator)
            if name not in ("CONV_2D", "FULLY_CONNECTED", "DEPTHWISE_CONV_2D"):
                continue
            x, weight = (graph.tensors[index] for index in operator.inputs[:2])
            output = graph.tensors[operator.outputs[0]]
            if x.type == schema().TensorType.INT16 and weight.type == schema().TensorType.INT8:
                found.append(_accumulator(model, operator, name, x, weight, output))
    return found


def _accumulator(model, operator, name, x, weight, output):
    values = np.frombuffer(bytes(model.buffers[weight.buffer].data), np.int8).reshape(weight.shape).astype(np.int64)
    channel = 3 if name == "DEPTHWISE_CONV_2D" else 0
    sums = np.abs(values).sum(tuple(axis for axis in range(values.ndim) if axis != channel))
    unit = x.quantization.scale[0] * np.asarray(weight.quantization.scale)
    worst = LARGEST_INPUT * sums.astype(float)
    calibrated = np.minimum(LARGEST_INPUT * output.quantization.scale[0] / unit, worst)
    activated = getattr(operator.builtinOptions, "fusedActivationFunction", 0)  # hides what lies below zero
    return Accumulator(output.name.decode(), None if activated else float(calibrated.max()), float(worst.max()))


def check_accumulators(content):
    """Warnings with numbers for sums that could overflow; raises where the calibrated range itself does."""
    warnings = []
    for one in accumulators(content):
        if one.calibrated is not None and one.calibrated > LIMIT:
            raise ValueError(
                f"The sums of an int16x8 convolution must stay below 2**31 = {LIMIT + 1}; this layer needs another "
                f"recipe. Received: tensor {one.tensor!r}, reaching {one.calibrated:.3g} in the calibrated range"
            )
        if one.worst > LIMIT:
            warnings.append(
                f"{one.tensor}: an input at full scale everywhere could overflow the int32 sum ({one.worst:.3g} of "
                f"{LIMIT:.3g}); the calibrated range reaches "
                + ("an unknown part of it" if one.calibrated is None else f"{one.calibrated:.3g}")
            )
    return warnings
