"""The documentation: the code on its pages runs, it names all that is public, and what is generated is current."""

import ast
import doctest
import json
import pathlib
import pydoc
import re
import shlex
import tomllib
import types

import pytest
from benchmarks import (
    auto_report,
    compile_ahead_report,
    imports_report,
    live_report,
    memory_report,
    model_report,
    ports_report,
    report,
    serving_report,
    shapes_report,
    streaming_report,
    training_report,
    voice_report,
)
from pages import drawings
from run_page import BLOCK, run_python

import lucid_keras as lk
from lucid_keras import cli, runtimes
from lucid_keras.export.recipes import RECIPES

ROOT = pathlib.Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
RESULT = ("c", "cpp", "json", "text")  # shown, not run
OF_THE_SYSTEM = ("curl", "docker", "make", "pip", "python")  # commands that are not ours
READ_ALONE = {"bench": "lucid_keras.bench.commands.run", "demo": "lucid_keras.cli._demo"}  # their tests run them


def run_pycon(code, page, names):
    example = doctest.DocTestParser().get_doctest(code, names, page, page, 0)
    outcome = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, clear_globs=False)
    assert outcome.failed == 0
    names.update(example.globs)


def run_sh(code, page, names):
    """Each `lucid-keras` must end with 0, or as its comment says: `# exits with 1`."""
    for line in code.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words and words[0] == "lucid-keras":
            said = re.search(r"# exits with (\d+)", line)
            assert exit_status(words[1:]) == int(said[1] if said else 0), line
        else:
            assert not words or words[0] in OF_THE_SYSTEM, line


def exit_status(arguments):
    try:
        return cli.main(arguments)
    except SystemExit as exit:  # argparse's
        return exit.code


RUN = {"python": run_python, "pycon": run_pycon, "sh": run_sh}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_code_on_a_page(page, tmp_path, monkeypatch):
    """The blocks of a page share names and a folder."""
    monkeypatch.chdir(tmp_path)
    for handler in READ_ALONE.values():
        monkeypatch.setattr(handler, lambda parsed: None)
    blocks = BLOCK.findall(page.read_text())
    assert 2 * len(blocks) == page.read_text().count("```"), "every fence must say its language"
    names = {"__name__": "__main__"}
    for language, code in blocks:
        if language not in RESULT:
            RUN[language](code, page.name, names)


def documented():
    """What the pages of the reference ask the docstrings of."""
    return re.findall(r"^::: (\S+)", "\n".join(page.read_text() for page in (DOCS / "reference").glob("*.md")), re.M)


def test_the_reference_has_every_public_name_once():
    public = [
        f"{module.__name__}.{name}"
        for module in (lk, lk.export, lk.interop)
        for name in module.__all__
        if name != "__version__" and not isinstance(getattr(module, name), types.ModuleType)
    ]
    behind_runtimes = [f"lucid_keras.runtimes.{name.__name__}" for name in runtimes.RUNTIMES.values()]
    names = documented()
    assert {*public, *behind_runtimes} <= set(names)
    assert len(names) == len(set(names))
    assert all(pydoc.locate(name) is not None for name in names)


