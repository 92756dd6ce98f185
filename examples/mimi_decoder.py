"""Mimi's decoder with its transformer in Keras, from a PyTorch checkpoint to a `.tflite` file, whole or live.

    python examples/mimi_decoder.py                      random weights, compared with transformers' model
    python examples/mimi_decoder.py --checkpoint FILE    your weights, the names of transformers or of kyutai/mimi
    python examples/mimi_decoder.py --live               frame by frame, for longer than the transformer's window
    python examples/mimi_decoder.py --live --quantization dynamic_int8

A frame is 80 ms. It becomes two positions, of which the transformer sees the last 250, ten seconds; a SEANet as
EnCodec's makes 960 samples of each. All of it is causal, so the live decode is the whole decode without a delay.

The layers have the names of `transformers.MimiModel(...).decoder`, so that its state dict loads as it is.

Source: A. Défossez et al., "Moshi: a speech-text foundation model for real-time dialogue", arXiv:2410.00037.
"""

import inspect
import os
import pathlib
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's notes would hide the results

import keras
import numpy as np
from comparison import parser_of, print_comparison, randomize, relative_error, run, tell
from live_decoder import LiveDecoder, decode_live

import lucid_keras as lk

SAMPLE_RATE = 24_000

# From a whole MimiModel's names, and those of kyutai/mimi, to those of its decoder.
DECODER_ONLY = {
    r"^(encoder|encoder_transformer|downsample|quantizer)\.": None,
    r"^decoder\.layers\.": "decoder_seanet.layers.",
    r"^decoder\.": "",
}


@keras.saving.register_keras_serializable(package="mimi")
class LayerScale(keras.layers.Layer):
    """`x * scale`, each channel of `[batch, length, channels]` by its own factor."""

    def build(self, shape):
        self.scale = self.add_weight(name="scale", shape=shape[-1:], initializer="ones")

    def call(self, x):
        return x * self.scale


def mimi_decoder(
    hidden_size=512,
    num_filters=64,
    upsampling_ratios=(8, 6, 5, 4),
    kernel_size=7,
    last_kernel_size=3,
    residual_kernel_size=3,
    compress=2,
    num_hidden_layers=8,
    num_attention_heads=8,
    num_key_value_heads=8,
    head_dim=64,
    intermediate_size=2048,
    sliding_window=250,
    rope_theta=10_000.0,
    norm_eps=1e-5,
    upsample_groups=512,
    latent_stride=2,
    length=None,
):
    """The decoder as a `keras.Model` of latents `[batch, frames, hidden_size]` to samples `[batch, samples, 1]`.

    The arguments are those of `transformers.MimiConfig`, whose defaults make the official model; `length` fixes the
    frames.
    """

    def upsampled(x, channels, stride, name, **options):
        options |= {"kernel_size": 2 * stride, "stride": stride, "data_format": "channels_last"}
        x = lk.ConvTranspose1d(x.shape[-1], channels, name=f"{name}.conv", **options)(x)
        return keras.layers.Cropping1D((0, stride))(x)  # what reaches past the last position

    def dense(x, units, name):
        return keras.layers.Dense(units, use_bias=False, name=name)(x)

    def attended(x, name):
        query = dense(x, num_attention_heads * head_dim, f"{name}.q_proj")
        key, value = (dense(x, num_key_value_heads * head_dim, f"{name}.{one}_proj") for one in "kv")
        attention = lk.WindowedAttention(
            num_attention_heads, sliding_window, num_key_value_heads, rope_theta, name=name
        )
        return dense(attention(query, key, value), hidden_size, f"{name}.o_proj")

    def fed_forward(x, name):
        x = keras.layers.Activation("gelu")(dense(x, intermediate_size, f"{name}.fc1"))
        return dense(x, hidden_size, f"{name}.fc2")

    def transformer_layer(x, name):
        for branch, part, norm in (
            (attended, "self_attn", "input_layernorm"),
            (fed_forward, "mlp", "post_attention_layernorm"),
        ):
            y = keras.layers.LayerNormalization(epsilon=norm_eps, name=f"{name}.{norm}")(x)
            x = x + LayerScale(name=f"{name}.{part}_layer_scale")(branch(y, f"{name}.{part}"))
        return x

    def causal_conv(x, filters, taps, name):
        return keras.layers.Conv1D(filters, taps, padding="causal", name=f"decoder_seanet.layers.{name}.conv")(x)

    latents = keras.Input((length, hidden_size), name="latents")
    x = upsampled(latents, hidden_size, latent_stride, "upsample", groups=upsample_groups, bias=False)
    for index in range(num_hidden_layers):
        x = transformer_layer(x, f"decoder_transformer.layers.{index}")
    channels = num_filters * 2 ** len(upsampling_ratios)
    x = causal_conv(x, channels, kernel_size, "0")
    for stage, stride in enumerate(upsampling_ratios):
        channels //= 2
        x = upsampled(keras.layers.ELU()(x), channels, stride, f"decoder_seanet.layers.{3 * stage + 2}")
        block = f"{3 * stage + 3}.block"
        y = causal_conv(keras.layers.ELU()(x), channels // compress, residual_kernel_size, f"{block}.1")
        x = x + causal_conv(keras.layers.ELU()(y), channels, 1, f"{block}.3")
    last = f"{3 * len(upsampling_ratios) + 2}"
    return keras.Model(latents, causal_conv(keras.layers.ELU()(x), 1, last_kernel_size, last), name="mimi_decoder")


def options_of(config):
    """The arguments of `mimi_decoder` for a `transformers.MimiConfig`."""
    known = inspect.signature(mimi_decoder).parameters
    options = {name: getattr(config, name) for name in known if hasattr(config, name)}
    return options | {"rope_theta": config.rope_parameters["rope_theta"]}


def reference_model(checkpoint=None, **configuration):
    """transformers' decoder of Mimi, with the weights of a checkpoint or random ones."""
    import torch
    import transformers

    torch.manual_seed(0)
    model = transformers.MimiModel(transformers.MimiConfig(**configuration)).eval().decoder
    if checkpoint is not None:
        decoder = mimi_decoder(**options_of(model.config))
        lk.interop.load_state_dict(decoder, checkpoint, rename=DECODER_ONLY)
        state = lk.interop.to_state_dict(decoder)
        model.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})
        return model
    randomize(model)
    with torch.no_grad():
        for name, parameter in model.decoder_transformer.named_parameters():
            if name.endswith("_proj.weight") or ".fc" in name:
                parameter.normal_(std=parameter.shape[1] ** -0.5)
            elif name.endswith(".scale"):  # which begins at 0.01, with which the transformer would hardly count
                parameter.uniform_(0.1, 0.5)
    return model


