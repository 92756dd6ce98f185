"""Exporters with proof: from a Keras model to artefacts that are shown to compute the same."""

from typing import TYPE_CHECKING

from lucid_keras._on_use import on_use

__all__ = [
    "BelowFloorError",
    "ExportReport",
    "smallest_tflite",
    "snr_db",
    "streaming_to_saved_model",
    "streaming_to_tflite",
    "to_saved_model",
    "to_stablehlo",
    "to_tflite",
]

if TYPE_CHECKING:
    from lucid_keras.export.accuracy import snr_db
    from lucid_keras.export.proof import BelowFloorError
    from lucid_keras.export.report import ExportReport
    from lucid_keras.export.saved_model import to_saved_model
    from lucid_keras.export.smallest import smallest_tflite
    from lucid_keras.export.stablehlo import to_stablehlo
    from lucid_keras.export.streaming import streaming_to_saved_model, streaming_to_tflite
    from lucid_keras.export.tflite import to_tflite
else:
    __getattr__, __dir__ = on_use(
        __name__,
        {
            "BelowFloorError": "lucid_keras.export.proof",
            "ExportReport": "lucid_keras.export.report",
            "smallest_tflite": "lucid_keras.export.smallest",
            "snr_db": "lucid_keras.export.accuracy",
            "streaming_to_saved_model": "lucid_keras.export.streaming",
            "streaming_to_tflite": "lucid_keras.export.streaming",
            "to_saved_model": "lucid_keras.export.saved_model",
            "to_stablehlo": "lucid_keras.export.stablehlo",
            "to_tflite": "lucid_keras.export.tflite",
        },
    )
