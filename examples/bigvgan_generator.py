"""BigVGAN's generator in Keras, whose anti-aliased activations are depthwise transposed convolutions.

    python examples/bigvgan_generator.py                          random weights, compared with transformers' model
    python examples/bigvgan_generator.py --checkpoint FILE        your weights, the authors' names or transformers'
    python examples/bigvgan_generator.py --live                   frame by frame, equal to the whole decode

Every activation upsamples its input twofold, applies a periodic function, and goes back, each time through a low-pass
filter: one `conv_transpose1d` with `groups=channels`. Other converters make one operation of each channel. The
replicated border that the upsampling would trim again is folded into `padding`. Live the same is made of depthwise
convolutions, one position of which gives the two of twice the rate side by side.

The layers have the names of `transformers.Qwen2_5OmniToken2WavBigVGANModel` and of the authors' code, which agree.

Source: S. Lee et al., "BigVGAN", arXiv:2206.04658; T. Karras et al., "Alias-Free GAN", arXiv:2106.12423.
"""

import os
import pathlib
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's notes would hide the results

import keras
import numpy as np
import tensorflow as tf
from comparison import add_live, parser_of, print_comparison, print_live, run, tell

import lucid_keras as lk

RATIO, TAPS = 2, 12
SAMPLE_RATE = 24_000
LOGARITHMIC = {"separate_beta": True, "logarithmic": True}  # what its Snakes keep

# The filters follow from RATIO and TAPS; the authors' checkpoints hold them all the same.
WITHOUT_FILTERS = {r"\.filter$": None}


