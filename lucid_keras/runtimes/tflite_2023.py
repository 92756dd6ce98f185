"""TensorFlow Lite of 2023, which phones still carry: the last interpreter of that name that PyPI has."""

from lucid_keras.runtimes.own_environment import OwnEnvironment
from lucid_keras.runtimes.places import python311


class TFLite2023(OwnEnvironment):
    """The signatures of a `.tflite` file under TensorFlow Lite 2.14."""

    name = "TensorFlow Lite of 2023"
    part = "old"
    packages = ("tflite-runtime==2.14.0", "numpy==1.26.4")
    python = staticmethod(python311)
