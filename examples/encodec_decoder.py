"""EnCodec's 24 kHz decoder in Keras, from a PyTorch checkpoint to a `.tflite` file.

    python examples/encodec_decoder.py                            random weights, compared with transformers' model
    python examples/encodec_decoder.py --checkpoint FILE          your weights, transformers' names
    python examples/encodec_decoder.py --audio speech_24k.wav     on the latents of a recording
    python examples/encodec_decoder.py --quantization int8 --audio speech_24k.wav
    python examples/encodec_decoder.py --live --seconds 4         frame by frame, with zeros before the first

The layers have the names of `transformers.EncodecModel(...).decoder`, so that its state dict loads as it is. The model
works on `[batch, length, channels]`, the layout that TensorFlow and LiteRT compute in.

What precedes the first frame the trained model mirrors, from frames that a live decoder has yet to hear. Live there are
zeros instead, without latency; what that changes is printed second by second.

Source: A. Défossez et al., "High Fidelity Neural Audio Compression", arXiv:2210.13438.
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
from lucid_keras.runtimes import recording_of

SAMPLE_RATE = 24_000

# From a whole EncodecModel's names to those of its decoder.
DECODER_ONLY = {r"^(encoder|quantizer)\.": None, r"^decoder\.": ""}


@keras.saving.register_keras_serializable(package="encodec")
class ReflectBefore(keras.layers.Layer):
    """`count` positions before the first, mirrored at it; where the input is too short for that, zeros after it first.

    Single slices side by side, at most four at a time: LiteRT's XNNPACK delegate runs those, and not MIRROR_PAD.
    """

    def __init__(self, count, **kwargs):
        super().__init__(**kwargs)
        self.count = count

    def call(self, x):
        batch, length, channels = x.shape
        ahead = x
        if length is None or length <= self.count:
            ahead = tf.pad(x[:, : self.count + 1], [[0, 0], [0, self.count], [0, 0]])
        one = [-1 if batch is None else batch, 1, channels]
        mirrored = [tf.slice(ahead, [0, index, 0], one) for index in range(self.count, 0, -1)]
        return tf.concat([_side_by_side(mirrored, axis=1), x], axis=1)

    def compute_output_shape(self, shape):
        batch, length, channels = shape
        return (batch, None if length is None else length + self.count, channels)

    def get_config(self):
        return {**super().get_config(), "count": self.count}


@keras.saving.register_keras_serializable(package="encodec")
class ResidualLSTM(keras.layers.Layer):
    """PyTorch's LSTM of several layers, added to its input, on `[batch, length, channels]`.

    The variables have PyTorch's names and shapes. What the gates take from the input is one matrix product for all
    positions; the loop holds one product with the state and nothing else that could be outside of it. With `unroll`
    there is no loop, for a length that is known: the file's quantizer cannot see into loops, but LiteRT keeps the
    matrix once for each position, which in float32 is hundreds of megabytes for a second of audio.
    """

    def __init__(self, num_layers, unroll=False, **kwargs):
        super().__init__(**kwargs)
        self.num_layers = num_layers
        self.unroll = unroll

    def build(self, shape):
        units = shape[-1]
        for layer in range(self.num_layers):
            for name, of in (("weight_ih", (units,)), ("weight_hh", (units,)), ("bias_ih", ()), ("bias_hh", ())):
                name = f"{name}_l{layer}"
                initializer = "glorot_uniform" if of else "zeros"
                setattr(self, name, self.add_weight(name=name, shape=(4 * units, *of), initializer=initializer))

    def call(self, x, training=False):
        known, at_run_time = x.shape, tf.shape(x)
        batch, length, units = (at_run_time[axis] if extent is None else extent for axis, extent in enumerate(known))
        y = tf.transpose(x, [1, 0, 2])
        for layer in range(self.num_layers):
            of_input, of_state, bias, more_bias = (
                tf.convert_to_tensor(getattr(self, f"{name}_l{layer}"))
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            from_input = tf.matmul(tf.reshape(y, [length * batch, units]), of_input, transpose_b=True)
            from_input = tf.reshape(from_input + (bias + more_bias), [length, batch, 4 * units])
            most = length if training else None  # steps: XLA differentiates no loop that has no end
            y = _recurrence(from_input, of_state, length, batch, units, self.unroll, most)
        return x + tf.transpose(y, [1, 0, 2])

    def compute_output_shape(self, shape):
        return shape

    def streaming_stage(self):
        """What it is in a live decoder."""
        return LiveLSTM(self)

    def get_config(self):
        return {**super().get_config(), "num_layers": self.num_layers, "unroll": self.unroll}


def _recurrence(from_input, of_state, length, batch, units, unroll, most=None):
    """The states `[length, batch, units]` of an LSTM whose gates get `from_input [length, batch, 4*units]`."""

    def step(t, state, cell):
        gates = tf.slice(from_input, [t, 0, 0], [1, batch, 4 * units])
        gates = tf.reshape(gates, [batch, 4 * units]) + tf.matmul(state, of_state, transpose_b=True)
        return _advanced(gates, cell, batch, units)

    state = cell = tf.zeros([batch, units], from_input.dtype)
    if not unroll:
        store = tf.TensorArray(from_input.dtype, length, element_shape=[None if tf.is_tensor(batch) else batch, units])

        def step_and_store(t, state, cell, states):
            state, cell = step(t, state, cell)
            return t + 1, state, cell, states.write(t, state)

        begun = [0, state, cell, store]
        return tf.while_loop(lambda t, *_: t < length, step_and_store, begun, maximum_iterations=most)[3].stack()
    states = []
    for t in range(length):
        state, cell = step(t, state, cell)
        states.append(tf.reshape(state, [1, batch, units]))
    return _side_by_side(states, axis=0)


def _advanced(gates, cell, batch, units):
    """The next state and cell."""
    entry, forget, new, output = (tf.slice(gates, [0, gate * units], [batch, units]) for gate in range(4))
    cell = tf.sigmoid(forget) * cell + tf.sigmoid(entry) * tf.tanh(new)
    return tf.sigmoid(output) * tf.tanh(cell), cell


class LiveLSTM(lk.Stage):
    """A `ResidualLSTM` from chunk to chunk, position by position: its states, zeros until the signal begins."""

    needs_presence = True

    def __init__(self, layer):
        self.layer, self.units = layer, layer.weight_hh_l0.shape[1]
        kinds = [f"{kind}_l{index}" for index in range(layer.num_layers) for kind in ("state", "cell")]
        self.state_shapes = dict.fromkeys(kinds, (self.units,))

    def step(self, x, states, moment):
        states, outputs, present = dict(states), [], moment.there(x)
        batch = -1 if x.shape[0] is None else x.shape[0]
        for t in range(x.shape[1]):
            here = tf.slice(x, [0, t, 0], [batch, 1, self.units])
            there = tf.reshape(tf.slice(present, [0, t, 0], [batch, 1, 1]), [-1, 1])
            y = tf.reshape(here, [-1, self.units])
            for index in range(self.layer.num_layers):
                of_input, of_state, bias, more_bias = (
                    tf.convert_to_tensor(getattr(self.layer, f"{name}_l{index}"))
                    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
                )
                gates = tf.matmul(y, of_input, transpose_b=True) + (bias + more_bias)
                gates += tf.matmul(states[f"state_l{index}"], of_state, transpose_b=True)
                state, cell = _advanced(gates, states[f"cell_l{index}"], batch, self.units)
                y = there * state
                states |= {f"state_l{index}": y, f"cell_l{index}": there * cell}
            outputs.append(here + tf.reshape(y, [-1, 1, self.units]))
        return _side_by_side(outputs, axis=1), states


def _side_by_side(pieces, axis):
    """A concatenation of at most four at a time, which is what LiteRT's XNNPACK delegate runs."""
    while len(pieces) > 1:
        pieces = [tf.concat(pieces[first : first + 4], axis) for first in range(0, len(pieces), 4)]
    return pieces[0]


