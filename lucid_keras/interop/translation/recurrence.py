"""Translations of LSTM and GRU: each of PyTorch's layers is one of Keras."""

import keras

from lucid_keras.interop.translation.building import fixed
from lucid_keras.interop.translation.trace import Constant
from lucid_keras.interop.translation.values import Refused, Value


def recurrent(kind, site, x, states, weights, has_biases, count, dropout, train, both, batch_first):
    """What `lstm` and `gru` give, the states at the end left out."""
    states = states if isinstance(states, (list, tuple)) else [states]
    if any(not isinstance(state, Constant) or state.number != 0 for state in states):
        raise Refused("it begins in a state that is not zero")
    axes = (0, 1, 2) if batch_first else (1, 0, 2)
    y, each, directions = x.laid_out(axes), 4 if has_biases else 2, ("", "_reverse") if both else ("",)
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")[:each]
    if len(weights) != each * len(directions) * count:
        raise Refused("it projects its state")
    for index in range(count):
        of_layer = weights[each * len(directions) * index :][: each * len(directions)]
        entries = dict(zip([f"{name}_l0{way}" for way in directions for name in names], of_layer, strict=True))
        units = fixed(of_layer[1]).array.shape[1]
        options = {"units": units, "return_sequences": True, "use_bias": has_biases}
        suffix = f"_l{index}" if count > 1 else ""
        if both:
            y = site.weighted(keras.layers.Bidirectional, entries, y, suffix=suffix, layer=kind(**options))
        else:
            y = site.weighted(kind, entries, y, suffix=suffix, **options)
    return [Value(y, axes), None, None]