def test_every_page_is_in_the_menu():
    def pages(menu):
        for entry in menu:
            for target in entry.values():
                yield from pages(target) if isinstance(target, list) else [target]

    listed = list(pages(tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"]))
    assert sorted(listed) == sorted(str(page.relative_to(DOCS)) for page in PAGES[1:])


def shown(*arguments, capsys):
    assert exit_status([*arguments, "--help"]) == 0
    return capsys.readouterr().out


def test_every_command_and_option_is_on_its_page(capsys):
    """An option of every command is said at the page's top, any other in its command's section."""
    head, *sections = re.split(r"^## ", (DOCS / "reference/command_line.md").read_text(), flags=re.MULTILINE)
    sections = dict(section.split("\n", 1) for section in sections)
    commands = re.findall(r"^    (\w+) ", shown(capsys=capsys), re.MULTILINE)
    assert sorted(commands) == sorted(sections)
    for command in commands:
        options = set(re.findall(r"--[a-z][a-z-]+", shown(command, capsys=capsys)))
        assert {
            option for option in options if f"{option}`" not in head and f"`{option}" not in sections[command]
        } == set()


def test_an_interrupted_command_ends_as_its_page_says(monkeypatch, capsys):
    def interrupted(parsed):
        raise KeyboardInterrupt

    monkeypatch.setattr(READ_ALONE["demo"], interrupted)
    code = exit_status(["demo"])
    assert capsys.readouterr().err == "lucid-keras: interrupted\n"
    assert f"\n| {code} | interrupted by Ctrl-C |\n" in (DOCS / "reference/command_line.md").read_text()


def said():
    """Every text in the package, its places to fill as `...`."""
    for file in (ROOT / "lucid_keras").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.JoinedStr):
                yield "".join(part.value if isinstance(part, ast.Constant) else "..." for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def test_the_errors_with_remedies_are_said():
    rows = re.findall(r"^\| (`.*?) \|", (DOCS / "errors.md").read_text(), re.MULTILINE)
    messages = [message for row in rows for message in re.findall("`(.+?)`", row)]
    texts = list(said())
    assert len(messages) > 20
    assert [message for message in messages if not any(message in text for text in texts)] == []


def test_the_recipes_have_the_floors_of_their_page():
    text = (DOCS / "howto/recipes.md").read_text()
    rows = [f"| `{recipe.name}` | {recipe.floor_db:g} dB |" for recipe in RECIPES.values()]
    assert [row for row in rows if row not in text] == []


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_the_versions_in_the_readme_are_the_floors_and_those_of_the_constraints():
    (said,) = re.findall(r"^Python 3.*$", (ROOT / "README.md").read_text(), re.MULTILINE)
    lowest, newest = said.split("Newest tested: ")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    floors = dict(one.split(">=") for one in project["dependencies"])
    installed = dict(re.findall(r"^(\w+)==(\d+\.\d+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    for package in ("TensorFlow", "Keras", "NumPy"):
        assert f"{package} {floors[package.lower()]}" in lowest
    for package in ("TensorFlow", "Keras"):
        assert f"{package} {installed[package.lower()]}" in newest


def test_what_is_generated_is_current():
    read = lambda name: json.loads((ROOT / "tests/benchmarks" / name).read_text())  # noqa: E731
    results, costs, speed = read("results.json"), read("costs.json"), read("models.json")
    streaming, parity = read("streaming.json"), read("parity.json")
    readme = (ROOT / "README.md").read_text()
    digests = report.digest(results, costs), streaming_report.digest(streaming), model_report.digest(speed["models"])
    assert [lines for lines in digests if "\n".join(lines) not in readme] == []
    for page, lines in (
        ("layers", report.tables(results, report.DRAWN, batches=1)),
        ("streaming", streaming_report.tables(streaming)),
        ("streaming", live_report.tables(read("live_frames.json"))),
        ("decoders", model_report.tables(speed, parity)),
        ("voices", voice_report.page(read("voice.json"))),
        ("ports", ports_report.page(read("ports.json"))),
        ("memory", memory_report.page(read("memory.json"), read("models.json"))),
        ("training", training_report.page(read("training.json"), read("training_profile.json"))),
        ("serving", serving_report.page(read("serving.json"))),
        ("shapes", shapes_report.page(read("shapes.json"))),
        ("imports", imports_report.page(read("imports.json"), read("imports_speed.json"))),
        ("accelerators", compile_ahead_report.page(read("compile_ahead.json"))),
    ):
        assert "\n".join(lines) in (DOCS / f"speed/{page}.md").read_text()
    assert "\n".join(serving_report.guide(speed["models"])) in (DOCS / "howto/serve_on_a_cpu.md").read_text()
    assert "\n".join(auto_report.table(read("auto.json"))) in (DOCS / "howto/quantize.md").read_text()


@pytest.mark.parametrize("name", drawings.DRAWINGS)
def test_a_drawing_is_what_the_plan_gives(name):
    assert (DOCS / f"explanation/{name}.svg").read_text() == drawings.DRAWINGS[name]()
