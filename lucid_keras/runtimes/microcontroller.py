"""Microcontrollers: a `.tflite` file under TensorFlow Lite for Microcontrollers' interpreter, on this machine."""

from lucid_keras.runtimes.own_environment import OwnEnvironment
from lucid_keras.runtimes.places import python311
from lucid_keras.runtimes.protocol import Coverage


class Micro(OwnEnvironment):
    """The first signature of a `.tflite` file under TensorFlow Lite for Microcontrollers."""

    name = "TensorFlow Lite Micro"
    part = "micro"
    script = "micro.py"
    packages = ("tflite-micro==0.dev20261023182759", "numpy==2.4.6")
    python = staticmethod(python311)

    def coverage(self):
        """The smallest arena, the memory that the interpreter needs beside the file."""
        return Coverage(self._ops, memory=self.found()["arena"])
