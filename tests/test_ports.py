"""The benchmark's ports of other libraries' decoders against their originals, each in a tiny configuration."""

import pytest
from benchmarks.ports import dac, fed, vits, vocos
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
}


@pytest.mark.parametrize("name", TINY)
def test_a_port_is_its_original(name):
    port = TINY[name]()
    features = port.features(count=2)
    expected = port.expected(features)
    assert 0.01 < expected.std() < 0.7  # neither faded nor saturated
    for length in (None, port.frames):
        assert relative_error(port.keras_model(length)(fed(features)), expected) < MODEL_PARITY
