"""Checkpoints from PyTorch and Lucid into Keras models, and back."""

from lucid_keras.interop.describe import describe
from lucid_keras.interop.load import LoadReport, load_state_dict, to_state_dict
from lucid_keras.interop.state_dict import read_state_dict
from lucid_keras.interop.weight_norm import fold_weight_norm

__all__ = ["LoadReport", "describe", "fold_weight_norm", "load_state_dict", "read_state_dict", "to_state_dict"]
