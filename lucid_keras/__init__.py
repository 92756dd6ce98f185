"""The 1-D transposed convolution for Keras 3 on TensorFlow, with PyTorch's and Lucid's complete semantics.

What you trained is what the phone runs: the eager layer, the XLA-jitted call, the SavedModel and the `.tflite` file
compute the same numbers.
"""

import importlib
from typing import TYPE_CHECKING

import keras

if keras.backend.backend() != "tensorflow":
    raise ImportError(
        "lucid_keras needs Keras on its TensorFlow backend; set KERAS_BACKEND=tensorflow before keras is imported. "
        f"Received: Keras on the {keras.backend.backend()!r} backend"
    )

from lucid_keras.layers.conv_transpose1d import ConvTranspose1d
from lucid_keras.layers.from_keras import from_keras
from lucid_keras.layers.istft import ISTFT
from lucid_keras.ops import conv_transpose1d
from lucid_keras.streaming.layer import StreamingConvTranspose1d
from lucid_keras.streaming.model import StreamingModel
from lucid_keras.version import __version__

__all__ = [
    "ISTFT",
    "ConvTranspose1d",
    "StreamingConvTranspose1d",
    "StreamingModel",
    "__version__",
    "conv_transpose1d",
    "export",
    "from_keras",
    "interop",
]


if TYPE_CHECKING:
    from lucid_keras import export, interop
else:

    def __getattr__(name):
        """Exporters and checkpoints on first use: importing the package costs no more than it must."""
        if name in ("export", "interop"):
            return importlib.import_module(f"lucid_keras.{name}")
        raise AttributeError(f"module 'lucid_keras' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
