"""An argument as a NumPy array of numbers, whatever it comes as. NumPy only."""

import numpy as np

REAL = "fiubV"  # the kinds of dtypes; V are those that NumPy lacks, such as bfloat16


def array_of_numbers(name, value, kinds=REAL):
    """`value` as an array; raises unless it holds numbers of one of the `kinds`."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):  # nested lists of several lengths; what cannot be an array
        array = None
    if array is None or array.dtype.kind not in kinds or array.dtype.names is not None:
        received = type(value).__name__ if array is None else f"{type(value).__name__}, of dtype {array.dtype}"
        raise TypeError(f"{name} must be an array of numbers. Received: {name} of type {received}")
    return array
