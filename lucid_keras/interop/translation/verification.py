"""Whether a Keras model gives what the PyTorch module gives, and if not, the first layer that does not."""

import copy

import keras
import numpy as np
import torch

TOLERANCE = 1e-5  # of the largest number, in float32
ROUNDING = 4  # times what PyTorch loses in float32: sums in another order lose more or less


class DiffersError(ValueError):
    """A Keras model that does not compute what its PyTorch module does."""


def verified(module, inputs, given) -> float:
    """The largest difference over the largest number expected; raises `DiffersError` where it is no rounding."""
    expected = _run(module, inputs)
    if [one.shape for one in given] != [one.shape for one in expected]:
        raise DiffersError(f"shapes {[one.shape for one in given]} where PyTorch has {[one.shape for one in expected]}")
    error = _largest(given, expected)
    if not error <= TOLERANCE:
        exact = _run(copy.deepcopy(module).double(), [_doubled(one) for one in inputs])
        bound = max(TOLERANCE, ROUNDING * _largest(expected, exact))
        if not error <= bound:
            raise DiffersError(f"relative error {error:.1e}, of which {bound:.1e} may be rounding")
    return error


def _largest(given, expected):
    """The largest difference of several; NaN where one is, which `max` may pass over."""
    return float(np.max([*map(difference, given, expected)]))


def _doubled(tensor):
    return tensor.double() if tensor.is_floating_point() else tensor


def difference(one, expected) -> float:
    """The largest difference over the largest number."""
    scale = np.abs(expected).max(initial=0)
    return float(np.abs(one - expected).max(initial=0) / (scale or 1))


def first_different(translation, given, inputs) -> str:
    """The first operation whose numbers differ, and the module that it is in."""
    there = _Recorded(translation.trace.graph)
    with torch.no_grad():
        there.run(*inputs)
    shown = [(call, translation.values[call]) for call in translation.calls]
    shown = [(call, value) for call, value in shown if hasattr(value, "tensor")]
    here = keras.Model(translation.inputs, [value.tensor for _, value in shown])
    numbers = here(given if isinstance(given, list) else [given], training=False)
    for (call, value), y in zip(shown, keras.tree.flatten(numbers), strict=True):
        y, expected = np.asarray(y).transpose(np.argsort(value.axes)), there.numbers[call.name].numpy()
        if y.shape != expected.shape or not difference(y, expected) <= 10 * TOLERANCE:
            return f"{call.path or 'the module itself'} ({call.name})"
    return "none at the length of the example"


class _Recorded(torch.fx.Interpreter):
    def __init__(self, graph):
        super().__init__(graph)
        self.numbers = {}

    def run_node(self, n):
        y = super().run_node(n)
        self.numbers[n.name] = y.clone() if isinstance(y, torch.Tensor) else y
        return y


def _run(module, inputs):
    with torch.no_grad():
        outputs = module(*inputs)
    leaves = torch.utils._pytree.tree_leaves(outputs)
    return [one.double().numpy() for one in leaves if isinstance(one, torch.Tensor)]
