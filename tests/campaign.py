"""A campaign of bad arguments: a pool of values, in the place of each argument of each valid call, and a judgement.

The signature's annotation says what a parameter takes, `RANGES` which of that is legal; a value that is not must be
refused, and whatever is refused must be refused in the documented way.
"""

import collections.abc
import dataclasses
import functools
import math
import os
import pathlib
import re
import types
import typing
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

# How Keras, TensorFlow and Python say what they were given, beside our `Received:`.
PHRASES = r"[Rr]eceived|, got |but got|Unsupported|of type|Cannot convert|null byte|is not a readable|config="
DOCUMENTED = (ValueError, TypeError, ImportError, OSError)


class Reached(BaseException):
    """Raised where an export's work would begin: the arguments were accepted."""


def made(*values):
    """Values by what a failure shows, each as a function that gives it."""
    return {repr(value)[:100]: lambda value=value: value for value in values}


def zeros(shape, dtype="float32"):
    """Zeros, by their shape and dtype."""
    return {f"{dtype} array {list(shape)}": lambda: np.zeros(shape, dtype)}


# By a name that a failure shows; what can be used once, or be changed, is made anew for each call.
POOL = {
    **made(None, True, False, ..., NotImplemented, 0, -1, 1, 2, 3, 7, 2**31, -(2**31), 2**40, 2**63, 10**30),
    **made(0.0, 3.0, 1.5, -0.5, math.nan, math.inf, -math.inf, 1e300, 1j, slice(2), ValueError("x")),
    **made(np.int64(2), np.int32(-1), np.uint8(1), np.bool_(True), np.float32(7), np.float64("nan")),
    **made("", "no", "True", "3", "same", "dynamic", "a/b", "é\n", "x" * 300, "nul\0", b"", b"x"),
    **made((), (1,), (2, 2), (None,), (1.5,), (True,), ((1,),), [], [1], [1, 2], [None], ["a"], [[1], [2, 3]]),
    **made({}, {"a": 1}, {"x": None}, {"b": 20, "typo": 5}, {1: 2}, {1}, set(), frozenset(), range(3)),
    **made(int, str, len, object, keras.layers.Dense, pathlib.Path("nowhere.npz"), pathlib.Path(".")),
    **zeros((3,)) | zeros((0,)) | zeros((4, 5)) | zeros((1, 4, 5)) | zeros((1, 5, 4)) | zeros((1, 4, 0)),
    **zeros((0, 4, 5)) | zeros((1, 1, 4, 5)) | zeros((4, 2, 3)) | zeros((4, 2, 3), "float16") | zeros((1,), "bool"),
    **zeros((4, 5), "bool") | zeros((1, 4, 5), "float64") | zeros((1, 4, 5), "int32") | zeros((1, 4, 5), "uint8"),
    **zeros((1, 4, 5), "complex64") | zeros((1, 4, 5), "U1") | zeros((1, 4, 5), "O") | zeros((), "int64"),
    **zeros((1, 4, 5), "datetime64[s]") | zeros((2,), [("a", "i4")]),
    "array of NaN": lambda: np.full((1, 4, 5), math.nan, "float32"),
    "array of infinity": lambda: np.full((4, 5), math.inf, "float32"),
    "tensor 1": lambda: tf.constant(1),
    "tensor 1.0": lambda: tf.constant(1.0),
    "tensor of text": lambda: tf.constant("text"),
    "tensor True": lambda: tf.constant(True),
    "tensor [1, 2]": lambda: tf.constant([1, 2]),
    "tensor [[1.0]]": lambda: tf.constant([[1.0]]),
    "ragged tensor": lambda: tf.ragged.constant([[1.0], [2.0, 3.0]]),
    "sparse tensor": lambda: tf.sparse.from_dense([[1.0, 0.0]]),
    "tf.Variable": lambda: tf.Variable([1.0]),
    "keras.Variable": lambda: keras.Variable([1.0]),
    "KerasTensor": lambda: keras.KerasTensor((1, 4, 5)),
    "tf.TensorSpec": lambda: tf.TensorSpec([1, 4, 5]),
    "object()": object,
    "lambda": lambda: lambda x: x,
    "generator": lambda: (one for one in [1, 2]),
    "unbuilt layer": lambda: keras.layers.Dense(2),
    "unbuilt model": lambda: keras.Sequential([keras.layers.Dense(2)]),
}

