"""Guests whose Python packages lie in an environment of their own, in fixed versions."""

import pathlib
import sys

from lucid_keras.runtimes import places
from lucid_keras.runtimes.guest import Guest


class OwnEnvironment(Guest):
    """A guest with `packages`, each `name==version`, in the folder of its `part`."""

    packages: tuple[str, ...] = ()

    @classmethod
    def lacking(cls):
        return "" if places.ready(cls.part, cls.versions()) else f"lucid-keras runtimes install {cls.part}"

    @classmethod
    def installation(cls):
        yield from places.installation(cls.part, cls.versions(), cls.steps())

    @classmethod
    def steps(cls) -> list[places.Step]:
        """How the parts come: by pip alone."""
        return [(cls.name, lambda: places.environment(cls.folder() / "environment", cls.packages, cls.python()))]

    @classmethod
    def python(cls) -> str:
        """The Python of the environment."""
        return sys.executable

    @classmethod
    def versions(cls) -> str:
        """What the parts are, as a line."""
        return " ".join(cls.packages) + "\n"

    @classmethod
    def folder(cls) -> pathlib.Path:
        """Where the parts lie."""
        return places.place(cls.part)

    @classmethod
    def command(cls):
        return [str(cls.folder() / "environment" / "bin" / "python")]

    def environment(self):
        return {"PYTHONPATH": ""}  # that of this process is of no use there
