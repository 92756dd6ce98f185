"""What known devices would refuse of a `.tflite` file: by what runs have shown, or the device's documented rules."""

from lucid_keras.runtimes import LiteRT


def _operators(names):
    return frozenset(names.split())


# The operators that each device's own documentation lists: LiteRT's "GPU ML operations support", with what
# `make runtimes` has seen it take besides, and Vela 5.2's supported-ops report (Ethos-U85 takes what U55 and U65 take,
# and more).
GPU = _operators(
    "ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D EXP FULLY_CONNECTED LEAKY_RELU LOGICAL_AND LOGISTIC "
    "LSTM MAX_POOL_2D MAXIMUM MINIMUM MUL PAD PRELU RELU RELU6 RESHAPE RESIZE_BILINEAR SLICE SOFTMAX SPLIT "
    "STRIDED_SLICE SUB TANH TRANSPOSE TRANSPOSE_CONV"
)
ETHOS_U55 = _operators(
    "ABS ADD ARG_MAX AVERAGE_POOL_2D BATCH_MATMUL CONCATENATION CONV_2D DEPTHWISE_CONV_2D ELU EXP EXPAND_DIMS "
    "FULLY_CONNECTED GELU HARD_SWISH LEAKY_RELU LOG LOGISTIC MAXIMUM MAX_POOL_2D MEAN MINIMUM MIRROR_PAD MUL NEG PACK "
    "PAD PADV2 PRELU QUANTIZE REDUCE_MAX REDUCE_MIN RELU RELU6 RELU_0_TO_1 RELU_N1_TO_1 RESHAPE RESIZE_BILINEAR "
    "RESIZE_NEAREST_NEIGHBOR REVERSE_V2 RSQRT SLICE SOFTMAX SPLIT SPLIT_V SQUARED_DIFFERENCE SQUEEZE STRIDED_SLICE SUB "
    "SUM TANH TILE TRANSPOSE TRANSPOSE_CONV UNIDIRECTIONAL_SEQUENCE_LSTM UNPACK"
)
ETHOS_U85 = ETHOS_U55 | _operators(
    "ASSIGN_VARIABLE CAST DIV EQUAL GATHER GREATER GREATER_EQUAL LESS LESS_EQUAL LOGICAL_AND LOGICAL_NOT LOGICAL_OR "
    "NOT_EQUAL READ_VARIABLE REDUCE_ALL REDUCE_ANY SCATTER_ND SELECT SELECT_V2"
)


def refusals(contents, content):
    """For each device by name, what it would refuse: a tuple of sentences, empty if it takes the whole file.

    Args:
        contents: the file's `flatbuffer.FileContents`.
        content: its bytes.
    """
    return {
        "LiteRT CPU (XNNPACK)": _xnnpack(content),
        "LiteRT GPU": _gpu(contents),
        "Arm Ethos-U55 and U65": _ethos(contents, ETHOS_U55),
        "Arm Ethos-U85": _ethos(contents, ETHOS_U85),
    }


def _xnnpack(content):
    try:
        coverage = LiteRT(content).coverage()
    except ValueError as error:
        return (str(error),)
    outside = len(coverage.outside)
    return (f"{outside} of {len(coverage.ops)} operators run outside the delegate",) if outside else ()


def _gpu(contents):
    """What runs have shown it to compute wrongly or to leave to the CPU; `inspect --on gpu` tells of the file's own."""
    widened = {one.output for one in contents.operators if one.name == "DEQUANTIZE" and one.dtypes[0] != "float16"}
    wrong = tuple(sorted({sentence for one in contents.operators if (sentence := _wrong_on_gpu(one, widened))}))
    found = _custom(contents) + _open_lengths(contents)
    missing = sorted({one.name for one in contents.operators if one.name not in GPU and not _quantizes(one)})
    if missing:
        found += (f"not known to be taken, may run on the CPU: {', '.join(missing)}",)
    if any("int16" in one.dtypes for one in contents.operators):
        found += ("16-bit integer tensors",)
    if any(len(shape) > 4 for one in contents.operators for shape in one.shapes):
        found += ("tensors of more than four dimensions, left to the CPU",)
    return found + wrong


def _wrong_on_gpu(operator, widened):
    """What of an operator LiteRT's GPU accelerator (2.3) computes wrongly without an error: found by running each.

    `widened` are the names of weights that are stored in integers and widened while it runs.
    """
    if operator.name not in ("CONV_2D", "DEPTHWISE_CONV_2D", "PAD"):
        return ""
    x, other, *_, y = operator.shapes
    if operator.name == "PAD":
        return f"wrong numbers: PAD of {x[0]} signals in three dimensions" if len(x) == 3 and x[0] != 1 else ""
    if operator.name == "DEPTHWISE_CONV_2D":
        multiplier = y[3] // x[3]
        wrong = other[1:3] == (1, 1) and multiplier > 1 and x[3] > 1
        return f"wrong numbers: DEPTHWISE_CONV_2D of one tap with {multiplier} outputs a channel" if wrong else ""
    groups, group_in, group_out = operator.groups, other[3], y[3] // operator.groups
    if groups > 1 and operator.inputs[1] in widened:
        return f"wrong numbers: CONV_2D in {groups} groups with weights in integers"
    if groups == 1 or group_in % 4 == group_out % 4 == 0 or group_in == group_out == 1:
        return ""
    return f"zeros: CONV_2D with {group_in} channels a group in and {group_out} out, not multiples of 4"


def _ethos(contents, supported):
    found = _custom(contents) + _open_lengths(contents)
    missing = sorted({one.name for one in contents.operators if one.name not in supported and not _quantizes(one)})
    if missing:
        found += (f"left to the CPU: {', '.join(missing)}",)
    floating = sorted({one.name for one in contents.operators if _floating(one)})
    if floating:
        found += (f"floating point, left to the CPU: {', '.join(floating)}",)
    ends = [end for one in contents.signatures.values() for end in (*one.inputs.values(), *one.outputs.values())]
    if any(_quantizes(one) for one in contents.operators) and any(end.dtype == "float32" for end in ends):
        found += ("floating-point inputs and outputs, quantized on the CPU: export with integer_io",)
    return found


def _custom(contents):
    custom = sorted({one.name for one in contents.operators if one.custom})
    return (f"custom or Flex operators: {', '.join(custom)}",) if custom else ()


def _open_lengths(contents):
    opened = [tensor.name for tensor in contents.tensors if -1 in tensor.shape]
    return (f"{len(opened)} tensors of open length",) if opened else ()


def _quantizes(operator):
    return operator.name in ("QUANTIZE", "DEQUANTIZE")


def _floating(operator):
    return not _quantizes(operator) and _has_floats(operator)


def _has_floats(operator):
    return any(dtype in ("float32", "float16") for dtype in operator.dtypes)
