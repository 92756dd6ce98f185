"""The benchmark's ports of other libraries' decoders against their originals, each in a tiny configuration."""

import benchmarks.ports.port
import hifigan_generator
import pytest
from benchmarks.ports import dac, encodec, fed, mimi, speecht5, univnet, vits, vocos
from comparison import relative_error
from tolerances import MODEL_PARITY

TINY = {
    "dac": lambda: dac.port(
        encoder_hidden_size=4, decoder_hidden_size=32, downsampling_ratios=[2, 3, 4, 8], n_codebooks=2, codebook_size=16
    ),
    "vits": lambda: vits.port(
        num_hidden_layers=1,
        hidden_size=8,
        posterior_encoder_num_wavenet_layers=1,
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
    "mimi": lambda: mimi.port(
        hidden_size=16,
        num_filters=2,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        intermediate_size=24,
        sliding_window=3,
        upsample_groups=16,
        codebook_size=16,
        codebook_dim=8,
        vector_quantization_hidden_dimension=8,
    ),
    "univnet": lambda: univnet.port(
        model_in_channels=8,
        model_hidden_channels=4,
        kernel_predictor_hidden_channels=8,
        resblock_dilation_sizes=((1, 3), (1, 3), (1, 9)),
    ),
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
    samples = port.keras_model()(fed(features))
    assert relative_error(samples, expected) < MODEL_PARITY
