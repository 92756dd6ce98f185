"""The 1-D transposed convolution for Keras 3 on TensorFlow, with PyTorch's and Lucid's complete semantics.

What you trained is what the phone runs: the eager layer, the XLA-jitted call, the SavedModel and the `.tflite` file
compute the same numbers.
"""

import pathlib
import sys
from typing import TYPE_CHECKING

from lucid_keras._on_use import on_use
from lucid_keras.version import __version__

__all__ = [
    "ISTFT",
    "ConvTranspose1d",
    "Snake",
    "Stage",
    "StreamingConvTranspose1d",
    "StreamingModel",
    "WindowedAttention",
    "__version__",
    "conv_transpose1d",
    "export",
    "from_keras",
    "interop",
]

if TYPE_CHECKING:
    from lucid_keras import export, interop
    from lucid_keras.layers.conv_transpose1d import ConvTranspose1d
    from lucid_keras.layers.from_keras import from_keras
    from lucid_keras.layers.istft import ISTFT
    from lucid_keras.layers.snake import Snake
    from lucid_keras.layers.windowed_attention import WindowedAttention
    from lucid_keras.ops import conv_transpose1d
    from lucid_keras.streaming.layer import StreamingConvTranspose1d
    from lucid_keras.streaming.model import StreamingModel
    from lucid_keras.streaming.stage import Stage
else:
    _OPERATION = {
        "ConvTranspose1d": "lucid_keras.layers.conv_transpose1d",
        "ISTFT": "lucid_keras.layers.istft",
        "Snake": "lucid_keras.layers.snake",
        "Stage": "lucid_keras.streaming.stage",
        "StreamingConvTranspose1d": "lucid_keras.streaming.layer",
        "StreamingModel": "lucid_keras.streaming.model",
        "WindowedAttention": "lucid_keras.layers.windowed_attention",
        "conv_transpose1d": "lucid_keras.ops",
        "from_keras": "lucid_keras.layers.from_keras",
    }
    _LATER = {"export": "lucid_keras.export", "interop": "lucid_keras.interop"}  # an import costs no more than it must
    __getattr__, __dir__ = on_use(__name__, _OPERATION | _LATER)
    # Keras loads the layers that it was told of, so a library's import tells it; the command imports what it needs.
    if pathlib.PurePath(*sys.argv[:1]).stem != "lucid-keras":
        globals().update({name: __getattr__(name) for name in _OPERATION})