def show_live(decoder, path, quantization, latents, whole):
    """Write the streaming file, decode the latents frame by frame and print how near that is, and how long it took."""
    streaming = lk.StreamingModel(decoder, pointwise=[LayerScale])
    report = lk.export.streaming_to_tflite(streaming, path, quantization=quantization)
    tell(f"decoding {latents.shape[1]} frames, one by one")
    samples, seconds = decode_live(LiveDecoder(report.path), latents)
    numbers = {
        "live_error": float(relative_error(samples, whole)),
        "live_snr_db": lk.export.snr_db(whole, samples),
        "bytes": report.bytes,
        "frame_milliseconds": 1e3 * samples.shape[1] / latents.shape[1] / SAMPLE_RATE,
        "p50_milliseconds": 1e3 * float(np.percentile(seconds, 50)),
        "p99_milliseconds": 1e3 * float(np.percentile(seconds, 99)),
    }
    print(
        f"live against the whole decode:  relative error {numbers['live_error']:.1e}, "
        f"SNR {numbers['live_snr_db']:.1f} dB, {latents.shape[1]} frames"
    )
    print(f"{path}: {numbers['bytes'] / 1e6:.1f} MB")
    print(
        f"each frame of {numbers['frame_milliseconds']:.0f} ms:           "
        f"{numbers['p50_milliseconds']:.1f} ms (p50), {numbers['p99_milliseconds']:.1f} ms (p99), 1 thread"
    )
    return numbers


def main(argv=None):
    """Run the command; what it printed is returned."""
    parser = parser_of(__doc__)
    parser.add_argument("--checkpoint", help="a checkpoint with the names of transformers.MimiModel, or kyutai/mimi's")
    parser.add_argument("--live", action="store_true", help="write a streaming file and decode frame by frame")
    parser.add_argument(
        "--seconds", type=float, help="of audio in a call of the file (default: 1), or live (default: 14)"
    )
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("mimi_decoder.tflite"))
    parser.add_argument("--quantization", default="float32", choices=["float32", "float16", "dynamic_int8"])
    arguments = parser.parse_args(argv)

    import torch

    tell("building transformers' model and loading it into Keras")
    reference = reference_model(arguments.checkpoint)
    decoder = mimi_decoder(**options_of(reference.config))
    with tempfile.TemporaryDirectory() as directory:
        checkpoint = pathlib.Path(directory) / "mimi.pt"
        torch.save(reference.state_dict(), checkpoint)
        lk.interop.load_state_dict(decoder, checkpoint)
    seconds = arguments.seconds or (14 if arguments.live else 1)
    frames = round(seconds * SAMPLE_RATE / reference.config.frame_size)
    latents = np.random.default_rng(0).standard_normal((1, frames, reference.config.hidden_size)).astype("float32")
    whole = decoder.predict(latents, verbose=0)  # in a graph, which keeps no more than it needs
    with torch.no_grad():
        expected = reference(torch.from_numpy(latents).mT).audio_values.mT.numpy()
    tell(f"exporting to {arguments.output} and verifying")
    if arguments.live:
        print(f"Keras against the reference:    relative error {relative_error(whole, expected):.1e}")
        return show_live(decoder, arguments.output, arguments.quantization, latents, whole)
    options = {"quantization": arguments.quantization, "verification_data": latents}
    lk.export.to_tflite(decoder, arguments.output, length=frames, **options)
    return print_comparison(arguments.output, latents, whole, expected, expected.shape[1] / SAMPLE_RATE)


if __name__ == "__main__":
    run(main)
