"""The corners of what is supported, each in an environment of its own: `make corners`, or `nox -s lowest`."""

import nox

EXTRAS = ("export", "interop", "pjrt", "bench")
nox.options.default_venv_backend = "venv"


def floors():
    """The least version that `pyproject.toml` states of each dependency: its newest patch release."""
    project = nox.project.load_toml("pyproject.toml")["project"]
    stated = [*project["dependencies"], *(one for extra in EXTRAS for one in project["optional-dependencies"][extra])]
    return [one.replace(">=", "==") + ".*" for one in stated if ">=" in one]


@nox.session(python="3.11")
def lowest(session):
    """The stated minima, together, on the oldest Python."""
    session.install("--editable", ".[test]", *floors())
    tested(session)


@nox.session(python=["3.12", "3.13"])
def newest(session):
    """Today's newest of everything on the newer Pythons."""
    session.install("--editable", ".[test]")
    tested(session)


def tested(session):
    session.run("python", "-m", "pip", "check")
    # A PyTorch for GPUs brings triton, whose library ends the process that TensorFlow's is loaded in.
    session.run("python", "-m", "pip", "uninstall", "--quiet", "--yes", "triton")
    session.run("python", "-m", "pytest", "-n", "2", *session.posargs)
