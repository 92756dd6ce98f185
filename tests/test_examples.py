"""The examples' decoders against the libraries' own models: saved to a file, read, loaded, computed, compared."""

import re
import sys

import bigvgan_generator
import demucs_decoder
import encodec_decoder
import from_torch
import hifigan_generator
import keras
import mimi_decoder
import numpy as np
import pytest
import soundfile
import torch
import train_audio_autoencoder
import vocos_decoder
from comparison import print_live, relative_error, run
from safetensors.torch import save_file
from small_examples import BIGVGAN, DEMUCS, ENCODEC, HIFIGAN, MIMI, VOCOS
from tolerances import MODEL_PARITY, SNR_FLOOR

from lucid_keras.export import to_tflite
from lucid_keras.export.flatbuffer import read
from lucid_keras.interop import load_state_dict, to_state_dict


def test_the_examples_keep_triton_out_of_tensorflows_process(tmp_path, monkeypatch):
    """As if it were installed: after TensorFlow it would end the process."""
    (tmp_path / "triton.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError):
        import triton  # noqa: F401


def test_the_official_encodec_from_a_file(tmp_path, rng):
    reference, decoder = encodec_decoder.reference_model(), encodec_decoder.encodec_decoder()
    save_file(reference.state_dict(), tmp_path / "encodec.safetensors")
    report = load_state_dict(decoder, tmp_path / "encodec.safetensors", rename=encodec_decoder.DECODER_ONLY)
    assert (report.missing, report.unexpected) == ((), ())
    latents = rng.standard_normal((1, 25, 128)).astype("float32")
    with torch.no_grad():
        expected = reference.decoder(torch.from_numpy(latents).mT).mT.numpy()
    assert expected.shape == (1, 320 * 25, 1)
    assert relative_error(decoder.predict(latents, verbose=0), expected) < MODEL_PARITY


@pytest.mark.parametrize("frames", [1, 2, 6, 7, 20])  # up to 6 there is less to mirror than the convolution needs
def test_encodec_of_any_length_and_configuration(frames, tmp_path, rng):
    options = ENCODEC | {"residual_kernel_size": 5, "num_lstm_layers": 1, "audio_channels": 2}
    options |= {"num_residual_layers": 2}
    reference = encodec_decoder.reference_model(**options)
    decoder = encodec_decoder.encodec_decoder(**options)
    torch.save({"state_dict": reference.decoder.state_dict()}, tmp_path / "decoder.ckpt")
    load_state_dict(decoder, tmp_path / "decoder.ckpt")
    latents = rng.standard_normal((2, frames, 6)).astype("float32")
    with torch.no_grad():
        expected = reference.decoder(torch.from_numpy(latents).mT).mT.numpy()
    assert relative_error(decoder(latents), expected) < MODEL_PARITY


def test_encodec_live(small_encodec, tmp_path, rng, capsys):
    live = encodec_decoder.encodec_decoder(**ENCODEC, padding="zeros")
    load_state_dict(live, to_state_dict(small_encodec))
    latents = rng.standard_normal((1, 40, 6)).astype("float32")
    numbers = print_live(live, tmp_path / "live.tflite", latents, 24_000)
    assert numbers["file_error"] < MODEL_PARITY
    assert numbers["outside"] == 0
    assert numbers["latency"] == 0
    # What the two make of what precedes the first frame is forgotten but by the LSTM, whose memory fades.
    zeros, reflect = live(latents).numpy(), small_encodec(latents).numpy()
    assert relative_error(zeros[:, :6], reflect[:, :6]) > 0.01
    assert relative_error(zeros[:, -60:], reflect[:, -60:]) < 0.001
    encodec_decoder.print_zeros_effect(zeros, reflect)
    assert "from second 0: SNR" in capsys.readouterr().out


@pytest.fixture
def small_encodec():
    return encodec_decoder.encodec_decoder(**ENCODEC)


def test_encodec_unrolled(small_encodec, rng):
    unrolled = encodec_decoder.encodec_decoder(**ENCODEC, length=9)
    load_state_dict(unrolled, to_state_dict(small_encodec))
    latents = rng.standard_normal((2, 9, 6)).astype("float32")
    assert relative_error(unrolled(latents), small_encodec(latents)) < MODEL_PARITY


@pytest.mark.parametrize("quantization", ["dynamic_int8", "weight_only_int8"])
def test_encodec_with_its_loop_in_int8(quantization, tmp_path):
    """The weights in the loop are quantized with the others."""
    decoder = encodec_decoder.encodec_decoder(num_filters=16, upsampling_ratios=(2,), hidden_size=8)
    report = to_tflite(decoder, tmp_path / "d.tflite", length=9, quantization=quantization, timing_seconds=0)
    assert report.ops.count("WHILE") == 2
    in_loops = [one for one in read(tmp_path / "d.tflite").tensors if one.shape == (128, 32) and one.constant]
    assert {one.dtype for one in in_loops} == {"int8"}


def test_encodec_goes_back_to_pytorch(small_encodec):
    state = {name: torch.from_numpy(array) for name, array in to_state_dict(small_encodec).items()}
    plain = encodec_decoder.reference_model(**ENCODEC).decoder
    for module in plain.modules():
        if torch.nn.utils.parametrize.is_parametrized(module):
            torch.nn.utils.parametrize.remove_parametrizations(module, "weight")
    plain.load_state_dict(state, strict=True)


def test_encodec_is_saved_by_keras(small_encodec, tmp_path):
    small_encodec.save(tmp_path / "decoder.keras")
    again = keras.saving.load_model(tmp_path / "decoder.keras")
    latents = np.ones((1, 3, 6), "float32")
    np.testing.assert_array_equal(again(latents), small_encodec(latents))


def _small(preset):
    return {**hifigan_generator.PRESETS[preset], "upsample_initial_channel": 32}


@pytest.mark.parametrize("preset", ["v1", "v2", "speecht5"])
def test_hifigan_from_a_file(preset, tmp_path, rng, monkeypatch):
    monkeypatch.setitem(hifigan_generator.PRESETS, preset, _small(preset))
    reference = hifigan_generator.reference_model(preset)
    options = hifigan_generator.PRESETS[preset]
    generator = hifigan_generator.hifigan_generator(**options)
    torch.save({"generator": reference.state_dict()}, tmp_path / "g.pt")
    load_state_dict(generator, tmp_path / "g.pt", rename=hifigan_generator.to_layers(**options))
    log_mel = rng.normal(-4, 2, (2, 9, 80)).astype("float32")
    with torch.no_grad():
        expected = reference(torch.from_numpy(log_mel)).numpy()[..., None]
    assert relative_error(generator(log_mel), expected) < MODEL_PARITY


@pytest.mark.parametrize("preset", ["v1", "speecht5"])
def test_hifigan_live(preset, tmp_path, monkeypatch):
    monkeypatch.setitem(hifigan_generator.PRESETS, preset, hifigan_generator.PRESETS[preset] | HIFIGAN)
    arguments = ["--preset", preset, "--seconds", "0.02", "--live", "--output", str(tmp_path / "live.tflite")]
    numbers = hifigan_generator.main(arguments)
    assert numbers["file_error"] < MODEL_PARITY
    assert numbers["outside"] == 0
    assert numbers["latency"] == (3 * 4 + 2 + 6) * 2 + (1 + 6) + 3  # half of each kernel, in samples


class AuthorsV3(torch.nn.Module):
    """HiFi-GAN V3 with the authors' names, weight norm in the old spelling."""

    def __init__(self, channels=32):
        super().__init__()
        norm, nn = torch.nn.utils.weight_norm, torch.nn
        self.conv_pre = norm(nn.Conv1d(80, channels, 7, padding=3))
        self.ups, self.resblocks = nn.ModuleList(), nn.ModuleList()
        for rate, taps in ((8, 16), (8, 16), (4, 8)):
            self.ups.append(norm(nn.ConvTranspose1d(channels, channels // 2, taps, rate, (taps - rate) // 2)))
            channels //= 2
            for taps, dilations in ((3, (1, 2)), (5, (2, 6)), (7, (3, 12))):
                convs = [norm(nn.Conv1d(channels, channels, taps, dilation=d, padding="same")) for d in dilations]
                self.resblocks.append(nn.ModuleDict({"convs": nn.ModuleList(convs)}))
        self.conv_post = norm(nn.Conv1d(channels, 1, 7, padding=3))

    def forward(self, x):
        leaky = torch.nn.functional.leaky_relu
        x = self.conv_pre(x.mT)
        for stage, up in enumerate(self.ups):
            x = up(leaky(x, 0.1))
            outputs = []
            for block in self.resblocks[3 * stage : 3 * stage + 3]:
                y = x
                for conv in block["convs"]:
                    y = y + conv(leaky(y, 0.1))
                outputs.append(y)
            x = sum(outputs) / 3
        return torch.tanh(self.conv_post(leaky(x))).mT


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated:FutureWarning")
def test_hifigan_v3_with_the_authors_names(tmp_path, rng):
    torch.manual_seed(0)
    reference = AuthorsV3().eval()
    with torch.no_grad():
        for parameter in reference.parameters():
            parameter.mul_(2)
    torch.save({"generator": reference.state_dict()}, tmp_path / "g_02500000.pth")
    generator = hifigan_generator.hifigan_generator(**_small("v3"))
    load_state_dict(generator, tmp_path / "g_02500000.pth", rename=hifigan_generator.to_layers())
    log_mel = rng.normal(-4, 2, (1, 9, 80)).astype("float32")
    with torch.no_grad():
        expected = reference(torch.from_numpy(log_mel)).numpy()
    assert relative_error(generator(log_mel), expected) < MODEL_PARITY


def test_bigvgan_from_a_file(tmp_path, rng):
    options = {"upsample_initial_channel": 32, "upsample_rates": (5, 2), "upsample_kernel_sizes": (11, 4)}
    reference = bigvgan_generator.reference_model(**options)
    generator = bigvgan_generator.bigvgan_generator(**options)
    filters = {"resblocks.0.activations.0.upsample.filter": torch.ones(1, 1, 12)}
    torch.save({"generator": reference.state_dict() | filters}, tmp_path / "g.pt")
    load_state_dict(generator, tmp_path / "g.pt", rename=bigvgan_generator.WITHOUT_FILTERS)
    log_mel = torch.from_numpy(rng.normal(-4, 2, (1, 9, 80)).astype("float32"))
    with torch.no_grad():
        mel = reference.process_mel_spectrogram(log_mel).numpy()
        expected = reference(log_mel.mT).numpy()[np.newaxis, :, np.newaxis]
    assert np.abs(expected).max() < 1  # or the final clipping would hide what is before it
    assert relative_error(generator(mel), expected) < MODEL_PARITY


@pytest.mark.sweep
def test_bigvgan_live(tmp_path, rng):
    reference, generator = bigvgan_generator.reference_model(**BIGVGAN), bigvgan_generator.bigvgan_generator(**BIGVGAN)
    torch.save(reference.state_dict(), tmp_path / "g.pt")
    load_state_dict(generator, tmp_path / "g.pt")
    mel = rng.uniform(-1, 1, (1, 13, 80)).astype("float32")
    numbers = print_live(generator, tmp_path / "live.tflite", mel, 24_000)
    assert numbers["file_error"] < MODEL_PARITY
    block = 6 * 6 + (1 + 1) + (1 + 1) + (3 + 1)  # each activation looks 6 positions ahead
    assert numbers["outside"] == 0
    assert numbers["latency"] == (3 * 3 + 1 + block) * 2 + (1 + block) + 6 + 3


@pytest.mark.parametrize("samples", [1024, 1021, 999])
def test_demucs_from_a_file(samples, tmp_path, rng):
    options = {"channels": 4, "depth": 4, "out_channels": 2}
    decoder = demucs_decoder.demucs_decoder(samples, **options)
    reference, run = demucs_decoder.reference_model(**options)
    save_file(reference.state_dict() | {"decoder.0.rewrite.bias": torch.ones(3)}, tmp_path / "m.safetensors")
    load_state_dict(decoder, tmp_path / "m.safetensors", rename=demucs_decoder.DECODER_ONLY)
    skips = [rng.standard_normal((2, *skip.shape[1:])).astype("float32") for skip in decoder.inputs]
    expected = run(skips, samples)
    assert expected.shape == (2, samples, 2)
    assert relative_error(decoder(skips), expected) < MODEL_PARITY


def test_demucs_live(tmp_path, rng):
    decoder, live = (demucs_decoder.demucs_decoder(samples, **DEMUCS) for samples in (640, None))
    load_state_dict(live, to_state_dict(decoder))
    skips = [rng.standard_normal((1, *skip.shape[1:])).astype("float32") for skip in decoder.inputs]
    frames = [skip.reshape(1, 10, -1) for skip in skips]
    assert relative_error(live(frames), decoder(skips)) < MODEL_PARITY
    by_name = {tensor.name: array for tensor, array in zip(live.inputs, frames, strict=True)}
    numbers = print_live(live, tmp_path / "live.tflite", by_name, 44_100)
    assert numbers["file_error"] < MODEL_PARITY
    # Of each level half of the convolution, a position, and the transposed one's padding, half a position.
    assert numbers["outside"] == 0
    assert numbers["latency"] == 1.5 * (4**3 + 4**2 + 4)


@pytest.mark.parametrize("samples", [1024, 999])
def test_demucs_against_the_authors_package(samples, tmp_path, rng):
    """HTDemucs's decoder layers as the `demucs` package itself builds them, where it is installed."""
    hdemucs = pytest.importorskip("demucs.hdemucs", reason="pip install demucs")
    widths = [2, 4, 8, 16, 32]  # of the output, and of each level
    layers = torch.nn.ModuleList(
        hdemucs.HDecLayer(widths[level + 1], widths[level], last=level == 0, norm=False, freq=False, dconv=False)
        for level in reversed(range(4))
    )
    save_file(torch.nn.ModuleDict({"tdecoder": layers}).state_dict(), tmp_path / "m.safetensors")
    decoder = demucs_decoder.demucs_decoder(samples, channels=4, depth=4, out_channels=2)
    load_state_dict(decoder, tmp_path / "m.safetensors", rename=demucs_decoder.DECODER_ONLY)
    skips = [rng.standard_normal((2, *skip.shape[1:])).astype("float32") for skip in decoder.inputs]
    expected = torch.zeros(())
    with torch.no_grad():
        for layer, skip, length in zip(layers, skips, demucs_decoder.lengths(samples, 4)[-2::-1], strict=True):
            expected, _ = layer(expected, torch.from_numpy(skip).mT, length)
    assert relative_error(decoder(skips), expected.mT.numpy()) < MODEL_PARITY


@pytest.mark.parametrize("names", ["transformers", "kyutai/mimi"])
def test_mimi_for_longer_than_its_window(names, tmp_path, rng):
    reference = mimi_decoder.reference_model(**MIMI)
    prefixes = {"decoder_seanet.": "decoder."} if names == "kyutai/mimi" else {"": "decoder."}
    state = {}
    for name, tensor in reference.state_dict().items():
        old = next((old for old in prefixes if name.startswith(old)), None)
        state[name if old is None else prefixes[old] + name.removeprefix(old)] = tensor
    save_file(state | {"encoder_transformer.layers.0.mlp.fc1.weight": torch.zeros(2)}, tmp_path / "mimi.safetensors")
    decoder = mimi_decoder.mimi_decoder(**mimi_decoder.options_of(reference.config))
    report = load_state_dict(decoder, tmp_path / "mimi.safetensors", rename=mimi_decoder.DECODER_ONLY)
    assert (report.missing, report.unexpected) == ((), ())
    latents = rng.standard_normal((2, 30, 16)).astype("float32")
    with torch.no_grad():
        expected = reference(torch.from_numpy(latents).mT).audio_values.mT.numpy()
    assert relative_error(decoder(latents), expected) < MODEL_PARITY
    again = mimi_decoder.reference_model(tmp_path / "mimi.safetensors", **MIMI)
    with torch.no_grad():
        np.testing.assert_array_equal(again(torch.from_numpy(latents).mT).audio_values.mT, expected)


def test_mimi_live_is_mimi_whole(rng, tmp_path):
    decoder = mimi_decoder.mimi_decoder(**MIMI, head_dim=4)
    latents = rng.standard_normal((1, 30, 16)).astype("float32")
    numbers = mimi_decoder.show_live(decoder, tmp_path / "live.tflite", "float32", latents, decoder(latents))
    assert numbers["live_error"] < MODEL_PARITY
    assert numbers["live_snr_db"] > SNR_FLOOR["float32"]


def test_vocos_live(tmp_path, rng):
    """Against PyTorch, and live against the whole: what looks ahead are 3 frames of each convolution of 7."""
    reference, decoder = vocos_decoder.reference_model(VOCOS), vocos_decoder.vocos(VOCOS)
    torch.save(reference.state_dict(), tmp_path / "v.pt")
    report = load_state_dict(decoder, tmp_path / "v.pt", rename=vocos_decoder.TO_LAYERS)
    assert (report.missing, report.unexpected) == ((), ())
    log_mel = rng.standard_normal((1, 20, 5)).astype("float32")
    with torch.no_grad():
        expected = reference(torch.from_numpy(log_mel).mT).numpy()
    assert relative_error(decoder(log_mel), expected) < MODEL_PARITY
    numbers = print_live(decoder, tmp_path / "live.tflite", log_mel, 24_000, pointwise=[vocos_decoder.Scale])
    assert numbers["file_error"] < MODEL_PARITY
    assert numbers["outside"] == 0
    assert numbers["latency"] == 3 * 3 * 4 + 16 // 2


def test_the_autoencoder_learns(rng):
    recording = np.sin(np.arange(20_000) * 0.05).astype("float32")
    model = train_audio_autoencoder.autoencoder()
    excerpt = recording[np.newaxis, : train_audio_autoencoder.CROP, np.newaxis]
    assert model(excerpt).shape == excerpt.shape
    train_audio_autoencoder.train(model, recording, seconds=0.01)  # one round of steps, however slow the machine
    assert np.square(model(excerpt) - excerpt).mean() < np.square(excerpt).mean()


COMMANDS = {
    "encodec": (encodec_decoder, ["--seconds", "0.1"]),
    "hifigan_v2": (hifigan_generator, ["--preset", "v2", "--seconds", "0.1"]),
    "hifigan_speecht5": (hifigan_generator, ["--preset", "speecht5", "--seconds", "0.1"]),
    "bigvgan": (bigvgan_generator, ["--channels", "128", "--seconds", "0.05"]),
    "demucs": (demucs_decoder, ["--samples", "4001"]),
    "mimi": (mimi_decoder, ["--seconds", "0.16"]),
    "mimi_live": (mimi_decoder, ["--live", "--seconds", "0.4"]),
    "vocos": (vocos_decoder, ["--seconds", "0.1"]),
}


@pytest.mark.sweep
@pytest.mark.parametrize("name", COMMANDS)
def test_one_command_from_a_checkpoint_to_a_file(name, tmp_path, monkeypatch, capsys):
    module, arguments = COMMANDS[name]
    monkeypatch.setattr(sys, "argv", [name, *arguments, "--output", str(tmp_path / "model.tflite")])
    module.main()
    errors = [float(error) for error in re.findall(r"relative error (\S+e-\d+)", capsys.readouterr().out)]
    assert len(errors) == 2
    assert max(errors) < MODEL_PARITY
    assert (tmp_path / "model.tflite").stat().st_size > 0


@pytest.mark.sweep
@pytest.mark.parametrize("quantization", ["float32", "dynamic_int8", "int8"])
def test_one_command_from_a_recording_to_a_file(quantization, tmp_path):
    arguments = ["--seconds", "15", "--quantization", quantization, "--out", str(tmp_path / "out")]
    numbers = train_audio_autoencoder.main(arguments)
    assert numbers["file_snr_db"] > SNR_FLOOR[quantization]
    assert numbers["model_snr_db"] > 0
    made = {path.name for path in (tmp_path / "out").iterdir()}
    assert made == {f"autoencoder_{quantization}.tflite", "autoencoder.keras", "reconstruction.wav"}
    assert soundfile.info(tmp_path / "out" / "reconstruction.wav").frames > 0


@pytest.mark.sweep
def test_encodec_in_int8_on_a_recording(tmp_path, capsys):
    recording = tmp_path / "speech.wav"
    soundfile.write(recording, np.random.default_rng(0).uniform(-0.5, 0.5, 24_000), 24_000)
    arguments = ["--quantization", "int8", "--audio", str(recording), "--seconds", "0.1"]
    numbers = encodec_decoder.main([*arguments, "--output", str(tmp_path / "model.tflite")])
    assert numbers["file_snr_db"] > SNR_FLOOR["int8"]
    assert numbers["keras_error"] < MODEL_PARITY


def test_errors_are_told_in_one_line():
    def without_torch():
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    with pytest.raises(SystemExit, match=r"^this needs torch: pip install torch$"):
        run(without_torch)
    with pytest.raises(SystemExit, match=r"no_such\.pt"):
        run(lambda: hifigan_generator.main(["--preset", "v2", "--checkpoint", "no_such.pt"]))


def test_a_module_of_pytorch_live(tmp_path):
    assert from_torch.main(tmp_path)["live_error"] < MODEL_PARITY
    assert {path.name for path in tmp_path.iterdir()} == {"vocoder.tflite", "live_vocoder.tflite"}
