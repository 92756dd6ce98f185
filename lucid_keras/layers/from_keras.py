"""`from_keras`: a `keras.layers.Conv1DTranspose` as a layer of ours that computes the same numbers."""

import keras

from lucid_keras.layers.conv_transpose1d import ConvTranspose1d
from lucid_keras.layers.kernel_functions import KernelConstraint, KernelInitializer, KernelRegularizer, to_weight

DEFAULT = keras.initializers.GlorotUniform()  # what Keras takes where a layer's initializer is None


def from_keras(layer: keras.layers.Conv1DTranspose) -> keras.layers.Layer:
    """A `ConvTranspose1d` that computes what a `keras.layers.Conv1DTranspose` computes.

    Weights are copied; name, dtype policy, layout, trainability, initializers, regularizers and constraints are kept.
    PyTorch cuts `padding` positions from both ends and puts `output_padding` back at the end. Keras's `"same"` cuts the
    odd position, if there is one, from the end: then the kernel gets one more tap before its first, which is zero, and
    which a constraint keeps at zero in training. So every legal combination has its equal.

    Args:
        layer: a built `keras.layers.Conv1DTranspose`, and no subclass of it.

    Returns:
        A `ConvTranspose1d`; where the layer has an activation, which PyTorch's layers have not, a `keras.Sequential` of
        one and a `keras.layers.Activation`.

    Raises:
        TypeError: `layer` is no `keras.layers.Conv1DTranspose`.
        ValueError: it is not built, so that its input channels are unknown.

    Example:

    >>> import numpy as np
    >>> theirs = keras.layers.Conv1DTranspose(2, 4, strides=2, padding="same")
    >>> x = np.ones((1, 5, 3), "float32")
    >>> y, ours = theirs(x), from_keras(theirs)
    >>> ours
    ConvTranspose1d(3, 2, kernel_size=4, stride=2, padding=1, data_format='channels_last')
    >>> np.testing.assert_allclose(ours(x), y, atol=1e-6)
    """
    if type(layer) is not keras.layers.Conv1DTranspose:
        raise TypeError(f"layer must be a keras.layers.Conv1DTranspose. Received: layer of type {type(layer).__name__}")
    if not layer.built:
        raise ValueError(
            "layer must be built, or its input channels are unknown: call it or its model first. "
            f"Received: the unbuilt layer {layer.name!r}"
        )
    added, padding, output_padding = _cut(layer)
    active = layer.activation is not keras.activations.linear
    of_output = {"activity_regularizer": layer.activity_regularizer, "dtype": layer.dtype_policy}
    constrained = added or layer.kernel_constraint is not None
    ours = ConvTranspose1d(
        layer.kernel.shape[2],
        layer.filters,
        layer.kernel_size[0] + added,
        layer.strides,
        padding,
        output_padding,
        bias=layer.use_bias,
        dilation=layer.dilation_rate,
        data_format=layer.data_format,
        weight_initializer=KernelInitializer(layer.kernel_initializer or DEFAULT, added),
        bias_initializer=layer.bias_initializer or DEFAULT,
        weight_regularizer=layer.kernel_regularizer and KernelRegularizer(layer.kernel_regularizer, added),
        bias_regularizer=layer.bias_regularizer,
        weight_constraint=KernelConstraint(layer.kernel_constraint, added) if constrained else None,
        bias_constraint=layer.bias_constraint,
        name=layer.name,
        trainable=layer.trainable,
        **({"dtype": layer.dtype_policy} if active else of_output),
    )
    ours.weight.assign(to_weight(layer.kernel, added))
    if ours.bias is not None:
        ours.bias.assign(layer.bias)
    if not active:
        return ours
    return keras.Sequential([ours, keras.layers.Activation(layer.activation, **of_output)], name=layer.name)


def _cut(layer):
    """The taps to add before the first, `padding` and `output_padding`, so that as much is cut as Keras cuts."""
    (dilation,) = layer.dilation_rate
    extent = dilation * (layer.kernel_size[0] - 1) + 1  # the whole output of one position
    one = [1, 1, 1]
    one[2 if layer.data_format == "channels_last" else 1] = layer.kernel.shape[2]
    shape = layer.compute_output_shape(one)
    length = shape[1 if layer.data_format == "channels_last" else 2]
    if length >= extent:
        return 0, 0, length - extent
    left, odd = divmod(extent - length, 2)
    return (1, left + dilation, dilation - 1) if odd else (0, left, 0)
