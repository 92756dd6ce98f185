"""The command as a process of its own: how soon it answers, and that nothing but its own lines is on the terminal."""

import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

import lucid_keras as lk
from lucid_keras.cli import main

COMMAND = pathlib.Path(sys.executable).with_name("lucid-keras")
COMMANDS = ("demo", "import", "export", "inspect", "verify", "runtimes", "bench", "version")


def command(*words, **environment):
    return subprocess.run(
        [COMMAND, *words], env=os.environ | environment, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.parametrize(
    ("words", "seconds"), [("--help", 0.3), ("version", 0.3), ("export --help", 0.3), ("inspect up.npz", 1)]
)
def test_an_answer_that_needs_no_framework_waits_for_none(words, seconds, tmp_path):
    np.savez(tmp_path / "up.npz", **{"up.weight": np.zeros((4, 2, 3), "float32")})
    process = subprocess.Popen([COMMAND, *words.split()], stdout=subprocess.DEVNULL, cwd=tmp_path)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    assert used.ru_utime + used.ru_stime < seconds


def test_the_versions(capsys):
    assert main(["version"]) == 0
    assert f"lucid_keras {lk.__version__}\n" in capsys.readouterr().out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_how_it_is_called(name, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([name, "--help"])
    assert f"example: lucid-keras {name}" in capsys.readouterr().out


def test_no_command_is_missing_here(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    listed = capsys.readouterr().out.partition("COMMAND\n")[2]
    assert {line.split()[0] for line in listed.splitlines() if line.startswith("    ") and line[4:5].strip()} == {
        *COMMANDS
    }


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("command") / "up.keras"
    up = lk.ConvTranspose1d(4, 2, 4, stride=2)
    keras.Sequential([keras.Input((4, 16)), up, keras.layers.Activation("silu")]).save(path)
    return path


def test_only_its_own_lines_unless_asked(model, tmp_path):
    quiet = command("export", model, tmp_path / "up.tflite", "--quantization", "dynamic_int8")
    assert (quiet.returncode, quiet.stderr) == (0, "")
    verbose = command("export", model, tmp_path / "up.tflite", "--floor", "300", "--verbose")
    assert verbose.returncode == 1
    *logs, last = verbose.stderr.splitlines()
    assert last.startswith("lucid-keras: ")
    assert any("tensorflow" in line.lower() for line in logs)


def test_another_backend_is_one_line_where_keras_is_needed(model):
    result = command("verify", model, model, KERAS_BACKEND="numpy")
    assert result.returncode == 1
    assert result.stderr == (
        "lucid-keras: lucid_keras needs Keras on its TensorFlow backend; set KERAS_BACKEND=tensorflow before keras is "
        "imported. Received: Keras on the 'numpy' backend\n"
    )


ASIDE = """
import os, sys
sys.argv[0] = "lucid-keras"
from lucid_keras.terminal import own_lines
with own_lines():
    os.write(2, b"theirs\\n")
    print("ours", file=sys.stderr)
    {}
os.write(2, b"afterwards\\n")
"""


@pytest.mark.parametrize(
    ("last", "shown"),
    [
        ("pass", "ours\nafterwards\n"),
        ("raise RuntimeError('unexpected')", "ours\ntheirs\nTraceback"),
        ("os.abort()", "ours\nFatal Python error: Aborted"),
    ],
)
def test_logs_are_shown_where_nobody_expected_what_happened(last, shown):
    result = subprocess.run([sys.executable, "-c", ASIDE.format(last)], capture_output=True, text=True, check=False)
    assert result.stderr.startswith(shown)
