"""Kokoro-82M's vocoder in Keras, an iSTFTNet whose norms take their scale from a voice, to a `.tflite` file.

    python examples/kokoro_vocoder.py                          random weights
    python examples/kokoro_vocoder.py --weights kokoro.npz     the trained ones and recorded speech, from `make voice`

The layers have the names of Kokoro's own generator. No PyTorch class of it can be installed, so what the trained one is
compared with is a recording: the samples that Kokoro's ONNX file gave for the same inputs. That file multiplies in int8
and leaves out the division by the windows' sum, so that its samples are 1.5 times as loud.

Source: T. Kaneko et al., "iSTFTNet", arXiv:2203.02395; Y. Li et al., "StyleTTS 2", arXiv:2306.07691.
"""

import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's notes would hide the results

import keras
import numpy as np
from comparison import parser_of, print_comparison, run, tell
from keras import ops

import lucid_keras as lk

SAMPLE_RATE = 24_000
# Norms over some ten thousand positions, summed in float32: files have 80 to 100 dB, Keras itself 90 to 105.
FLOOR = 70
LOUDER = 1.5  # the sum of the squared Hann windows that meet in a sample, by which Kokoro's ONNX file does not divide

# From the file of `make voice` to the layers here: the generator's entries, Snake's `alpha` as its layer's variable.
TO_LAYERS = {r"^(?!generator\.)": None, r"^generator\.": "", r"(alpha\d\.\d)$": r"\1.alpha"}


@keras.saving.register_keras_serializable(package="kokoro")
class AdaIN(keras.layers.Layer):
    """Each channel normalised over time, then scaled and shifted by the style: `[x, style]` to the shape of `x`."""

    def build(self, shapes):
        x_shape, style_shape = shapes
        self.fc = keras.layers.Dense(2 * x_shape[-1], dtype=self.dtype_policy, name="fc")
        self.fc.build(style_shape)

    def call(self, inputs):
        x, style = inputs
        scale, shift = ops.split(ops.expand_dims(self.fc(style), 1), 2, axis=-1)
        centred = x - ops.mean(x, axis=1, keepdims=True)
        variance = ops.mean(ops.square(centred), axis=1, keepdims=True)
        return centred / ops.sqrt(variance + 1e-5) * (1 + scale) + shift

    def compute_output_shape(self, shapes):
        return shapes[0]


