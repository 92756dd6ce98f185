"""What runtimes are known to refuse, and by which sentence: anything else that one refuses fails `make runtimes`."""

import fnmatch

# Patterns of the kind of file, the recipe and the runtime's name, and a part of the sentence; the first that fits.
REFUSED = (
    # LiteRT.js takes float32, int32 and uint8 at its ends, of lengths that are known.
    ("open length", "*", "browser-*", ""),
    ("integers in and out", "*", "browser-*", "is not supported"),
    ("integers in and out", "int16x8", "compiled", "Unsupported dtype: int16"),
    ("integers in and out", "int16x8", "gpu", "Unsupported dtype: int16"),
    # What was written before rows were integers and each name had a tensor.
    ("golden live variables", "*", "browser-*", "BOOL is not supported"),
    *(
        (kind, "*", runtime, "must give all outputs of 'initial_state'")
        for kind in ("golden live explicit", "golden live dynamic_int8")
        for runtime in ("compiled", "gpu", "browser-*")
    ),
    # Before operators had honest versions: computed wrongly, which the proof tells.
    ("golden live dynamic_int8", "*", "old", "must reach 30 dB"),
    # An interpreter of 2023.
    ("decoder", "weight_only_int4", "old", "DEQUANTIZE"),
    ("*", "weight_only_int4", "old", "'DEQUANTIZE' version '6'"),
    ("live", "dynamic_int8", "old", "'FULLY_CONNECTED' version '12'"),
    ("layers", "int16x8", "old", "'CONV_2D' version '8'"),
    ("integers in and out", "int16x8", "old", "'CONV_2D' version '8'"),
    # Microcontrollers.
    ("open length", "*", "micro", "takes no open length"),
    ("*variables", "*", "micro", "takes no states in variables"),
    ("*", "float16", "micro", "takes no float16"),
    ("*", "dynamic_int8", "micro", "takes no int8 weights for float32"),
    ("*", "weight_only_int8", "micro", "dequantizes by one scale"),
    ("*", "weight_only_int4", "micro", "takes no int4"),
    ("*live*", "*", "micro", "runs a file's first signature"),
)


def refusal(kind, recipe, runtime):
    """The part of the sentence by which a runtime is known to refuse a file; None where it must be right."""
    for *patterns, sentence in REFUSED:
        if all(map(fnmatch.fnmatchcase, (kind, recipe, runtime), patterns)):
            return sentence
    return None
