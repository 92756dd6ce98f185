"""Keras layers on the TensorFlow backend, the only one that they compute on."""

import keras

if keras.backend.backend() != "tensorflow":
    raise ImportError(
        "lucid_keras needs Keras on its TensorFlow backend; set KERAS_BACKEND=tensorflow before keras is imported. "
        f"Received: Keras on the {keras.backend.backend()!r} backend"
    )
