"""`Snake`: the periodic activation of neural vocoders and codecs."""

import math

import keras
from keras import ops

from lucid_keras._arguments import check_flag, check_shape, number


@keras.saving.register_keras_serializable(package="lucid_keras")
class Snake(keras.layers.Layer):
    """`x + sin(alpha*x)**2 / beta` for each channel, as in BigVGAN, DAC, Oobleck and SNAC.

    Its weights `alpha` and `beta` have the names of those codecs' checkpoints. In a `StreamingModel` it sees one
    position.

    Args:
        separate_beta: bool, whether `beta` is a weight of its own, BigVGAN's SnakeBeta. Default False: `beta` is
            `alpha`.
        logarithmic: bool, whether the weights hold logarithms of `alpha` and `beta`, as BigVGAN's and Oobleck's do.
            Default False.
        weight_shape: shape of either weight, with as many elements as there are channels. Default `(channels,)`; DAC
            and SNAC store `(1, channels, 1)`.
        epsilon: float, added to `beta`. Default 1e-9.
        dtype, name: as in Keras layers.

    Input shape:
        `[batch, ..., channels]`.

    Output shape:
        The input's.

    Raises:
        ValueError: `weight_shape` does not hold the channels.
        TypeError: an argument of the wrong type.

    Example:

    >>> import numpy as np
    >>> snake = Snake()
    >>> y = snake(np.full((1, 2, 1), np.pi / 2, "float32"))
    >>> round(float(y[0, 0, 0]), 3)
    2.571

    Source: L. Ziyin et al., "Neural Networks Fail to Learn Periodic Functions and How to Fix It", arXiv:2006.08195,
    eq. 3; S. Lee et al., "BigVGAN", arXiv:2206.04658, section 3.2.
    """

    def __init__(
        self,
        separate_beta: bool = False,
        logarithmic: bool = False,
        weight_shape: tuple[int, ...] | None = None,
        epsilon: float = 1e-9,
        dtype: str | keras.DTypePolicy | None = None,
        name: str | None = None,
        **kwargs,
    ):
        super().__init__(dtype=dtype, name=name, **kwargs)
        check_flag("separate_beta", separate_beta)
        check_flag("logarithmic", logarithmic)
        self.separate_beta, self.logarithmic = separate_beta, logarithmic
        self.epsilon = number("epsilon", epsilon, least=0)
        self.weight_shape = None if weight_shape is None else check_shape("weight_shape", weight_shape)

    def build(self, input_shape):
        if not input_shape or input_shape[-1] is None:
            raise TypeError(f"x must be a tensor [batch, ..., channels]. Received: x of shape {input_shape}")
        shape = (input_shape[-1],) if self.weight_shape is None else self.weight_shape
        if None in shape or math.prod(shape) != input_shape[-1]:
            raise ValueError(
                f"weight_shape must hold as many elements as there are channels. Received: weight_shape={shape} for "
                f"{input_shape[-1]} channels"
            )
        start = "zeros" if self.logarithmic else "ones"
        self.alpha = self.add_weight(name="alpha", shape=shape, initializer=start)
        self.beta = self.add_weight(name="beta", shape=shape, initializer=start) if self.separate_beta else self.alpha

    def call(self, x):
        alpha, beta = (self._factors(weight) for weight in (self.alpha, self.beta))
        return x + ops.square(ops.sin(alpha * x)) * (1 / (beta + self.epsilon))

    def _factors(self, weight):
        factors = ops.reshape(ops.cast(weight, self.compute_dtype), [-1])
        return ops.exp(factors) if self.logarithmic else factors

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "separate_beta": self.separate_beta,
            "logarithmic": self.logarithmic,
            "weight_shape": self.weight_shape,
            "epsilon": self.epsilon,
        }
