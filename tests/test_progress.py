"""The live line: what is being done, on a terminal alone, from many threads at once, and nothing of it left behind."""

import concurrent.futures
import re
import sys
import threading

import keras
import numpy as np
import pytest

import lucid_keras as lk
from lucid_keras.export import progress, to_tflite
from lucid_keras.export.progress import doing, each


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)


def visible():
    """What each line says."""
    return [task.description for display in progress._SHOWN for task in display.tasks if task.visible]


def test_a_stage_within_another_takes_its_place(terminal):
    streams = sys.stdout, sys.stderr
    with doing("converting"):
        assert visible() == ["converting"]
        with doing("calibrating [x]", 2) as advance:
            advance()
            assert visible() == ["calibrating [x]"]
            assert progress._SHOWN[0].tasks[-1].percentage == 50
        assert visible() == ["converting"]
        assert (sys.stdout, sys.stderr) == streams
    assert visible() == []


def test_each_hands_on_every_result_and_leaves_no_line_when_it_fails(terminal):
    assert each(lambda x: 2 * x, [1, 2], "doubling") == [2, 4]
    with pytest.raises(ZeroDivisionError):
        each(lambda x: 1 // x, iter([1, 0]), "dividing")
    assert visible() == []


def test_threads_have_a_line_each(terminal):
    inside = threading.Barrier(8)

    def work(number):
        with doing(f"job {number}"), doing(f"stage {number}"):
            inside.wait(10)
            found = visible()
            inside.wait(10)
        return found

    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        for found in threads.map(work, range(8)):
            assert sorted(found) == [f"stage {number}" for number in range(8)]
    assert visible() == []


@pytest.mark.parametrize("stderr", [None, object()], ids=["none", "no file"])
def test_without_a_terminal_nothing_is_shown(stderr, monkeypatch):
    monkeypatch.setattr(sys, "stderr", stderr)
    with doing("converting") as advance:
        advance()
        assert progress._SHOWN == []


def test_an_export_says_each_of_its_stages(terminal, tmp_path, monkeypatch, rng):
    said, add = [], progress._display().add_task.__func__
    monkeypatch.setattr(
        "rich.progress.Progress.add_task", lambda self, what, **how: said.append(what) or add(self, what, **how)
    )
    model = keras.Sequential([keras.Input((4, 16)), lk.ConvTranspose1d(4, 2, 4, stride=2)])
    data = rng.uniform(-1, 1, (10, 4, 16)).astype(np.float32)
    to_tflite(model, tmp_path / "a.tflite", quantization="int8", calibration_data=data, floor_db=0, timing_seconds=0)
    text = " ".join(said)
    stages = ["reading", "computing in Keras", "tracing", "converting", "calibrating", "proving in LiteRT", "timing"]
    assert re.search(".*".join(stages), text), text
    assert visible() == []
