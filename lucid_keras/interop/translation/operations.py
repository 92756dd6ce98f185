"""The table of translations: a short function for each operation of PyTorch.

Each takes the site of the call and the operation's arguments, tensors as `Value` or `Constant`, and gives a `Value`.
"""

import functools
import operator

import keras

from lucid_keras.interop.translation import arithmetic, attention, axes, recurrence, signals, weighted

ops, layers = keras.ops, keras.layers

ALIKE = (  # in Keras by the same name, on every number
    *("abs", "cos", "erf", "exp", "log", "log10", "reciprocal", "relu", "relu6", "rsqrt", "sigmoid", "silu", "sin"),
    *("softplus", "sqrt", "square", "tanh"),
)

TABLE = {
    **{name: arithmetic.each(getattr(ops, name)) for name in ALIKE},
    "neg": arithmetic.each(ops.negative),
    "mish": arithmetic.each(lambda x: x * ops.tanh(ops.softplus(x))),
    "gelu": arithmetic.gelu,
    "elu": arithmetic.elu,
    "leaky_relu": lambda site, x, slope=0.01: x.of(layers.LeakyReLU(negative_slope=slope)(x.tensor)),
    "prelu": weighted.prelu,
    "_prelu_kernel": weighted.prelu,
    "snake": weighted.snake,
    "clamp": arithmetic.clamp,
    "clip": arithmetic.clamp,
    "clamp_min": arithmetic.clamp,
    "hardtanh": lambda site, x, low=-1.0, high=1.0: arithmetic.clamp(site, x, low, high),
    "pow": arithmetic.power,
    "add": arithmetic.binary("add", layers.Add),
    "sub": arithmetic.binary("subtract", layers.Subtract),
    "rsub": lambda site, one, other, alpha=1: arithmetic.binary("subtract")(site, other, one, alpha=alpha),
    "mul": arithmetic.binary("multiply", layers.Multiply),
    "div": arithmetic.binary("divide"),
    "maximum": arithmetic.binary("maximum"),
    "minimum": arithmetic.binary("minimum"),
    "mean": arithmetic.reduced(ops.mean),
    "sum": arithmetic.reduced(ops.sum),
    "softmax": arithmetic.softmax,
    "matmul": arithmetic.matmul,
    "bmm": arithmetic.matmul,
    **dict.fromkeys(("to", "_to_copy", "type_as"), arithmetic.cast),
    **dict.fromkeys(("alias", "clone", "contiguous", "detach", "detach_", "lift_fresh_copy"), arithmetic.same),
    **dict.fromkeys(("dropout", "feature_dropout"), arithmetic.dropout),
    "linear": weighted.linear,
    "embedding": weighted.embedding,
    "layer_norm": weighted.layer_norm,
    "rms_norm": weighted.rms_norm,
    "group_norm": weighted.group_norm,
    "instance_norm": weighted.instance_norm,
    "batch_norm": weighted.batch_norm,
    "_native_batch_norm_legit_no_training": weighted.batch_norm_of_three,
    "conv1d": signals.conv1d,
    "conv_transpose1d": signals.conv_transpose1d,
    "pad": signals.pad,
    "upsample_nearest1d": signals.nearest,
    "upsample_linear1d": signals.linear,
    "polar": signals.polar,
    "complex": signals.complex_,
    "istft": signals.istft,
    "lstm": functools.partial(recurrence.recurrent, layers.LSTM),
    "gru": functools.partial(recurrence.recurrent, layers.GRU),
    "scaled_dot_product_attention": attention.attention,
    "permute": axes.permute,
    **dict.fromkeys(("transpose", "swapaxes"), axes.transpose),
    **dict.fromkeys(("mT", "t"), axes.turned_matrix),
    **dict.fromkeys(("reshape", "view", "_unsafe_view", "flatten", "unflatten"), axes.reshape),
    "unsqueeze": axes.unsqueeze,
    "squeeze": axes.squeeze,
    "expand": axes.expand,
    "slice": axes.slice_,
    "slice_scatter": axes.slice_scatter,
    "narrow": axes.narrow,
    "select": axes.select,
    "unbind": axes.unbind,
    **dict.fromkeys(("split", "split_with_sizes"), axes.split),
    "chunk": axes.chunk,
    "glu": axes.glu,
    "getitem": axes.getitem,
    "flip": axes.flip,
    **dict.fromkeys(("cat", "concatenate"), axes.concatenate),
    "stack": axes.stack,
}


def name_of(target) -> str:
    """An operation's name in the table."""
    return "getitem" if target is operator.getitem else getattr(target, "_opname", str(target))
