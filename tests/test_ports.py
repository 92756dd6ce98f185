"""The benchmark's ports of other libraries' decoders against their originals, each in a tiny configuration."""

import benchmarks.ports.port
import hifigan_generator
import pytest
from benchmarks.ports import dac, encodec, fed, speecht5, vits, vocos
from comparison import relative_error
from tolerances import MODEL_PARITY

TINY = {
    "dac": lambda: dac.port(
        encoder_hidden_size=4, decoder_hidden_size=32, downsampling_ratios=[2, 3, 4, 8], n_codebooks=2, codebook_size=16
    ),
    "vits": lambda: vits.port(
        num_hidden_layers=1,
        flow_size=6,
        upsample_initial_channel=32,
        upsample_rates=[8, 5, 4],
        upsample_kernel_sizes=[16, 11, 4],
        num_speakers=4,
        speaker_embedding_size=5,
    ),
    "vocos": lambda: vocos.port(width=12, intermediate=20, blocks=2),
    "encodec": lambda: encodec.port(num_filters=4, upsampling_ratios=[8, 5, 4, 2], hidden_size=6, codebook_size=16),
    "speecht5": lambda: speecht5.port("tiny"),
}


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    monkeypatch.setattr(benchmarks.ports.port, "SECONDS", 0.2)
    tiny = hifigan_generator.PRESETS["speecht5"] | {"upsample_initial_channel": 32}
    monkeypatch.setitem(hifigan_generator.PRESETS, "tiny", tiny)
    monkeypatch.setitem(hifigan_generator.SAMPLE_RATES, "tiny", 16_000)


@pytest.mark.parametrize("name", TINY)
def test_a_port_is_its_original(name):
    port = TINY[name]()
    features = port.features(count=2)
    expected = port.expected(features)
    assert 0.01 < expected.std() < 0.7  # neither faded nor saturated
    samples = port.keras_model(port.frames)(fed(features))
    assert relative_error(samples, expected) < MODEL_PARITY
