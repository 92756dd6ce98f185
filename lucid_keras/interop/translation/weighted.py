"""Translations of layers that have weights and see one position, and of norms."""

import keras
import torch

from lucid_keras.interop.translation.building import fixed
from lucid_keras.interop.translation.values import Refused, Value
from lucid_keras.layers.snake import Snake

ops, layers = keras.ops, keras.layers


def linear(site, x, weight, bias=None):
    y, axes = x.ending_with(-1)
    return Value(site.weighted(layers.Dense, {"weight": weight, "bias": bias}, y,
                               units=fixed(weight).array.shape[0], use_bias=bias is not None), axes)  # fmt: skip


def embedding(site, weight, codes, *_, **__):
    entries, size = fixed(weight).array.shape
    y = site.weighted(layers.Embedding, {"weight": weight}, codes.tensor, input_dim=entries, output_dim=size)
    return Value(y, (*codes.axes, codes.rank))


def layer_norm(site, x, shape, weight=None, bias=None, eps=1e-5, *_):
    if len(shape) != 1:
        raise Refused(f"it normalizes over {len(shape)} axes")
    y, axes = x.ending_with(-1)
    entries = {"weight": weight, "bias": bias}
    return Value(site.weighted(layers.LayerNormalization, entries, y, epsilon=eps,
                               scale=weight is not None, center=bias is not None), axes)  # fmt: skip


def rms_norm(site, x, shape, weight=None, eps=None):
    if len(shape) != 1 or weight is None:
        raise Refused("it normalizes over several axes, or has no weight")
    y, axes = x.ending_with(-1)
    eps = torch.finfo(torch.float32).eps if eps is None else eps
    return Value(site.weighted(layers.RMSNormalization, {"weight": weight}, y, epsilon=eps), axes)


def group_norm(site, x, groups, weight=None, bias=None, eps=1e-5, *_):
    y, axes = x.ending_with(1)
    return Value(site.weighted(layers.GroupNormalization, {"weight": weight, "bias": bias}, y, groups=groups,
                               epsilon=eps, scale=weight is not None, center=bias is not None), axes)  # fmt: skip


def instance_norm(site, x, weight, bias, mean, variance, by_input, momentum, eps, *_):
    if not by_input:
        raise Refused("it normalizes by running statistics")
    return group_norm(site, x, site.shape_of()[1], weight, bias, eps)


def batch_norm(site, x, weight, bias, mean, variance, training, momentum, eps, *_):
    if training or mean is None:
        raise Refused("it normalizes by the batch; call module.eval() first")
    y, axes = x.ending_with(1)
    entries = {"weight": weight, "bias": bias, "running_mean": mean, "running_var": variance}
    return Value(site.weighted(layers.BatchNormalization, entries, y, epsilon=eps, momentum=1 - (momentum or 0.1),
                               scale=weight is not None, center=bias is not None), axes)  # fmt: skip


def batch_norm_of_three(site, x, weight, bias, mean, variance, momentum, eps):
    """Which gives the batch's statistics too, none here."""
    return [batch_norm(site, x, weight, bias, mean, variance, False, momentum, eps), None, None]


def prelu(site, x, weight):
    y, axes = x.ending_with(1)
    is_one = fixed(weight).array.numel() == 1
    shared = list(range(1, x.rank if is_one else x.rank - 1))
    return Value(site.weighted(layers.PReLU, {"weight": weight}, y, shared_axes=shared), axes)


def snake(site, x, *, weights, logarithmic, shape):
    full = (1,) * (x.rank - len(shape)) + shape
    y, axes = x.ending_with(next((dim for dim, size in enumerate(full) if size > 1), 1))
    held = tuple(weights["alpha"].array.shape)
    options = {"separate_beta": "beta" in weights, "logarithmic": logarithmic, "weight_shape": held}
    return Value(site.weighted(Snake, weights, y, **options), axes)
