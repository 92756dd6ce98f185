"""Exporters with proof: from a Keras model to artefacts that are shown to compute the same."""

from lucid_keras.export.streaming import streaming_to_saved_model, streaming_to_tflite
from lucid_keras.export.tflite import to_tflite

__all__ = ["streaming_to_saved_model", "streaming_to_tflite", "to_tflite"]
