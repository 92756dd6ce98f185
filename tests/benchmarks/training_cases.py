"""The models whose training is measured: in PyTorch, in Keras with our layer, and in Keras with its own."""

import collections
import dataclasses
from collections.abc import Callable

import keras
import numpy as np
import train_audio_autoencoder as autoencoder

import lucid_keras as lk
from benchmarks.model_cases import DECODERS, without_weight_norm


@dataclasses.dataclass(frozen=True)
class Trained:
    """`module()` in PyTorch, and `keras_model()`, which takes its state dict with `rename`.

    `batch` examples a step, of `x` and `y` in Keras's shapes; `channels_first` says whether the module's `x` is. A call
    trains `steps`, so many that what `fit` does besides is what it is in an epoch.
    """

    module: Callable
    keras_model: Callable
    rename: dict
    batch: int
    steps: int
    x: tuple[int, ...]
    y: tuple[int, ...]
    channels_first: bool

    def data(self):
        """Random inputs and targets for a call."""
        rng = np.random.default_rng(0)
        rows = self.steps * self.batch
        return tuple(0.3 * rng.standard_normal((rows, *of), np.float32) for of in (self.x, self.y))


def _autoencoder():
    def keras_model():
        keras.backend.clear_session()  # whose layers are named from one on again
        return autoencoder.autoencoder()

    def module():
        """The example's layers in PyTorch, under their Keras names."""
        from torch import nn

        parts = collections.OrderedDict()
        for layer in keras_model().layers[1:]:
            if isinstance(layer, keras.layers.LeakyReLU):
                parts[layer.name] = nn.LeakyReLU(0.1)
            elif isinstance(layer, lk.ConvTranspose1d):
                channels = layer.in_channels, layer.out_channels
                parts[layer.name] = nn.ConvTranspose1d(*channels, layer.kernel_size, layer.stride, layer.padding)
            else:
                (taps,), (stride,) = layer.kernel_size, layer.strides
                channels = layer.kernel.shape[1], layer.filters
                parts[layer.name] = nn.Conv1d(*channels, taps, stride, padding=(taps - stride + 1) // 2)
        return nn.Sequential(parts)

    shape = (autoencoder.CROP, 1)
    return Trained(module, keras_model, {}, autoencoder.BATCH, 32, shape, shape, channels_first=True)


def _decoder(name, batch, steps, frames):
    decoder = DECODERS[name]()
    channels = 128 if "EnCodec" in name else 80

    def module():
        return decoder.decoding(without_weight_norm(decoder.original()))

    shapes = (frames, channels), (frames * decoder.hop, 1)
    made = module, lambda: decoder.keras_model(None), decoder.rename
    return Trained(*made, batch, steps, *shapes, channels_first=decoder.channels_first)


# Excerpts of about a third of a second, as vocoders are trained on, and of a second, as codecs are.
CASES = {
    "autoencoder of the example": _autoencoder,
    "EnCodec's decoder, 24 kHz": lambda: _decoder("EnCodec 24 kHz", 4, 4, 75),
    "HiFi-GAN V1's generator": lambda: _decoder("HiFi-GAN V1", 4, 2, 32),
}


def with_keras_own(model):
    """The model with `keras.layers.Conv1DTranspose` for each of our layers, and the same weights."""

    def own(layer):
        if not isinstance(layer, lk.ConvTranspose1d):
            return layer.__class__.from_config(layer.get_config())
        padding = "same" if layer.padding else "valid"
        return keras.layers.Conv1DTranspose(
            layer.out_channels, layer.kernel_size, layer.stride, padding=padding, name=layer.name
        )

    cloned = keras.models.clone_model(model, clone_function=own)
    for ours, theirs in zip(model.layers, cloned.layers, strict=True):
        weights = ours.get_weights()
        if isinstance(ours, lk.ConvTranspose1d):
            weights[0] = weights[0].T  # [in, out, taps] to [taps, out, in]
        theirs.set_weights(weights)
    return cloned