def low_pass_filter(cutoff, half_width, taps):
    """A Kaiser-windowed sinc of unit sum; cutoff and half the transition's width in cycles per sample; `taps` even."""
    attenuation = 2.285 * (taps // 2 - 1) * np.pi * 4 * half_width + 7.95  # dB
    if attenuation > 50:
        beta = 0.1102 * (attenuation - 8.7)
    else:
        beta = 0.5842 * max(attenuation - 21, 0) ** 0.4 + 0.07886 * max(attenuation - 21, 0)
    time = np.arange(-(taps // 2), taps // 2) + 0.5
    weights = np.kaiser(taps, beta) * np.sinc(2 * cutoff * time)
    return (weights / weights.sum()).astype(np.float32)


def replicate(x, before, after):
    """`x [batch, length, channels]` with its first and its last position repeated."""
    batch, length, channels = x.shape
    one = [-1 if batch is None else batch, 1, channels]
    first, last = tf.slice(x, [0, 0, 0], one), x[:, -1:] if length is None else tf.slice(x, [0, length - 1, 0], one)
    border = [edge * tf.ones([1, count, 1], x.dtype) for edge, count in ((first, before), (last, after))]
    return tf.concat([border[0], x, border[1]], axis=1)


def replicated(x, before, after):
    """The same of a graph that is walked: on TensorFlow Keras cannot run it."""
    return keras.ops.pad(x, [[0, 0], [before, after], [0, 0]], mode="edge")


def in_phases(low_pass):
    """The taps `[7, 2]` of the two samples that upsampling makes of a position, which see three more on either side."""
    return RATIO * np.pad(low_pass, 1)[::-1].reshape(-1, RATIO)[:, ::-1]


def depthwise(taps, strides=1):
    """A convolution of each channel with its own of the given `taps [positions, channels]`."""
    kernel = keras.initializers.Constant(taps[..., np.newaxis])
    return keras.layers.DepthwiseConv1D(len(taps), strides, use_bias=False, depthwise_initializer=kernel)


@keras.saving.register_keras_serializable(package="bigvgan")
class AntiAliasedSnake(lk.Snake):
    """`x + sin(x * exp(alpha))**2 / exp(beta)` computed at twice the rate, on `[batch, length, channels]`."""

    def __init__(self, **kwargs):
        super().__init__(**{**LOGARITHMIC, **kwargs})

    def build(self, shape):
        super().build(shape)
        low_pass = low_pass_filter(0.5 / RATIO, 0.6 / RATIO, TAPS)
        self._interpolation = np.tile(RATIO * low_pass, (shape[-1], 1, 1))
        self._decimation = np.tile(low_pass[np.newaxis, :, np.newaxis, np.newaxis], (1, 1, shape[-1], 1))

    def call(self, x):
        border = TAPS // RATIO - 1
        x = lk.conv_transpose1d(
            replicate(x, border, border),
            tf.constant(self._interpolation, x.dtype),
            stride=RATIO,
            padding=border * RATIO + (TAPS - RATIO) // 2,
            groups=x.shape[-1],
            data_format="channels_last",
        )
        x = tf.expand_dims(replicate(super().call(x), TAPS // 2 - 1, TAPS // 2), 1)
        kernel = tf.constant(self._decimation, x.dtype)
        return tf.squeeze(tf.nn.depthwise_conv2d(x, kernel, strides=[1, RATIO, RATIO, 1], padding="VALID"), 1)

    def streaming_graph(self, x):
        """What `lk.StreamingModel` takes it for."""
        channels, taps = x.shape[-1], in_phases(self._decimation[0, :, 0, 0])
        x = replicated(keras.ops.concatenate([x, x], axis=-1), len(taps) // 2, len(taps) // 2)
        x = keras.layers.Reshape((-1, channels))(depthwise(np.repeat(taps, channels, axis=1))(x))
        snake = lk.Snake(**LOGARITHMIC)
        snake.alpha, snake.beta, snake.built = self.alpha, self.beta, True
        x = replicated(snake(x), TAPS // 2 - 1, TAPS // 2)
        return depthwise(self._decimation[0, :, :, 0], strides=RATIO)(x)


def bigvgan_generator(
    mel_dim=80,
    upsample_initial_channel=1536,
    resblock_kernel_sizes=(3, 7, 11),
    resblock_dilation_sizes=((1, 3, 5), (1, 3, 5), (1, 3, 5)),
    upsample_rates=(5, 3, 2, 2, 2, 2),
    upsample_kernel_sizes=(11, 7, 4, 4, 4, 4),
):
    """The generator as a `keras.Model` of a mel spectrogram `[batch, frames, mel_dim]`, normalised to -1..1, to samples
    `[batch, samples, 1]`.

    The arguments are those of `transformers.Qwen2_5OmniBigVGANConfig`, whose defaults these are.
    """

    def conv(x, filters, taps, name, dilation=1, bias=True):
        return keras.layers.Conv1D(filters, taps, dilation_rate=dilation, padding="same", use_bias=bias, name=name)(x)

    def residual_block(x, channels, taps, dilations, name):
        for index, dilation in enumerate(dilations):
            y = AntiAliasedSnake(name=f"{name}.activations.{2 * index}.act")(x)
            y = conv(y, channels, taps, f"{name}.convs1.{index}", dilation)
            y = AntiAliasedSnake(name=f"{name}.activations.{2 * index + 1}.act")(y)
            x = x + conv(y, channels, taps, f"{name}.convs2.{index}")
        return x

    mel = keras.Input((None, mel_dim))
    channels = upsample_initial_channel
    x = conv(mel, channels, 7, "conv_pre")
    kinds = len(resblock_kernel_sizes)
    for stage, (rate, taps) in enumerate(zip(upsample_rates, upsample_kernel_sizes, strict=True)):
        x = lk.ConvTranspose1d(
            channels,
            channels // 2,
            kernel_size=taps,
            stride=rate,
            padding=(taps - rate) // 2,
            data_format="channels_last",
            name=f"ups.{stage}.0",
        )(x)
        channels //= 2
        blocks = zip(resblock_kernel_sizes, resblock_dilation_sizes, strict=True)
        x = keras.layers.Average()(
            [
                residual_block(x, channels, taps, dilations, f"resblocks.{stage * kinds + kind}")
                for kind, (taps, dilations) in enumerate(blocks)
            ]
        )
    x = AntiAliasedSnake(name="activation_post.act")(x)
    x = conv(x, 1, 7, "conv_post", bias=False)
    return keras.Model(mel, keras.ops.clip(x, -1, 1), name="bigvgan_generator")


def reference_model(state=None, **configuration):
    """transformers' model of the same configuration with the weights of `state`, or random in every parameter."""
    import torch
    from transformers.models.qwen2_5_omni import configuration_qwen2_5_omni, modeling_qwen2_5_omni

    torch.manual_seed(0)
    config = configuration_qwen2_5_omni.Qwen2_5OmniBigVGANConfig(**configuration)
    model = modeling_qwen2_5_omni.Qwen2_5OmniToken2WavBigVGANModel(config).eval()
    if state is not None:
        model.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()}, strict=False)
        return model
    for name, parameter in model.named_parameters():
        if name.endswith(("alpha", "beta")):
            torch.nn.init.uniform_(parameter, -0.5, 0.5)
        elif name.endswith("weight"):
            torch.nn.init.normal_(parameter, std=0.7 * parameter[0].numel() ** -0.5)
    return model


def main(argv=None):
    """Run the command; what it printed is returned."""
    parser = parser_of(__doc__)
    parser.add_argument("--checkpoint", help="a checkpoint with the authors' names or those of transformers")
    parser.add_argument("--channels", type=int, default=512, help="upsample_initial_channel (the official: 1536)")
    parser.add_argument("--seconds", type=float, default=0.5, help="of audio in a call of the file (default: 0.5)")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("bigvgan_generator.tflite"))
    add_live(parser)
    arguments = parser.parse_args(argv)

    import torch

    generator = bigvgan_generator(upsample_initial_channel=arguments.channels)
    frames = round(arguments.seconds * SAMPLE_RATE / 240)
    log_mel = np.random.default_rng(0).normal(-4, 2, (1, frames, 80)).astype("float32")
    if arguments.checkpoint is not None:
        tell(f"loading {arguments.checkpoint} into Keras")
        lk.interop.load_state_dict(generator, arguments.checkpoint, rename=WITHOUT_FILTERS)
        state = lk.interop.to_state_dict(generator)
        reference = reference_model(state, upsample_initial_channel=arguments.channels)
    else:
        tell("building transformers' model and loading it into Keras")
        reference = reference_model(upsample_initial_channel=arguments.channels)
        with tempfile.TemporaryDirectory() as directory:
            torch.save(reference.state_dict(), pathlib.Path(directory) / "bigvgan.pt")
            lk.interop.load_state_dict(generator, pathlib.Path(directory) / "bigvgan.pt")
    with torch.no_grad():
        mel = reference.process_mel_spectrogram(torch.from_numpy(log_mel)).numpy()
        expected = reference(torch.from_numpy(log_mel).mT).numpy()[np.newaxis, :, np.newaxis]
    if arguments.live:
        return print_live(generator, arguments.output, mel, SAMPLE_RATE)
    tell(f"exporting to {arguments.output} and verifying")
    lk.export.to_tflite(generator, arguments.output, length=frames)
    return print_comparison(arguments.output, mel, generator(mel), expected, expected.shape[1] / SAMPLE_RATE)


if __name__ == "__main__":
    run(main)
