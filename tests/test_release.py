"""What a release is made of: the wheel and the sdist hold what they should, and the pages say what is there."""

import datetime
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest

import lucid_keras as lk

ROOT = pathlib.Path(__file__).parent.parent
PAGES = ("README.md", "CONTRIBUTING.md", "SECURITY.md")
BUILT = {"PKG-INFO", "setup.cfg"}


def tracked():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("what the repository holds is known where git is")
    return listed.stdout.splitlines()


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """What the sdist of a clean copy holds, and the wheel that is built from that sdist."""
    source, dist = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in tracked():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(dist), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    with tarfile.open(sdist) as held:
        files = {member.name.partition("/")[2] for member in held if member.isfile()}
    return set(zipfile.ZipFile(wheel).namelist()), files


def test_the_wheel_holds_the_package_alone(built):
    wheel, _ = built
    package = {name for name in tracked() if name.startswith("lucid_keras/")}
    assert {name for name in wheel if not name.startswith(f"lucid_keras-{lk.__version__}.dist-info/")} == package


def test_the_sdist_holds_all_that_the_repository_does(built):
    _, sdist = built
    assert {name for name in sdist - BUILT if not name.startswith("lucid_keras.egg-info/")} == set(tracked())


def test_one_version():
    """The changelog's newest and the citation's are the package's; a date is one, or there is none yet."""
    newest = re.search(r"^## (\S+), (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest[1] == lk.__version__
    assert newest[2] == "unreleased" or datetime.date.fromisoformat(newest[2])
    assert f"\nversion: {lk.__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_the_readme_links_to_nothing_that_its_readers_elsewhere_lack():
    """The wheel's page shows it far from the repository: a link is a whole address or a heading of the page itself."""
    text = re.sub(r"```.*?```", "", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)\s]+)|(?:src|href)=\"([^\"]+)|^\[[^]]+\]:\s*(\S+)", text, re.MULTILINE)
    headings = {re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in re.findall(r"^#+ (.+)$", text, re.M)}
    for target in ("".join(found) for found in targets):
        assert target.startswith("https://") or target.removeprefix("#") in headings, target


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_names_is_there(page):
    """Files, tests and commands in backticks; a folder of the package may go without its first part."""
    text = (ROOT / page).read_text()
    makefile = (ROOT / "Makefile").read_text()
    made = (ROOT / ".gitignore").read_text().split()
    for target in re.findall(r"`make ([\w-]+)", text):
        assert re.search(rf"^([\w -]* )?{target}( [\w -]*)?:", makefile, re.MULTILINE), target
    for name in re.findall(r"`([\w.-]+/[\w./-]*|[\w.-]+\.(?:py|md|txt|toml|cff|in))(?=`|::)", text):
        assert name in made or any((ROOT / base / name).exists() for base in ("", "lucid_keras")), name
    for file, test in re.findall(r"`(tests/test_\w+\.py)::(\w+)`", text):
        assert f"\ndef {test}(" in (ROOT / file).read_text(), test
