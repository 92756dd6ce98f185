"""`load_state_dict` and `to_state_dict`: a PyTorch state dict into a Keras layer's or model's variables, and back."""

import dataclasses
import os
import re
from collections.abc import Callable, Mapping

import keras
import numpy as np
import numpy.typing as npt

from lucid_keras._arguments import check_flag, check_text
from lucid_keras.interop.layouts import slots_of
from lucid_keras.interop.misfit import misfit_message
from lucid_keras.interop.naming import joined, named_layers
from lucid_keras.interop.state_dict import arrays_by_name, read_state_dict
from lucid_keras.interop.weight_norm import fold_weight_norm

# A layer of several of a recurrence, as Keras has it, and an entry of a recurrence in PyTorch's first layer.
OF_SEVERAL = re.compile(r"(?P<name>.+)_l(?P<index>\d+)")
ENTRY_OF_SEVERAL = re.compile(r"(?P<kind>(weight|bias)_(ih|hh))_l0(?P<direction>(_reverse)?)")


@dataclasses.dataclass(frozen=True)
class LoadReport:
    """What `load_state_dict` did with each name.

    Attributes:
        loaded: tuple of the names that were loaded, in the target's order.
        missing: those of the target that the checkpoint lacks, sorted.
        unexpected: those of the checkpoint that the target has no place for, sorted.

    Example:

    >>> from lucid_keras import ConvTranspose1d
    >>> load_state_dict(ConvTranspose1d(1, 1, 2), {"bias": np.zeros(1, "float32"), "step": np.array(7)}, strict=False)
    LoadReport(loaded=('bias',), missing=('weight',), unexpected=('step',))
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]


def load_state_dict(
    target: keras.Layer,
    source: str | os.PathLike[str] | Mapping[str, npt.ArrayLike],
    *,
    rename: Mapping[str, str | None] | Callable[[str], str | None] | None = None,
    strict: bool = True,
) -> LoadReport:
    """Load a PyTorch or Lucid state dict into a Keras layer or model, each weight turned into Keras's layout.

    `ConvTranspose1d` takes its weights as they are; so does any layer of your own that holds PyTorch's shapes, under
    its variables' names. Keras's Conv1D, Conv2D, Conv3D, their transposes, DepthwiseConv1D and 2D, Dense, Embedding,
    LSTM, GRU, SimpleRNN, Bidirectional, LayerNormalization, BatchNormalization, GroupNormalization, RMSNormalization
    and PReLU are turned. Weight norm, in both spellings, is folded. Either all of it is loaded or, when this raises,
    nothing.

    Args:
        target: a built `keras.Layer` or `keras.Model`. A layer in a functional or sequential model is known by its
            name, which may contain dots; one in a subclassed layer by its attribute: `blocks.0.conv`.
        source: a path for `read_state_dict`, or a mapping of name to array or to torch tensor.
        rename: how the source's names become the target's: a function of a name that gives a name or None, which drops
            the entry; or a dict of regular expressions to their replacements or None, applied in its order, such as
            `{r"^module\\.": "", r"^discriminator\\.": None}`. Default None: they are the same. Each layer of a PyTorch
            LSTM of several, `lstm`, is one in Keras: `lstm_l0`, `lstm_l1`.
        strict: whether names on one side alone are an error. Default True. A wrong shape always is.

    Returns:
        A `LoadReport` of the names: `loaded`, `missing` and `unexpected`.

    Raises:
        ValueError: names or shapes do not fit; all of them are listed, each with the nearest candidate. Or the target
            is not built, or weights are normalised in a way that cannot be folded.
        TypeError: an array's kind of number is not its variable's; an argument of the wrong type.

    Example:

    >>> import numpy as np
    >>> from lucid_keras import ConvTranspose1d
    >>> up = ConvTranspose1d(1, 1, kernel_size=2, stride=2)
    >>> weight = np.array([[[1.0, 2.0]]], "float32")
    >>> state = {"generator.up.weight": weight, "generator.up.bias": np.zeros(1, "float32")}
    >>> load_state_dict(up, state, rename={r"^generator\\.up\\.": ""}).loaded
    ('weight', 'bias')
    """
    check_flag("strict", strict)
    state = arrays_by_name(source) if isinstance(source, Mapping) else read_state_dict(source)
    state = fold_weight_norm(_renamed(state, rename))
    slots = _named_slots(target)
    expected = {name: shape for slot in slots for name, shape in slot.shapes.items()}
    found = {name: array.shape for name, array in state.items()}
    missing = sorted(expected.keys() - found.keys())
    unexpected = sorted(found.keys() - expected.keys() - _batches_tracked(target).keys())
    one_sided = (missing, unexpected) if strict else ([], [])
    wrong = sorted(name for name in expected.keys() & found.keys() if found[name] != expected[name])
    if wrong or any(one_sided):
        raise ValueError(misfit_message(expected, found, *one_sided, wrong))
    whole = [slot for slot in slots if slot.shapes.keys() <= state.keys()]
    for slot in whole:
        _check_numbers(slot, state)
    values = [slot.from_torch(*(state[name] for name in slot.shapes)) for slot in whole]
    for slot, value in zip(whole, values, strict=True):
        slot.variable.assign(value)
    return LoadReport(tuple(name for slot in whole for name in slot.shapes), tuple(missing), tuple(unexpected))


def to_state_dict(target: keras.Layer) -> dict[str, np.ndarray]:
    """The variables of a Keras layer or model as a state dict that PyTorch loads: names, shapes and layouts.

    Args:
        target: a built `keras.Layer` or `keras.Model`, named as for `load_state_dict`.

    Returns:
        A dict of name to NumPy array, in the target's order. An LSTM's one bias becomes `bias_ih_l0`, beside a
        `bias_hh_l0` of zeros. bfloat16 becomes float32.

    Raises:
        ValueError: the target is not built, or holds no variables.

    Example:

    >>> from lucid_keras import ConvTranspose1d
    >>> {name: array.shape for name, array in to_state_dict(ConvTranspose1d(4, 2, kernel_size=3)).items()}
    {'weight': (4, 2, 3), 'bias': (2,)}
    """
    state: dict[str, np.ndarray] = {}
    for slot in _named_slots(target):
        arrays = slot.to_torch(_value(slot.variable))
        state |= {name: np.array(array, order="C") for name, array in zip(slot.shapes, arrays, strict=True)}
    return state | _batches_tracked(target)


def _value(variable):
    value = variable.value.numpy()
    return value if value.dtype.kind in "fiub" else value.astype(np.float32)


def _named_slots(target):
    if not isinstance(target, keras.Layer):
        raise TypeError(f"target must be a keras.Layer or keras.Model. Received: {type(target).__name__}")
    slots = [
        dataclasses.replace(slot, shapes={_entry(name, entry): shape for entry, shape in slot.shapes.items()})
        for name, layer in named_layers(target)
        for slot in slots_of(layer)
    ]
    if not slots:
        raise ValueError(f"target must be built and have variables. Received: {target.name!r}, which has none")
    names = [name for slot in slots for name in slot.shapes]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"each variable of the target must have a name of its own. Received: {', '.join(twice)} twice")
    return slots


def _entry(name, entry):
    """An entry's name in a state dict: the second of an LSTM's layers, `lstm_l1` in Keras, has `lstm.weight_ih_l1`."""
    layer, entry_of_layer = OF_SEVERAL.fullmatch(name), ENTRY_OF_SEVERAL.fullmatch(entry)
    if layer and entry_of_layer:
        return f"{layer['name']}.{entry_of_layer['kind']}_l{layer['index']}{entry_of_layer['direction']}"
    return joined(name, entry)


def _batches_tracked(target):
    """What PyTorch's batch normalization counts beside its statistics and Keras has no place for."""
    return {
        joined(name, "num_batches_tracked"): np.zeros((), np.int64)
        for name, layer in named_layers(target)
        if isinstance(layer, keras.layers.BatchNormalization)
    }


