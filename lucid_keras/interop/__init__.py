"""Checkpoints from PyTorch and Lucid into Keras models, and back."""

from lucid_keras.interop.state_dict import read_state_dict

__all__ = ["read_state_dict"]