@keras.saving.register_keras_serializable(package="encodec")
class Trim(keras.layers.Layer):
    """Leaves out the last `count` positions."""

    def __init__(self, count, **kwargs):
        super().__init__(**kwargs)
        self.count = count

    def call(self, x):
        batch, length, channels = x.shape
        if length is None:
            return x[:, : -self.count]
        return tf.slice(x, [0, 0, 0], [-1 if batch is None else batch, length - self.count, channels])

    def compute_output_shape(self, shape):
        batch, length, channels = shape
        return (batch, None if length is None else length - self.count, channels)

    def streaming_graph(self, x):
        """What it is in a live decoder."""
        return keras.layers.Cropping1D((0, self.count))(x)

    def get_config(self):
        return {**super().get_config(), "count": self.count}


def encodec_decoder(
    hidden_size=128,
    num_filters=32,
    upsampling_ratios=(8, 5, 4, 2),
    audio_channels=1,
    kernel_size=7,
    last_kernel_size=7,
    residual_kernel_size=3,
    dilation_growth_rate=2,
    num_residual_layers=1,
    num_lstm_layers=2,
    compress=2,
    length=None,
    padding="reflect",
):
    """The SEANet decoder, causal, as a `keras.Model` of `[batch, frames, hidden_size]` to `[batch, samples, 1]`.

    The arguments are those of `transformers.EncodecConfig`; the defaults make the 24 kHz model. `length` fixes the
    frames and unrolls the LSTM over them, for an export in int8. `padding="zeros"` makes the live one.
    """

    def causal_conv(x, filters, taps, name, dilation=1):
        if taps > 1 and padding == "reflect":
            x = ReflectBefore((taps - 1) * dilation)(x)
        before = "valid" if padding == "reflect" else "causal"
        return keras.layers.Conv1D(filters, taps, dilation_rate=dilation, padding=before, name=f"{name}.conv")(x)

    def residual_block(x, channels, dilation, name):
        y = keras.layers.ELU()(x)
        y = causal_conv(y, channels // compress, residual_kernel_size, f"{name}.block.1", dilation)
        y = keras.layers.ELU()(y)
        y = causal_conv(y, channels, 1, f"{name}.block.3")
        return causal_conv(x, channels, 1, f"{name}.shortcut") + y

    channels = num_filters * 2 ** len(upsampling_ratios)
    latents = keras.Input((length, hidden_size))
    x = causal_conv(latents, channels, kernel_size, "layers.0")
    x = ResidualLSTM(num_lstm_layers, unroll=length is not None, name="layers.1.lstm")(x)
    index = 2
    for ratio in upsampling_ratios:
        x = keras.layers.ELU()(x)
        x = lk.ConvTranspose1d(
            channels,
            channels // 2,
            kernel_size=2 * ratio,
            stride=ratio,
            data_format="channels_last",
            name=f"layers.{index + 1}.conv",
        )(x)
        x = Trim(ratio)(x)
        channels //= 2
        index += 2
        for layer in range(num_residual_layers):
            x = residual_block(x, channels, dilation_growth_rate**layer, f"layers.{index}")
            index += 1
    x = keras.layers.ELU()(x)
    samples = causal_conv(x, audio_channels, last_kernel_size, f"layers.{index + 1}")
    return keras.Model(latents, samples, name="encodec_decoder")


def reference_model(checkpoint=None, **configuration):
    """transformers' EncodecModel, with the weights of a checkpoint or random ones."""
    import torch
    import transformers

    torch.manual_seed(0)
    model = transformers.EncodecModel(transformers.EncodecConfig(**configuration)).eval()
    if checkpoint is None:
        randomize(model)
    else:
        state = {name: torch.from_numpy(array) for name, array in lk.interop.read_state_dict(checkpoint).items()}
        model.load_state_dict(state)
    return model


def latents_of(model, seconds, audio=None):
    """`[1, frames, hidden_size]`: the encoder's output for a recording, or normal random numbers."""
    import torch

    if audio is None:
        frames = round(seconds * model.config.frame_rate)
        return np.random.default_rng(0).standard_normal((1, frames, model.config.hidden_size)).astype("float32")
    samples, rate = recording_of(pathlib.Path(audio).read_bytes())
    if rate != SAMPLE_RATE:
        raise ValueError(f"the recording must be at {SAMPLE_RATE} Hz. Received: {audio} at {rate} Hz")
    with torch.no_grad():
        wave = torch.from_numpy(samples[: round(seconds * rate), :1].T.copy())[None]
        return model.encoder(wave).mT.numpy()


def print_zeros_effect(zeros, reflect):
    """Print how near the decode with zeros before the first frame is to the trained one, second by second."""
    for first in range(0, reflect.shape[1], SAMPLE_RATE):
        a_second = slice(first, first + SAMPLE_RATE)
        decibels = lk.export.snr_db(reflect[:, a_second], zeros[:, a_second])
        print(f"zeros against the trained model's padding, from second {first // SAMPLE_RATE}: SNR {decibels:.1f} dB")


def main(argv=None):
    """Run the command; what it printed is returned."""
    parser = parser_of(__doc__)
    parser.add_argument("--checkpoint", help="a checkpoint with the names of transformers.EncodecModel")
    parser.add_argument("--audio", help="a recording at 24 kHz whose latents are decoded; best 10 seconds for int8")
    parser.add_argument("--seconds", type=float, default=1.0, help="of audio in a call of the file (default: 1)")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("encodec_decoder.tflite"))
    parser.add_argument("--quantization", default="float32", help="as for lucid_keras.export.to_tflite")
    add_live(parser)
    arguments = parser.parse_args(argv)

    import torch

    tell("building transformers' model")
    reference = reference_model(arguments.checkpoint)
    calibrated = arguments.quantization in ("int8", "int16x8")
    # A calibrated export takes the first call's worth to verify on, and what follows to calibrate on.
    calls = 11 if calibrated else 1
    latents = latents_of(reference, calls * arguments.seconds, arguments.audio)
    frames = min(round(arguments.seconds * reference.config.frame_rate), latents.shape[1] // (1 + calibrated))
    latents, following = latents[:, :frames], latents[:, frames:]
    with tempfile.TemporaryDirectory() as directory:
        checkpoint = arguments.checkpoint
        if checkpoint is None:
            checkpoint = pathlib.Path(directory) / "encodec.pt"
            torch.save(reference.state_dict(), checkpoint)
        tell(f"loading {checkpoint} into Keras")
        decoder = encodec_decoder(length=frames if calibrated else None)
        lk.interop.load_state_dict(decoder, checkpoint, rename=DECODER_ONLY)
    if arguments.live:
        live = encodec_decoder(padding="zeros")
        live.set_weights(decoder.get_weights())
        numbers = print_live(live, arguments.output, latents, SAMPLE_RATE)
        print_zeros_effect(live.predict(latents, verbose=0), decoder.predict(latents, verbose=0))
        return numbers
    with torch.no_grad():
        expected = reference.decoder(torch.from_numpy(latents).mT).mT.numpy()
    options = {"verification_data": latents}
    if calibrated:
        windows = following.shape[1] // frames
        options["calibration_data"] = following[:, : windows * frames].reshape(windows, frames, -1)
    tell(f"exporting to {arguments.output} and verifying")
    length = None if calibrated else frames  # which the unrolled decoder has fixed
    lk.export.to_tflite(decoder, arguments.output, length=length, quantization=arguments.quantization, **options)
    return print_comparison(arguments.output, latents, decoder(latents), expected, expected.shape[1] / SAMPLE_RATE)


if __name__ == "__main__":
    run(main)