def _check_numbers(slot, state):
    kinds = "f" if keras.backend.is_float_dtype(slot.variable.dtype) else "iub"
    for name in slot.shapes:
        if state[name].dtype.kind not in kinds:
            raise TypeError(
                f"an array's kind of number must be its variable's. Received: {name} of dtype {state[name].dtype} "
                f"for a variable of dtype {slot.variable.dtype}"
            )


def _renamed(state, rename):
    if rename is None:
        return state
    if not callable(rename) and not isinstance(rename, Mapping):
        raise TypeError(f"rename must be a function, a dict of regular expressions or None. Received: {rename!r}")
    renamed = {}
    for name, array in state.items():
        new = rename(name) if callable(rename) else _by_expressions(rename, name)
        check_text(f"the new name of {name!r}", new)
        if new in renamed:
            raise ValueError(f"rename must give different names. Received: {new!r} for {name!r} and for another")
        if new is not None:
            renamed[new] = array
    return renamed


def _by_expressions(expressions, name):
    """The name after all regular expressions in order; None where one matches whose replacement is None."""
    for pattern, replacement in expressions.items():
        try:
            if replacement is not None:
                name = re.sub(pattern, replacement, name)
            elif re.search(pattern, name):
                return None
        except (TypeError, ValueError, IndexError, re.error) as error:
            raise ValueError(
                "rename must lead from regular expressions to their replacements or None. "
                f"Received: {pattern!r}: {replacement!r} ({error})"
            ) from None
    return name
