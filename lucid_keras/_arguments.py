"""What an argument may be: each rule once, and every refusal in the same words. Standard library only."""

import math
import numbers
import operator

MAX_LENGTH = 2**31 - 1  # TensorFlow, XLA and LiteRT hold shapes and strides in int32


def integer(name, value):
    """An int from what stands for one, NumPy's and a scalar tensor of integers too; neither a bool nor a float does."""
    try:
        if isinstance(value, bool) or "bool" in str(getattr(value, "dtype", "")):  # some versions index with theirs
            raise TypeError
        return operator.index(value)
    except (TypeError, AttributeError, NotImplementedError):  # of scalar tensors: of another dtype, or not yet known
        raise TypeError(f"{name} must be an int. Received: {name}={value!r}") from None


def checked_count(name, value, unit="", least=0):
    """`value` as an int of at least so many, and no more than a shape can hold."""
    count = integer(name, value)
    if count < least:
        raise ValueError(f"{name} must be at least {f'{least} {unit}'.rstrip()}. Received: {name}={count}")
    if count > MAX_LENGTH:
        raise ValueError(f"{name} must be at most {MAX_LENGTH} (int32). Received: {name}={count}")
    return count


def single_integer(name, value):
    """An int from one, or from a 1-tuple of one, as PyTorch takes them."""
    if isinstance(value, (tuple, list)) and len(value) == 1:
        value = value[0]
    if isinstance(value, (tuple, list)):
        raise ValueError(f"{name} must be an int or a tuple of one int. Received: {name}={value!r}")
    try:
        return integer(name, value)
    except TypeError:
        raise TypeError(f"{name} must be an int or a tuple of one int. Received: {name}={value!r}") from None


def check_shape(name, value):
    """A tuple of ints and None from a shape."""
    if not isinstance(value, (tuple, list)):
        raise TypeError(f"{name} must be a shape, ints and None. Received: {name}={value!r}")
    return tuple(None if extent is None else integer(f"an extent of {name}", extent) for extent in value)


def number(name, value, least=None):
    """A float from a real number; with `least`, a finite one from there on."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number. Received: {name}={value!r}")
    if math.isnan(value):
        raise ValueError(f"{name} must be a number. Received: {name}={value!r}")
    if least is not None and not least <= value < math.inf:
        raise ValueError(f"{name} must be finite and at least {least}. Received: {name}={value!r}")
    return float(value)


def check_flag(name, value):
    """Raise unless `value` is True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False. Received: {name}={value!r}")


def check_choice(name, value, choices):
    """Raise unless `value` is one of the strings in `choices`."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}. Received: {name}={value!r}")


def check_text(name, value):
    """Raise unless `value` is a string or None."""
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{name} must be a string or None. Received: {name}={value!r}")
