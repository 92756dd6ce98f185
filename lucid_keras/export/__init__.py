"""Exporters with proof: from a Keras model to artefacts that are shown to compute the same."""

from lucid_keras.export.tflite import to_tflite

__all__ = ["to_tflite"]
