"""An export below its floor names the layer that loses the most: one that is made bad on purpose, in ten decoders."""

import functools

import keras
import numpy as np
import pytest
from decoders import DECODERS

import lucid_keras as lk
from lucid_keras.export import BelowFloorError, streaming_to_tflite, to_tflite

layers, ops = keras.layers, keras.ops
LENGTH = 24


def convolution(name=None, channels=6, taps=3, **options):
    return layers.Conv1D(channels, taps, padding="same", name=name, **options)


def upsampler(name=None, channels=6):
    return lk.ConvTranspose1d(6, channels, 4, stride=2, padding=1, data_format="channels_last", name=name)


@keras.saving.register_keras_serializable("test_culprits")
class Masked(layers.Layer):
    """Weights of channels, of which the masked ones are out of the question."""

    def __init__(self, hidden=-4.0, **options):
        super().__init__(**options)
        self.hidden = hidden

    def call(self, x):
        return ops.softmax(x + ops.convert_to_tensor([0, 0, 0, 0, 0, self.hidden], x.dtype))


@keras.saving.register_keras_serializable("test_culprits")
class Snake(layers.Layer):
    def build(self, shape):
        self.alpha = self.add_weight(name="alpha", shape=shape[-1:], initializer="ones")

    def call(self, x):
        return x + ops.square(ops.sin(self.alpha * x)) / self.alpha


def residual():
    """Sums and products that no layer makes."""
    x = frames = keras.Input((None, 8))
    x = convolution("first")(x)
    for index in range(2):
        x = x + 0.5 * convolution(f"residual_{index}")(layers.LeakyReLU()(x))
    return keras.Model(frames, convolution("last", 1, activation="tanh")(upsampler("up")(x)))


def shared():
    """A convolution that comes twice, and names that TensorFlow's numbers would make those of others."""
    frames = keras.Input((None, 8))
    twice = convolution("conv1d")
    x = convolution("conv1d_1")(frames)
    x = twice(layers.LeakyReLU()(twice(x)))
    x = convolution("conv1d_2")(x)
    return keras.Model(frames, convolution("conv1d_3", 1)(upsampler("up")(x)))


def attending():
    frames = keras.Input((None, 8))
    x = layers.Dense(6, name="scores")(frames)
    x = layers.Dense(6, name="values")(x) * Masked(name="mask")(x)
    return keras.Model(frames, convolution("last", 1)(upsampler("up")(x)))


def snakes():
    x = frames = keras.Input((None, 8))
    for index, layer in enumerate((convolution("before"), upsampler("up"), convolution("after"))):
        x = Snake(name=f"snake_{index}")(layer(x))
    return keras.Model(frames, convolution("last", 1, 7)(x))


def lifted():
    """Operations of Keras's between two layers, which lift the signal far up and let it down again."""
    frames = keras.Input((None, 8))
    x = layers.LeakyReLU(name="leaky")(convolution("before")(frames)) + 3e4
    return keras.Model(frames, convolution("last", 1)(upsampler("up")(layers.ReLU(name="up_there")(x) - 3e4)))


MODELS = DECODERS | {
    "residual": residual, "shared": shared, "attending": attending, "snakes": snakes, "lifted": lifted
}  # fmt: skip


def outlier(layer, before):
    """One channel comes a ten thousandth as loud and is amplified as much."""
    _scale(before, 1, 1e-4)
    _scale(layer, 0, 1e4)


def _scale(layer, side, factor):
    """A channel's part of a layer's weights, of its inputs (side 0) or its outputs (side 1)."""
    kernel, *others = layer.get_weights()
    axis = side if isinstance(layer, lk.ConvTranspose1d) else kernel.ndim - 2 + side
    kernel[(slice(None),) * axis + (2,)] *= factor
    if side == 1:
        for other in others:
            other[2] *= factor
    layer.set_weights([kernel, *others])


def saturating(layer, _):
    """A convolution that is a thousand times too loud before its own tanh."""
    kernel, *others = layer.get_weights()
    layer.set_weights([kernel * 1000, *others])


def masking(layer, _):
    layer.hidden = -1e9


def nothing(*_):
    """It is bad as it is."""


CASES = [
    ("encodec", "int8", outlier, "conv1d_2", "conv1d_1"),
    ("tail", "dynamic_int8", outlier, "conv_transpose1d", "dense"),
    ("lagging", "weight_only_int8", outlier, "conv_transpose1d", "conv1d"),
    ("nested", "int8", outlier, "residual/conv1d_1", "block/conv_transpose1d"),
    ("channels_first", "live weight_only_int8", outlier, "conv1d_1", "layer_normalization"),
    ("first_to_last", "weight_only_int4", outlier, "dense", "conv_transpose1d"),
    ("residual", "int8", saturating, "last", None),
    ("shared", "dynamic_int8", outlier, "conv1d", "conv1d_1"),
    ("attending", "int8", masking, "mask", None),
    ("snakes", "int8", outlier, "after", "up"),
    ("lifted", "int8", nothing, "(add|subtract|up_there)", None),
]


def at(model, path):
    """The layer at a path; none where that is a pattern of operations."""
    for name in path.split("/") if path and "(" not in path else ():
        model = model.get_layer(name)
    return model


@pytest.mark.parametrize(("decoder", "recipe", "plant", "planted", "before"), CASES, ids=lambda one: str(one)[:24])
def test_the_layer_that_was_made_bad_is_named(decoder, recipe, plant, planted, before, tmp_path):
    keras.utils.clear_session()  # the names count from here
    keras.utils.set_random_seed(1)
    model = MODELS[decoder]()
    plant(at(model, planted), at(model, before))
    frames = np.random.default_rng(0).standard_normal((10, *(extent or LENGTH for extent in model.input_shape[1:])))
    data = frames.astype("float32")
    options = {"calibration_data": data} if recipe == "int8" else {"verification_data": data}
    live, recipe = recipe.startswith("live"), recipe.removeprefix("live ")
    options |= {"quantization": recipe, "floor_db": 60}
    to = streaming_to_tflite if live else functools.partial(to_tflite, length=LENGTH)
    with pytest.raises(BelowFloorError, match=rf"the layer '{planted}' loses the most, -?\d+\.\d dB by itself"):
        to(lk.StreamingModel(model) if live else model, tmp_path / "x.tflite", **options)
    assert not list(tmp_path.iterdir())
