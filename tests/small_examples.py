"""The examples' decoders, as small as they still are of their kind: their options, and each as it streams."""

import bigvgan_generator
import demucs_decoder
import encodec_decoder
import hifigan_generator
import live_decoder
import mimi_decoder
import vocos_decoder

import lucid_keras as lk

ENCODEC = {"num_filters": 4, "upsampling_ratios": (3, 2), "hidden_size": 6}
HIFIGAN = {
    "upsample_initial_channel": 16,
    "upsample_rates": (4, 2),
    "upsample_kernel_sizes": (8, 4),
    "resblock_kernel_sizes": (3, 5),
    "resblock_dilation_sizes": ((1, 3), (2,)),
}
BIGVGAN = {
    "upsample_initial_channel": 8,
    "upsample_rates": (3, 2),
    "upsample_kernel_sizes": (5, 4),
    "resblock_kernel_sizes": (3,),
    "resblock_dilation_sizes": ((1, 1, 3),),
}
DEMUCS = {"channels": 2, "depth": 3, "out_channels": 2}
MIMI = {
    "hidden_size": 16,
    "num_filters": 2,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 24,
    "sliding_window": 7,
    "upsample_groups": 16,
}
VOCOS = vocos_decoder.VocosConfig(bands=5, width=12, intermediate=20, blocks=2, n_fft=16, hop=4)


def hifigan(preset):
    options = hifigan_generator.PRESETS[preset] | HIFIGAN
    return lk.StreamingModel(hifigan_generator.hifigan_generator(**options), pointwise=[hifigan_generator.Normalize])


def bigvgan():
    """With branches as quiet as a trained one's: louder ones amplify what integers round, live or whole."""
    generator = bigvgan_generator.bigvgan_generator(**BIGVGAN)
    for layer in generator.layers:
        if ".convs2." in layer.name:
            layer.kernel.assign(0.3 * layer.kernel)
    return lk.StreamingModel(generator)


LIVE = {
    "encodec": lambda: lk.StreamingModel(encodec_decoder.encodec_decoder(**ENCODEC, padding="zeros")),
    "encodec's size": lambda: lk.StreamingModel(live_decoder.causal_decoder(filters=2)),
    "hifigan": lambda: hifigan("v1"),
    "hifigan of speecht5": lambda: hifigan("speecht5"),
    "bigvgan": bigvgan,
    "demucs": lambda: lk.StreamingModel(demucs_decoder.demucs_decoder(None, **DEMUCS)),
    "mimi": lambda: lk.StreamingModel(
        mimi_decoder.mimi_decoder(**MIMI, head_dim=4), pointwise=[mimi_decoder.LayerScale]
    ),
    "vocos": lambda: lk.StreamingModel(vocos_decoder.vocos(VOCOS), pointwise=[vocos_decoder.Scale]),
}
