"""The live example, on a small decoder and a short recording: every comparison that it prints is tight."""

import pathlib
import re
import sys

import numpy as np
import pytest
import soundfile
from tolerances import relative_tolerance

EXAMPLES = pathlib.Path(__file__).parent.parent / "examples"


@pytest.fixture
def live_decoder(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    import live_decoder

    return live_decoder


@pytest.mark.parametrize("own", [False, True])
def test_the_live_decode_is_the_whole_decode(own, live_decoder, monkeypatch, capsys, tmp_path, rng):
    """Of the recording that a fresh clone has, as the first documented command runs it, and of one's own."""
    recording, output = tmp_path / "recording.wav", tmp_path / "decoded.wav"
    live_decoder.write_wav(recording, rng.uniform(-0.5, 0.5, 24_000))
    arguments = ["--filters", "2", "--minutes", "0.03", "--output", str(output), *[str(recording)] * own]
    monkeypatch.setattr(sys, "argv", ["live_decoder.py", *arguments])
    live_decoder.main()
    printed = capsys.readouterr().out
    errors = [float(number) for number in re.findall(r"\d\.\de[-+]\d\d", printed)]
    assert len(errors) == 5
    assert max(errors) <= relative_tolerance("float32", 1000)
    seconds = 1 if own else soundfile.info(live_decoder.RECORDING).duration
    assert soundfile.info(output).frames == seconds * 24_000 // live_decoder.FRAME * live_decoder.FRAME
    assert soundfile.info(output).samplerate == 24_000


def test_what_it_writes_for_the_program_in_c_is_one_stream(live_decoder, monkeypatch, capsys, tmp_path):
    folder = tmp_path / "for_c"
    arguments = ["--filters", "2", "--seconds", "0.5", "--for-c", str(folder)]
    monkeypatch.setattr(sys, "argv", ["live_decoder.py", *arguments])
    live_decoder.main()
    line = f"./live_decoder {folder}/decoder.tflite {folder}/chunks.f32 {folder}/expected.f32 0"
    assert capsys.readouterr().out.splitlines()[-1] == line
    frames = np.fromfile(folder / "chunks.f32", np.float32).reshape(1, -1, live_decoder.LATENTS)
    samples, _ = live_decoder.decode_live(live_decoder.LiveDecoder(folder / "decoder.tflite"), frames)
    expected = np.fromfile(folder / "expected.f32", np.float32)
    assert samples.size == frames.shape[1] * live_decoder.FRAME
    np.testing.assert_allclose(samples.ravel(), expected, atol=1e-5 * np.abs(expected).max())


def test_refuses_a_stereo_recording(live_decoder, tmp_path):
    soundfile.write(tmp_path / "stereo.wav", np.zeros((8, 2)), 24_000)
    with pytest.raises(SystemExit, match=r"must be mono. Received: 2 channels in .*stereo.wav"):
        live_decoder.latents_of(tmp_path / "stereo.wav")


def test_a_vocoder_that_looks_ahead(live_decoder, monkeypatch, capsys):
    """HiFi-GAN V2, narrower and without the branches that wait less: its lines, and the table of its latency."""
    import hifigan_generator

    narrow = {"upsample_initial_channel": 32, "resblock_kernel_sizes": (11,), "resblock_dilation_sizes": ((1, 3, 5),)}
    monkeypatch.setitem(hifigan_generator.PRESETS, "v2", hifigan_generator.PRESETS["v2"] | narrow)
    monkeypatch.setattr(sys, "argv", ["live_decoder.py", "--model", "hifigan", "--seconds", "0.5"])
    live_decoder.main()
    printed = capsys.readouterr().out
    (error,) = re.findall(r"relative error (\d\.\de[-+]\d\d)", printed)
    assert float(error) <= relative_tolerance("float32", 1000)
    assert "latency:                        3258 samples, 147.8 ms" in printed
    assert re.search(r"^conv_pre +768 +768 \(34\.8 ms\) +1,920 B  #", printed, re.MULTILINE)
