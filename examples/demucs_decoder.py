"""The waveform decoder of HTDemucs in Keras: skip, gated 1x3 convolution, transposed convolution, trim, GELU.

    python examples/demucs_decoder.py                             random weights, compared with the block in PyTorch
    python examples/demucs_decoder.py --checkpoint FILE           your `model.state_dict()`, the authors' names
    python examples/demucs_decoder.py --live                      frame by frame, equal to the whole decode

The authors' transposed convolution has no padding; its output is trimmed by a quarter of the kernel on the left and to
the length of the skip's input on the right. The left trim and its mirror are `padding` here, which computes neither.

Live a frame is one position of the deepest skip, 256 samples; of the others it holds the 4, 16 and 64 positions that
come with it, side by side.

Source: S. Rouard et al., "Hybrid Transformers for Music Source Separation", arXiv:2211.08553.
"""

import os
import pathlib
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's notes would hide the results

import keras
import numpy as np
import tensorflow as tf
from comparison import add_live, parser_of, print_comparison, print_live, randomize, run, tell

import lucid_keras as lk

SAMPLE_RATE = 44_100
KERNEL, STRIDE = 8, 4

# Of the whole model's names those of the waveform decoder.
DECODER_ONLY = {r"^(?!tdecoder\.)": None}


def lengths(samples, depth):
    """The positions at each level of the encoder, samples first."""
    levels = [samples]
    for _ in range(depth):
        levels.append(-(-levels[-1] // STRIDE))
    return levels


@keras.saving.register_keras_serializable(package="demucs")
class TrimTo(keras.layers.Layer):
    """The first `length` positions."""

    def __init__(self, length, **kwargs):
        super().__init__(**kwargs)
        self.length = length

    def call(self, x):
        if x.shape[1] == self.length:
            return x
        return tf.slice(x, [0, 0, 0], [-1 if x.shape[0] is None else x.shape[0], self.length, x.shape[2]])

    def compute_output_shape(self, shape):
        return (shape[0], self.length, shape[2])

    def get_config(self):
        return {**super().get_config(), "length": self.length}


def demucs_decoder(samples, channels=48, growth=2, depth=4, out_channels=8):
    """The decoder for `samples` of audio as a `keras.Model`.

    Its inputs are the skips of the encoder, deepest first, `[batch, positions, channels * growth**level]`; the first
    of them has the transformer's output added. Its output is `[batch, samples, out_channels]`, sources times two.

    With `samples=None` it is the live one, of any number of whole frames: each skip is `[batch, frames, positions *
    channels]` with the positions of a frame side by side.
    """
    widths = [channels * growth**level for level in range(depth)]
    if samples is None:
        shapes = [(None, STRIDE ** (depth - 1 - level) * width) for level, width in enumerate(widths)]
    else:
        levels = lengths(samples, depth)
        shapes = [(levels[level + 1], width) for level, width in enumerate(widths)]
    skips = [keras.Input(shapes[level], name=f"skip_{level}") for level in reversed(range(depth))]
    x = None
    for index, skip in enumerate(skips):
        level = depth - 1 - index
        if samples is None and index:
            skip = keras.layers.Reshape((-1, widths[level]))(skip)
        x = skip if x is None else x + skip
        x = keras.layers.Conv1D(2 * widths[level], 3, padding="same", name=f"tdecoder.{index}.rewrite")(x)
        x = keras.ops.glu(x, axis=-1)
        x = lk.ConvTranspose1d(
            widths[level],
            widths[level - 1] if level else out_channels,
            kernel_size=KERNEL,
            stride=STRIDE,
            padding=KERNEL // 4,
            data_format="channels_last",
            name=f"tdecoder.{index}.conv_tr",
        )(x)
        if samples is not None:
            x = TrimTo(levels[level])(x)
        if level:
            x = keras.ops.gelu(x, approximate=False)
    return keras.Model(skips, x, name="demucs_decoder")


def reference_model(channels=48, growth=2, depth=4, out_channels=8):
    """The authors' `HDecLayer` chain as PyTorch modules with random weights, and the function that runs it."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    blocks = nn.ModuleList()
    for level in reversed(range(depth)):
        width = channels * growth**level
        out = channels * growth ** (level - 1) if level else out_channels
        parts = {
            "conv_tr": nn.ConvTranspose1d(width, out, KERNEL, STRIDE),
            "rewrite": nn.Conv1d(width, 2 * width, 3, 1, 1),
        }
        blocks.append(nn.ModuleDict(parts))
    model = randomize(nn.ModuleDict({"tdecoder": blocks}).eval())

    @torch.no_grad()
    def run(skips, samples):
        x, levels = 0, lengths(samples, depth)
        for index, (block, skip) in enumerate(zip(blocks, skips, strict=True)):
            y = nn.functional.glu(block["rewrite"](x + torch.from_numpy(skip).mT), dim=1)
            length = levels[depth - 1 - index]
            x = block["conv_tr"](y)[..., KERNEL // 4 : KERNEL // 4 + length]
            x = x if index == depth - 1 else nn.functional.gelu(x)
        return x.mT.numpy()

    return model, run


def main(argv=None):
    """Run the command; what it printed is returned."""
    parser = parser_of(__doc__)
    parser.add_argument("--checkpoint", help="a checkpoint with the authors' names")
    parser.add_argument("--samples", type=int, default=44_099, help="in a call of the file (default: 44,099, a second)")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("demucs_decoder.tflite"))
    add_live(parser)
    arguments = parser.parse_args(argv)

    import torch

    decoder = demucs_decoder(None if arguments.live else arguments.samples)
    reference, run = reference_model()
    rng, frames = np.random.default_rng(0), arguments.samples // STRIDE**4
    shapes = [(1, frames, skip.shape[2]) if arguments.live else (1, *skip.shape[1:]) for skip in decoder.inputs]
    skips = [rng.standard_normal(shape).astype("float32") for shape in shapes]
    by_name = {skip.name: array for skip, array in zip(decoder.inputs, skips, strict=True)}
    with tempfile.TemporaryDirectory() as directory:
        checkpoint = arguments.checkpoint
        if checkpoint is None:
            checkpoint = pathlib.Path(directory) / "demucs.pt"
            torch.save(reference.state_dict(), checkpoint)
        tell(f"loading {checkpoint} into Keras")
        lk.interop.load_state_dict(decoder, checkpoint, rename=DECODER_ONLY)
        state = {name: torch.from_numpy(array) for name, array in lk.interop.read_state_dict(checkpoint).items()}
    reference.load_state_dict({name: tensor for name, tensor in state.items() if name.startswith("tdecoder.")})
    if arguments.live:
        return print_live(decoder, arguments.output, by_name, SAMPLE_RATE)
    tell(f"exporting to {arguments.output} and verifying")
    lk.export.to_tflite(decoder, arguments.output)
    expected = run(skips, arguments.samples)
    return print_comparison(arguments.output, by_name, decoder(skips), expected, arguments.samples / SAMPLE_RATE)


if __name__ == "__main__":
    run(main)
