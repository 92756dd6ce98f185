"""What wants environments of its own: the corners of what is supported (`make corners`), and `make release`."""

import pathlib
import shutil

import nox

EXTRAS = ("export", "interop", "pjrt", "bench")
DIST = pathlib.Path("dist").resolve()
nox.options.default_venv_backend = "venv"
nox.options.sessions = ("lowest", "newest")


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
    session.run("python", "-m", "pytest", "-n", "2", *session.posargs)


@nox.session
def distributions(session):
    """The wheel and the sdist of what is committed: nothing that merely lies about gets in."""
    session.install("build", "twine")
    source = pathlib.Path(session.create_tmp(), "source")
    for old in (source, DIST):
        shutil.rmtree(old, ignore_errors=True)
    session.run("git", "archive", "--output", f"{source}.tar", "HEAD", external=True)
    shutil.unpack_archive(f"{source}.tar", source, filter="data")
    session.run("python", "-m", "build", "--outdir", str(DIST), str(source))
    session.run("twine", "check", "--strict", *map(str, DIST.iterdir()))


@nox.session
def installed(session):
    """Each of both in an environment where nothing else is, and away from the checkout: the README and the demo."""
    (wheel,), (sdist,) = DIST.glob("*.whl"), DIST.glob("*.tar.gz")
    session.chdir(session.create_tmp())
    shutil.unpack_archive(sdist, filter="data")
    session.install(f"{wheel}[export]")
    tried(session, sdist)
    session.install("--force-reinstall", "--no-deps", str(sdist))
    tried(session, sdist)


def tried(session, sdist):
    source = pathlib.Path(sdist.name.removesuffix(".tar.gz"))
    session.run("python", "-m", "pip", "check")
    session.run("python", "-P", str(source / "tests" / "run_page.py"), str(source / "README.md"))
    session.run("lucid-keras", "demo")