def kokoro_vocoder(
    frames=None,
    channels=512,
    style_channels=128,
    upsample_rates=(10, 6),
    upsample_kernel_sizes=(20, 12),
    resblock_kernel_sizes=(3, 7, 11),
    dilations=(1, 3, 5),
    n_fft=20,
    hop=5,
):
    """The generator as a `keras.Model` of `x [batch, frames, channels]`, `har [batch, frames * rates + 1, n_fft + 2]`
    and `style [batch, style_channels]` to samples `[batch, frames * rates * hop]`, the `rates` multiplied.

    `har` is magnitude and phase of the pitch's harmonics. The defaults are Kokoro-82M's; `frames` fixes the length.
    """

    def activated(x, slope=0.1):
        return keras.layers.LeakyReLU(negative_slope=slope)(x)

    def conv(x, filters, taps, name, **options):
        return keras.layers.Conv1D(filters, taps, name=name, **{"padding": "same", **options})(x)

    def residual_block(x, taps, name):
        filters = x.shape[-1]
        for index, dilation in enumerate(dilations):
            y = x
            for half, rate in ((1, dilation), (2, 1)):
                y = AdaIN(name=f"{name}.adain{half}.{index}")([y, style])
                y = lk.Snake(epsilon=0, name=f"{name}.alpha{half}.{index}")(y)
                y = conv(y, filters, taps, f"{name}.convs{half}.{index}", dilation_rate=rate)
            x = x + y
        return x

    def harmonics_at(stage, filters):
        """What the harmonics add at a stage; each but the last is at a lower rate than theirs."""
        below = int(np.prod(upsample_rates[stage + 1 :]))
        if below == 1:
            return residual_block(conv(har, filters, 1, f"noise_convs.{stage}"), 11, f"noise_res.{stage}")
        padded = keras.layers.ZeroPadding1D((below + 1) // 2)(har)
        y = conv(padded, filters, 2 * below, f"noise_convs.{stage}", strides=below, padding="valid")
        return residual_block(y, 7, f"noise_res.{stage}")

    positions = None if frames is None else frames * int(np.prod(upsample_rates)) + 1
    x = features = keras.Input((frames, channels), name="x")
    har = keras.Input((positions, n_fft + 2), name="har")
    style = keras.Input((style_channels,), name="style")
    for stage, (rate, taps) in enumerate(zip(upsample_rates, upsample_kernel_sizes, strict=True)):
        channels //= 2
        x = lk.ConvTranspose1d(
            2 * channels,
            channels,
            kernel_size=taps,
            stride=rate,
            padding=(taps - rate) // 2,
            data_format="channels_last",
            name=f"ups.{stage}",
        )(activated(x))
        if stage == len(upsample_rates) - 1:
            x = ops.concatenate([x[:, 1:2], x], axis=1)  # one more frame than hops, mirrored at the first
        x = x + harmonics_at(stage, channels)
        kinds = len(resblock_kernel_sizes)
        blocks = [
            residual_block(x, taps, f"resblocks.{stage * kinds + kind}")
            for kind, taps in enumerate(resblock_kernel_sizes)
        ]
        x = keras.layers.Average()(blocks)
    x = conv(activated(x, slope=0.01), n_fft + 2, 7, "conv_post")
    bins = n_fft // 2 + 1
    magnitude, phase = ops.exp(x[..., :bins]), ops.sin(x[..., bins:])
    spectrum = ops.concatenate([magnitude * ops.cos(phase), magnitude * ops.sin(phase)], axis=-1)
    samples = lk.ISTFT(n_fft, hop, data_format="channels_last", name="istft")(spectrum)
    return keras.Model([features, har, style], samples, name="kokoro_vocoder")


def inputs_of(recording, index):
    """The vocoder's inputs of an utterance in the file of `make voice`, channels last."""
    x, har = (np.ascontiguousarray(recording[f"utterance.{index}.{name}"].mT) for name in ("x", "har"))
    return {"x": x, "har": har, "style": recording[f"utterance.{index}.style"]}


def drawn_inputs(frames):
    """As many random frames, and a voice that is none."""
    shapes = {"x": (1, frames, 512), "har": (1, 60 * frames + 1, 22), "style": (1, 128)}
    rng = np.random.default_rng(0)
    return {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}


def main(argv=None):
    """Run the command; what it printed is returned."""
    parser = parser_of(__doc__)
    parser.add_argument("--weights", type=pathlib.Path, help="the file that `make voice` records")
    parser.add_argument("--utterance", type=int, default=3, help="of that file, from 0 (default: 3)")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("kokoro_vocoder.tflite"))
    arguments = parser.parse_args(argv)

    keras.utils.set_random_seed(0)
    if arguments.weights is None:
        tell("random weights: the reference is the Keras model itself")
        inputs = drawn_inputs(frames=40)
    else:
        recording = lk.interop.read_state_dict(arguments.weights)
        inputs = inputs_of(recording, arguments.utterance)
    vocoder = kokoro_vocoder(frames=inputs["x"].shape[1])
    if arguments.weights is not None:
        tell(f"loading {arguments.weights} into Keras")
        lk.interop.load_state_dict(vocoder, recording, rename=TO_LAYERS)
    ours = vocoder(inputs).numpy()
    expected = ours
    if arguments.weights is not None:
        expected = recording[f"utterance.{arguments.utterance}.samples"][np.newaxis] / LOUDER
    tell(f"exporting to {arguments.output} and verifying")
    lk.export.to_tflite(vocoder, arguments.output, verification_data=inputs, floor_db=FLOOR)
    return print_comparison(arguments.output, inputs, ours, expected, expected.shape[1] / SAMPLE_RATE)


if __name__ == "__main__":
    run(main)