# The least and the largest int by its parameter's name; any that the annotation names is legal for the others.
RANGES = {
    **dict.fromkeys(("in_channels", "out_channels", "kernel_size", "stride", "dilation", "groups"), (1, 2**31 - 1)),
    **dict.fromkeys(("n_fft", "hop_length", "win_length"), (1, 2**15)),
    **dict.fromkeys(("heads", "window"), (1, 2**31 - 1)),
    "rotary_base": (1, 1e300),
    **dict.fromkeys(("padding", "output_padding", "trim", "output_size", "positions"), (0, 2**31 - 1)),
    **dict.fromkeys(("length", "chunk", "batch"), (1, 2**31 - 1)),
    **dict.fromkeys(("timing_seconds", "time_limit"), (0, 1e300)),
}


@dataclasses.dataclass(frozen=True)
class Call:
    """A valid call: what is called, with which arguments, and whose signature says what they may be.

    `legal` holds predicates for parameters that their annotation and `RANGES` do not describe; `further` values that
    are tried beside the pool's, by parameter.
    """

    run: Callable
    arguments: dict
    of: Callable
    legal: dict = dataclasses.field(default_factory=dict)
    further: dict = dataclasses.field(default_factory=dict)


def tries(calls):
    """A label and a check for every value in the place of every argument."""
    for title, call in calls.items():
        for name in call.arguments:
            for shown, make in {**POOL, **call.further.get(name, {})}.items():
                yield f"{title}, {name}={shown}", functools.partial(undocumented, call, name, make)


def equals(calls):
    """A label and a check for every int in NumPy's types and every path as a `pathlib.Path`: they must be accepted."""
    for title, call in calls.items():
        for name, value in call.arguments.items():
            if isinstance(value, int) and not isinstance(value, bool):
                alike = [np.int64(value), np.int32(value)]
            else:
                alike = [pathlib.Path(value)] if name == "path" else []
            for other in alike:
                yield f"{title}, {name}={other!r}", functools.partial(refused, call, name, other)


def refused(call, name, value):
    """The error of a call with a legal value in the place of an argument: an empty text where there is none."""
    try:
        call.run(**{**call.arguments, name: value})
    except Reached:
        pass
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def undocumented(call, name, make):
    """What is wrong with the answer to a value in the place of an argument: an empty text where nothing is."""
    value = make()
    try:
        call.run(**{**call.arguments, name: value})
    except DOCUMENTED as error:
        return "" if says(str(error), value) else f"says neither rule nor value: {type(error).__name__}: {error}"
    except Reached:
        pass
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "" if legal(call, name, value) else "accepted"


def says(message, value):
    """Whether a message tells what was received; what a function of the user's raises is its own."""
    if callable(value):
        return True
    given = (repr(value)[:60], f"'{type(value).__name__}'", f"not {type(value).__name__}")
    return bool(re.search(PHRASES, message)) or any(len(one) > 3 and one in message for one in given)


def legal(call, name, value):
    """Whether a call may accept a value for a parameter."""
    if name in call.legal:
        return call.legal[name](value)
    least, most = RANGES.get(name, (-math.inf, math.inf))
    given = value if isinstance(value, (tuple, list)) else [value]
    numbers = [one for one in given if isinstance(one, (int, float, np.number))]
    annotation = typing.get_type_hints(call.of).get(name, typing.Any)
    return fits(value, annotation) and all(least <= one <= most for one in numbers)


def fits(value, annotation):
    """Whether a value is what an annotation names; of tensors and data the `legal` of the call says it."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, one) for one in inner)
    if origin is typing.Literal:
        return isinstance(value, str) and value in inner
    if annotation is int:
        number = np.asarray(value) if isinstance(value, (np.ndarray, tf.Tensor)) else value
        integral = isinstance(number, (int, np.integer)) or getattr(number, "dtype", float) in (np.int32, np.int64)
        return integral and not isinstance(number, (bool, np.bool_)) and not np.ndim(number)
    if annotation is float:
        return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if annotation is type(None):
        return value is None
    if origin is tuple:
        sizes = inner[:1] * len(value) if isinstance(value, (tuple, list)) and inner[-1] is ... else inner
        return isinstance(value, (tuple, list)) and len(value) == len(sizes) and all(map(fits, value, sizes))
    if origin is collections.abc.Sequence:
        return isinstance(value, (tuple, list)) and all(fits(one, inner[0]) for one in value)
    if origin is collections.abc.Mapping:
        pairs = value.items() if isinstance(value, dict) else ()
        return isinstance(value, dict) and all(all(map(fits, pair, inner)) for pair in pairs)
    if origin is collections.abc.Callable:
        return callable(value)
    if origin is os.PathLike:
        return isinstance(value, os.PathLike)
    return isinstance(value, annotation) if isinstance(annotation, type) else False
