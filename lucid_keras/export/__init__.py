"""Exporters with proof: from a Keras model to artefacts that are shown to compute the same."""

from lucid_keras.export.report import ExportReport
from lucid_keras.export.tflite import to_tflite

__all__ = ["ExportReport", "to_tflite"]
