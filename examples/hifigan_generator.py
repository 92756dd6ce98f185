"""HiFi-GAN's generator in Keras, V1, V2, V3 and SpeechT5's vocoder, from a PyTorch checkpoint to a `.tflite` file.

    python examples/hifigan_generator.py --preset v1                       random weights, compared with transformers'
    python examples/hifigan_generator.py --preset v1 --checkpoint g.pth    your weights, the authors' names or theirs
    python examples/hifigan_generator.py --preset v1 --live                frame by frame, equal to the whole decode

The layers have the names of `transformers.SpeechT5HifiGan`; the authors' own checkpoints (`{"generator": ...}`, weight
norm, `ups` for the upsampler) load too. The model works on `[batch, length, channels]`.

Source: J. Kong et al., "HiFi-GAN", arXiv:2010.05646, appendix A.1.
"""

import os
import pathlib
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's notes would hide the results

import keras
import numpy as np
from comparison import add_live, parser_of, print_comparison, print_live, randomize, run, tell

import lucid_keras as lk

V1 = {
    "upsample_initial_channel": 512,
    "upsample_rates": (8, 8, 2, 2),
    "upsample_kernel_sizes": (16, 16, 4, 4),
    "resblock_kernel_sizes": (3, 7, 11),
    "resblock_dilation_sizes": ((1, 3, 5), (1, 3, 5), (1, 3, 5)),
}
PRESETS = {
    "v1": V1,
    "v2": {**V1, "upsample_initial_channel": 128},
    "v3": {
        "upsample_initial_channel": 256,
        "upsample_rates": (8, 8, 4),
        "upsample_kernel_sizes": (16, 16, 8),
        "resblock_kernel_sizes": (3, 5, 7),
        "resblock_dilation_sizes": ((1, 2), (2, 6), (3, 12)),
        "single_convolutions": True,
    },
    "speecht5": {**V1, "upsample_rates": (4, 4, 4, 4), "upsample_kernel_sizes": (8, 8, 8, 8), "normalize_before": True},
}
SAMPLE_RATES = {"v1": 22_050, "v2": 22_050, "v3": 22_050, "speecht5": 16_000}


def to_layers(normalize_before=False, **_):
    """The `rename` from either's names to the layers here; the statistics at the top are for SpeechT5's vocoder."""
    return {r"^ups\.": "upsampler.", r"^(mean|scale)$": r"normalize.\1" if normalize_before else None}


@keras.saving.register_keras_serializable(package="hifigan")
class Normalize(keras.layers.Layer):
    """`(x - mean) / scale` for each channel, the two loaded with the weights."""

    def build(self, shape):
        self.mean = self.add_weight(name="mean", shape=shape[-1:], initializer="zeros", trainable=False)
        self.scale = self.add_weight(name="scale", shape=shape[-1:], initializer="ones", trainable=False)

    def call(self, x):
        return (x - self.mean) / self.scale


def hifigan_generator(
    upsample_initial_channel,
    upsample_rates,
    upsample_kernel_sizes,
    resblock_kernel_sizes,
    resblock_dilation_sizes,
    model_in_dim=80,
    leaky_relu_slope=0.1,
    normalize_before=False,
    single_convolutions=False,
):
    """The generator as a `keras.Model` of log-mel `[batch, frames, model_in_dim]` to `[batch, samples, 1]` in -1..1.

    The arguments are those of `transformers.SpeechT5HifiGanConfig`; `single_convolutions` makes the residual blocks of
    V3, one convolution a step where the others have two.
    """

    def activated(x, slope=leaky_relu_slope):
        return keras.layers.LeakyReLU(negative_slope=slope)(x)

    def conv(x, filters, taps, name, dilation=1):
        return keras.layers.Conv1D(filters, taps, dilation_rate=dilation, padding="same", name=name)(x)

    def residual_block(x, channels, taps, dilations, name):
        for index, dilation in enumerate(dilations):
            if single_convolutions:
                y = conv(activated(x), channels, taps, f"{name}.convs.{index}", dilation)
            else:
                y = conv(activated(x), channels, taps, f"{name}.convs1.{index}", dilation)
                y = conv(activated(y), channels, taps, f"{name}.convs2.{index}")
            x = x + y
        return x

    log_mel = keras.Input((None, model_in_dim))
    x = Normalize(name="normalize")(log_mel) if normalize_before else log_mel
    channels = upsample_initial_channel
    x = conv(x, channels, 7, "conv_pre")
    kinds = len(resblock_kernel_sizes)
    for stage, (rate, taps) in enumerate(zip(upsample_rates, upsample_kernel_sizes, strict=True)):
        x = lk.ConvTranspose1d(
            channels,
            channels // 2,
            kernel_size=taps,
            stride=rate,
            padding=(taps - rate) // 2,
            data_format="channels_last",
            name=f"upsampler.{stage}",
        )(activated(x))
        channels //= 2
        blocks = zip(resblock_kernel_sizes, resblock_dilation_sizes, strict=True)
        x = keras.layers.Average()(
            [
                residual_block(x, channels, taps, dilations, f"resblocks.{stage * kinds + kind}")
                for kind, (taps, dilations) in enumerate(blocks)
            ]
        )
    x = conv(activated(x, slope=0.01), 1, 7, "conv_post")
    return keras.Model(log_mel, keras.layers.Activation("tanh")(x), name="hifigan_generator")


