"""TensorFlow Lite of 2023, which phones still carry: the last interpreter of that name that PyPI has."""

from lucid_keras.runtimes import places
from lucid_keras.runtimes.guest import Guest

PACKAGES = ("tflite-runtime==2.14.0", "numpy==1.26.4")
VERSIONS = " ".join(PACKAGES) + "\n"


class TFLite2023(Guest):
    """The signatures of a `.tflite` file under TensorFlow Lite 2.14."""

    name = "TensorFlow Lite of 2023"
    part = "old"

    @classmethod
    def lacking(cls):
        return "" if places.ready("old", VERSIONS) else "lucid-keras runtimes install old"

    @classmethod
    def installation(cls):
        steps = [("TensorFlow Lite 2.14", lambda: places.environment(_folder(), PACKAGES, places.python311()))]
        yield from places.installation("old", VERSIONS, steps)

    @classmethod
    def command(cls):
        return [str(_folder() / "bin" / "python")]

    def environment(self):
        return {"PYTHONPATH": ""}


def _folder():
    return places.place("old") / "environment"
