"""The live example, on a small decoder and a short recording: every comparison that it prints is tight."""

import pathlib
import re
import sys
import wave

import pytest
from tolerances import relative_tolerance

EXAMPLES = pathlib.Path(__file__).parent.parent / "examples"


@pytest.fixture
def live_decoder(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    import live_decoder

    return live_decoder


def test_the_live_decode_is_the_whole_decode(live_decoder, monkeypatch, capsys, tmp_path, rng):
    recording, output = tmp_path / "recording.wav", tmp_path / "decoded.wav"
    live_decoder.write_wav(recording, rng.uniform(-0.5, 0.5, 24_000))
    arguments = ["--filters", "2", "--minutes", "0.03", "--output", str(output), str(recording)]
    monkeypatch.setattr(sys, "argv", ["live_decoder.py", *arguments])
    live_decoder.main()
    printed = capsys.readouterr().out
    errors = [float(number) for number in re.findall(r"\d\.\de[-+]\d\d", printed)]
    assert len(errors) == 5
    assert max(errors) <= relative_tolerance("float32", 1000)
    with wave.open(str(output)) as file:
        assert file.getnframes() == 24_000


def test_refuses_a_recording_of_another_rate(live_decoder, tmp_path):
    recording = tmp_path / "stereo.wav"
    with wave.open(str(recording), "wb") as file:
        file.setparams((2, 2, 24_000, 0, "NONE", ""))
        file.writeframes(b"")
    with pytest.raises(SystemExit, match=r"must be mono, 24000 Hz, 16 bit. Received: _wave_params\(nchannels=2"):
        live_decoder.latents_of(recording)
