"""`ConvTranspose1d`: PyTorch's transposed convolution as a Keras layer."""

import dataclasses
import math
import warnings
from typing import Literal

import keras
import tensorflow as tf

from lucid_keras import ops
from lucid_keras._arguments import check_choice, check_flag
from lucid_keras._geometry import ConvTranspose1dGeometry
from lucid_keras._lowering.choice import LOWERINGS, Lowering
from lucid_keras.layers.device import existing_device, on_device
from lucid_keras.layers.kernel import Kernel

QUANTIZE_FILES = 'quantize the file instead, with lucid_keras.export.to_tflite(model, path, quantization="int8")'


@keras.saving.register_keras_serializable(package="lucid_keras")
class ConvTranspose1d(keras.layers.Layer):
    """1-D transposed convolution with the complete semantics of `torch.nn.ConvTranspose1d` and Lucid's.

    `y[n, o, t] = bias[o] + sum x[n, i, l] * weight[i, o, k]` over the `l, k` with
    `l*stride + k*dilation - padding == t` and the `i` of `o`'s group. Weight and bias exist from construction on.

    Args:
        in_channels: int, channels of the input.
        out_channels: int, channels of the output.
        kernel_size: int or 1-tuple, taps of the kernel.
        stride: int or 1-tuple, output positions per input position. Default 1.
        padding: int or 1-tuple, output positions cut from both ends. Default 0.
        output_padding: int or 1-tuple, positions added at the end,
            `0 <= output_padding < max(stride, dilation)`. Default 0.
        groups: int, divides both channel counts; each group sees its own channels alone. Default 1.
        bias: bool, whether there is a bias. Default True.
        dilation: int or 1-tuple, output positions between taps. Default 1.
        device: where the variables live: `"cpu"`, `"gpu:0"`, `"/GPU:0"`, or None (default) for TensorFlow's choice.
        dtype: what `keras.layers.Layer` takes: a dtype, its name, or a `keras.DTypePolicy`.
        data_format: `"channels_first"` (default), `[batch, channels, length]`, or `"channels_last"`.
        lowering: `"auto"` (default), `"conv2d_transpose"`, `"fast_fir"`, `"overlap_add"` or `"polyphase"`; all give the
            same result, `"fast_fir"` with a rounding of its own.
        jit_compile: whether the layer's own call is compiled by XLA: True, False, or `"auto"` (default): an eager call
            is, where TensorFlow sees a GPU or a TPU. See the note below.
        weight_initializer, bias_initializer: Keras initializers, or None (default) for PyTorch's Kaiming uniform
            with `a = sqrt(5)`: uniform in `+-1/sqrt(out_channels // groups * kernel_size)` for both.
        weight_regularizer, bias_regularizer, weight_constraint, bias_constraint: as in Keras layers. Default None.
        name: the layer's name.

    Attributes:
        weight: `keras.Variable` of shape `[in_channels, out_channels // groups, kernel_size]`.
        bias: `keras.Variable` of shape `[out_channels]`, or None.
        kernel: the weight as `[in_channels, kernel_size, out_channels // groups]`, for
            `keras.layers.SpectralNormalization`, which so divides by the same norm as PyTorch's `spectral_norm`.

    Input shape:
        `[batch, in_channels, length]` or unbatched `[in_channels, length]`; with `data_format="channels_last"`
        `[batch, length, in_channels]` or `[length, in_channels]`. The batch may be empty.

    Output shape:
        As the input, with `out_channels` channels and `(length - 1)*stride - 2*padding
        + dilation*(kernel_size - 1) + output_padding + 1` positions.

    Raises:
        ValueError: a value breaks a rule; the message states the rule and what was received.
        TypeError: an argument of the wrong type.

    Examples:

    Twice as many samples:

    >>> import numpy as np
    >>> upsample = ConvTranspose1d(in_channels=16, out_channels=16, kernel_size=4, stride=2, padding=1)
    >>> y = upsample(np.zeros((2, 16, 32), "float32"))
    >>> tuple(y.shape)
    (2, 16, 64)

    A decoder layer that keeps the length:

    >>> decoder = ConvTranspose1d(64, 32, kernel_size=3, stride=1, padding=1)
    >>> y = decoder(np.zeros((4, 64, 20), "float32"))
    >>> tuple(y.shape)
    (4, 32, 20)
    >>> decoder
    ConvTranspose1d(64, 32, kernel_size=3, stride=1, padding=1)

    Note on `jit_compile`: XLA compiles anew for every input length, which takes as long as ten to fifty calls, and in
    a graph gains little on the CPU (`tests/benchmarks/NOTES.md` has the measurement). So `"auto"` compiles nothing
    where TensorFlow has CPUs alone; there it is yours to ask for, where lengths are fixed. Inside a model compiled with
    `jit_compile=True`, which on an accelerator is Keras's own choice, the layer is compiled either way; in a graph that
    is not compiled `"auto"` leaves it so. Where XLA cannot compile, the call raises; it never runs uncompiled instead.

    Source: V. Dumoulin and F. Visin, "A guide to convolution arithmetic for deep learning", arXiv:1603.07285.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int],
        stride: int | tuple[int] = 1,
        padding: int | tuple[int] = 0,
        output_padding: int | tuple[int] = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: int | tuple[int] = 1,
        device: str | None = None,
        dtype: str | keras.DTypePolicy | None = None,
        *,
        data_format: ops.DataFormat = "channels_first",
        lowering: Lowering = "auto",
        jit_compile: bool | Literal["auto"] = "auto",
        weight_initializer: str | keras.Initializer | None = None,
        bias_initializer: str | keras.Initializer | None = None,
        weight_regularizer: str | keras.Regularizer | None = None,
        bias_regularizer: str | keras.Regularizer | None = None,
        weight_constraint: str | keras.constraints.Constraint | None = None,
        bias_constraint: str | keras.constraints.Constraint | None = None,
        name: str | None = None,
        **kwargs,
    ):
        sizes = (kernel_size, stride, padding, output_padding, groups, dilation)
        geometry = ConvTranspose1dGeometry(in_channels, out_channels, *sizes)  # type: ignore[arg-type]  # 1-tuples too
        check_choice("data_format", data_format, ops.DATA_FORMATS)
        check_choice("lowering", lowering, LOWERINGS)
        check_flag("bias", bias)
        if jit_compile != "auto" and not isinstance(jit_compile, bool):
            raise TypeError(f"jit_compile must be True, False or 'auto'. Received: jit_compile={jit_compile!r}")
        device = existing_device(device)
        super().__init__(dtype=dtype, name=name, **kwargs)
        if not tf.as_dtype(self.compute_dtype).is_floating:
            raise TypeError(f"dtype must be floating point. Received: dtype={dtype!r}")
        if self.quantization_mode is not None:
            raise ValueError(f"dtype must be no quantized policy; {QUANTIZE_FILES}. Received: dtype={dtype!r}")
        self.geometry = geometry
        self.device = device
        self.data_format = data_format
        self.lowering = lowering
        self.jit_compile = jit_compile
        self.use_bias = bias
        self.weight_initializer = _known("weight_initializer", weight_initializer, keras.initializers)
        self.bias_initializer = _known("bias_initializer", bias_initializer, keras.initializers)
        self.weight_regularizer = _known("weight_regularizer", weight_regularizer, keras.regularizers)
        self.bias_regularizer = _known("bias_regularizer", bias_regularizer, keras.regularizers)
        self.weight_constraint = _known("weight_constraint", weight_constraint, keras.constraints)
        self.bias_constraint = _known("bias_constraint", bias_constraint, keras.constraints)
        with on_device(device):
            self.weight = self._kaiming_weight("weight", geometry.weight_shape)
            self.bias = self._kaiming_weight("bias", (geometry.out_channels,)) if bias else None
        self.built = True

    in_channels = property(lambda self: self.geometry.in_channels)
    out_channels = property(lambda self: self.geometry.out_channels)
    kernel_size = property(lambda self: self.geometry.kernel_size)
    stride = property(lambda self: self.geometry.stride)
    padding = property(lambda self: self.geometry.padding)
    output_padding = property(lambda self: self.geometry.output_padding)
    groups = property(lambda self: self.geometry.groups)
    dilation = property(lambda self: self.geometry.dilation)
    kernel = property(lambda self: Kernel(self.weight))

    def _kaiming_weight(self, name, shape):
        """The variable by that name with its regularizer and constraint, and PyTorch's initial values by default."""
        bound = 1 / math.sqrt(self.geometry.fan_in)
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=getattr(self, f"{name}_initializer") or keras.initializers.RandomUniform(-bound, bound),
            regularizer=getattr(self, f"{name}_regularizer"),
            constraint=getattr(self, f"{name}_constraint"),
        )

    def call(self, x, output_size: int | tuple[int, ...] | None = None):
        """`x` to the output; `output_size` (int, 1-tuple or the whole shape) takes output_padding's place."""
        if tf.is_symbolic_tensor(output_size):  # Keras makes one of a NumPy number
            known = tf.get_static_value(output_size)
            output_size = output_size if known is None else known
        return ops.apply_geometry(
            self.geometry,
            x,
            self.weight,
            self.bias,
            data_format=self.data_format,
            lowering=self.lowering,
            output_size=output_size,
            jit_compile=self.jit_compile,
        )

    def forward(self, x, output_size: int | tuple[int, ...] | None = None):
        """PyTorch's name for calling the layer."""
        return self(x, output_size=output_size)

    def compute_output_shape(self, input_shape, output_size=None):
        return self.geometry.output_shape(input_shape, self.data_format, output_size)

    def compute_output_spec(self, x, output_size=None):
        shape = self.compute_output_shape(tuple(getattr(x, "shape", ())), output_size)
        ops.check_floating(x.dtype)
        return keras.KerasTensor(shape, dtype=self.compute_dtype)

    def quantize(self, mode=None, **kwargs):
        """Refuses; `Model.quantize` warns with this text, layer by layer, and goes on to the next."""
        raise NotImplementedError(
            f"The layers of lucid_keras have no quantized form in Keras and stay as they are; {QUANTIZE_FILES}. "
            f"Received: mode={mode!r} for the layer {self.path or self.name!r}"
        )

    def get_config(self):
        return {
            **super().get_config(),
            **dataclasses.asdict(self.geometry),
            "bias": self.use_bias,
            "device": self.device,
            "data_format": self.data_format,
            "lowering": self.lowering,
            "jit_compile": self.jit_compile,
            "weight_initializer": keras.initializers.serialize(self.weight_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "weight_regularizer": keras.regularizers.serialize(self.weight_regularizer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
            "weight_constraint": keras.constraints.serialize(self.weight_constraint),
            "bias_constraint": keras.constraints.serialize(self.bias_constraint),
        }

    @classmethod
    def from_config(cls, config):
        """The layer of a config; a device that this machine lacks is left out, with a warning."""
        try:
            existing_device(config.get("device"))
        except ValueError as error:
            warnings.warn(f"The layer's variables stay on TensorFlow's default device: {error}", stacklevel=2)
            config = {**config, "device": None}
        return super().from_config(config)

    def extra_repr(self) -> str:
        """The arguments as PyTorch and Lucid print them: those that differ from the default after the first five."""
        own = {**dataclasses.asdict(self.geometry), "bias": self.use_bias, "data_format": self.data_format}
        later = {"output_padding": 0, "groups": 1, "bias": True, "dilation": 1, "data_format": "channels_first"}
        shown = ["kernel_size", "stride", "padding", *(name for name in later if own[name] != later[name])]
        named = ", ".join(f"{name}={own[name]!r}" for name in shown)
        return f"{self.in_channels}, {self.out_channels}, {named}"

    def __repr__(self):
        return f"ConvTranspose1d({self.extra_repr()})"


def _known(name, given, of_keras):
    """What a module of Keras makes of a name, a config or an object."""
    try:
        found = of_keras.get(given)
    except (TypeError, ValueError, AttributeError):
        found = ...
    if found is not None and not callable(found):
        raise ValueError(f"{name} must be None or what {of_keras.__name__} knows. Received: {name}={given!r}")
    return found
