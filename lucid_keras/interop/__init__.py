"""PyTorch modules and checkpoints, and Lucid's, into Keras models, and back."""

from typing import TYPE_CHECKING

from lucid_keras._on_use import on_use

__all__ = [
    "LoadReport",
    "describe",
    "fold_weight_norm",
    "from_torch",
    "load_state_dict",
    "read_state_dict",
    "to_state_dict",
]

if TYPE_CHECKING:
    from lucid_keras.interop.description import describe
    from lucid_keras.interop.load import LoadReport, load_state_dict, to_state_dict
    from lucid_keras.interop.state_dict import read_state_dict
    from lucid_keras.interop.torch_module import from_torch
    from lucid_keras.interop.weight_norm import fold_weight_norm
else:
    __getattr__, __dir__ = on_use(
        __name__,
        {
            "LoadReport": "lucid_keras.interop.load",
            "describe": "lucid_keras.interop.description",
            "fold_weight_norm": "lucid_keras.interop.weight_norm",
            "from_torch": "lucid_keras.interop.torch_module",
            "load_state_dict": "lucid_keras.interop.load",
            "read_state_dict": "lucid_keras.interop.state_dict",
            "to_state_dict": "lucid_keras.interop.load",
        },
    )
