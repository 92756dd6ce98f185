"""Microcontrollers: a `.tflite` file under TensorFlow Lite for Microcontrollers' interpreter, on this machine."""

from lucid_keras.runtimes import places
from lucid_keras.runtimes.guest import Guest
from lucid_keras.runtimes.protocol import Coverage

PACKAGES = ("tflite-micro==0.dev20261023182759", "numpy==2.4.6")
VERSIONS = " ".join(PACKAGES) + "\n"


class Micro(Guest):
    """The first signature of a `.tflite` file under TensorFlow Lite for Microcontrollers."""

    name = "TensorFlow Lite Micro"
    part = "micro"
    script = "micro.py"

    @classmethod
    def lacking(cls):
        return "" if places.ready("micro", VERSIONS) else "lucid-keras runtimes install micro"

    @classmethod
    def installation(cls):
        steps = [("TensorFlow Lite Micro", lambda: places.environment(_folder(), PACKAGES, places.python311()))]
        yield from places.installation("micro", VERSIONS, steps)

    @classmethod
    def command(cls):
        return [str(_folder() / "bin" / "python")]

    def environment(self):
        return {"PYTHONPATH": ""}

    def coverage(self):
        """The smallest arena, the memory that the interpreter needs beside the file."""
        return Coverage(self._ops, memory=self.found()["arena"])


def _folder():
    return places.place("micro") / "environment"