def reference_model(preset, state=None):
    """transformers' generator with the weights of a Keras one's `state`, or with random ones, weight norm and all."""
    import torch
    import transformers

    configuration = {"normalize_before": False, **PRESETS[preset]}
    model = transformers.SpeechT5HifiGan(transformers.SpeechT5HifiGanConfig(**configuration)).eval()
    if state is not None:
        state = {name.removeprefix("normalize."): torch.from_numpy(array) for name, array in state.items()}
        model.load_state_dict({"mean": model.mean, "scale": model.scale} | state)
        return model
    model.apply_weight_norm()
    randomize(model)
    model.mean.uniform_(-1, 1)
    model.scale.uniform_(0.5, 2)
    return model


def main(argv=None):
    """Run the command; what it printed is returned."""
    parser = parser_of(__doc__)
    parser.add_argument("--preset", choices=PRESETS, default="v1")
    parser.add_argument("--checkpoint", help="a checkpoint with the authors' names or those of transformers")
    parser.add_argument("--seconds", type=float, default=1.0, help="of audio in a call of the file (default: 1)")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("hifigan_generator.tflite"))
    add_live(parser)
    arguments = parser.parse_args(argv)
    if arguments.preset == "v3" and arguments.checkpoint is None:
        parser.error("transformers has no V3 to take weights from: give a --checkpoint")

    preset = PRESETS[arguments.preset]
    hop, rate = int(np.prod(preset["upsample_rates"])), SAMPLE_RATES[arguments.preset]
    log_mel = np.random.default_rng(0).normal(-4, 2, (1, round(arguments.seconds * rate / hop), 80)).astype("float32")
    generator = hifigan_generator(**preset)
    if arguments.checkpoint is not None:
        tell(f"loading {arguments.checkpoint} into Keras")
        lk.interop.load_state_dict(generator, arguments.checkpoint, rename=to_layers(**preset))
        reference = None
        if arguments.preset != "v3":
            reference = reference_model(arguments.preset, lk.interop.to_state_dict(generator))
    else:
        import torch

        tell("building transformers' model and loading it into Keras")
        reference = reference_model(arguments.preset)
        with tempfile.TemporaryDirectory() as directory:
            checkpoint = pathlib.Path(directory) / "generator.pt"
            torch.save({"generator": reference.state_dict()}, checkpoint)
            lk.interop.load_state_dict(generator, checkpoint, rename=to_layers(**preset))
    if arguments.live:
        return print_live(generator, arguments.output, log_mel, rate, pointwise=[Normalize])
    ours = generator(log_mel)
    if reference is None:
        tell("transformers has no V3: the reference is the Keras model itself")
        expected = ours
    else:
        import torch

        with torch.no_grad():
            expected = reference(torch.from_numpy(log_mel)).numpy()[..., None]
    tell(f"exporting to {arguments.output} and verifying")
    lk.export.to_tflite(generator, arguments.output, length=log_mel.shape[1])
    return print_comparison(arguments.output, log_mel, ours, expected, expected.shape[1] / rate)


if __name__ == "__main__":
    run(main)
