"""The process belongs to its user: what exports leave alone, and that they may run in many threads at once."""

import ast
import collections
import concurrent.futures
import itertools
import logging
import os
import pathlib
import sys
import tempfile
import time
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

import lucid_keras as lk
from lucid_keras.export import streaming_to_tflite, to_saved_model, to_stablehlo, to_tflite
from lucid_keras.export.files import WORKPLACE, write_atomically

DATA = np.random.default_rng(1).uniform(-1, 1, (8, 4, 16)).astype("float32")


class Polygamma(keras.layers.Layer):
    """Has no builtin operator in LiteRT."""

    def call(self, x):
        return tf.math.polygamma(tf.floor(tf.abs(x)) + 1, tf.abs(x) + 2)


def process():
    """What every thread of the process shares."""
    mask = os.umask(0)
    os.umask(mask)
    return sys.stdout, sys.stderr, logging.root.manager.disable, list(warnings.filters), warnings.showwarning, mask


def test_an_export_writes_nothing_to_standard_output_and_changes_nothing(tmp_path, capsys):
    model = keras.Sequential([keras.Input((4, 16)), lk.ConvTranspose1d(4, 2, 4, stride=2, name="up")])
    before = process()
    to_tflite(model, tmp_path / "d.tflite", quantization="dynamic_int8", floor_db=0, timing_seconds=0)
    assert process() == before
    assert capsys.readouterr().out == ""


OF_THE_PROCESS = {
    *("umask", "chdir", "putenv", "redirect_stdout", "redirect_stderr", "disable", "captureWarnings"),
    *("catch_warnings", "simplefilter", "filterwarnings", "setLevel", "set_verbosity", "set_random_seed", "set_floatx"),
}


def test_only_the_command_line_changes_what_belongs_to_the_process():
    package = pathlib.Path(lk.__file__).parent
    changing = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in OF_THE_PROCESS
    }
    assert changing == {"terminal.py"}


def jobs():
    """What a thread may do, by name: of a path, with something that must be the same each time."""
    layer = lk.ConvTranspose1d(4, 2, 4, stride=2, name="up")
    model = keras.Sequential([keras.Input((4, 16)), layer])
    stream = lk.StreamingConvTranspose1d(lk.ConvTranspose1d(4, 2, 4, stride=2))
    strange = keras.Sequential([keras.Input((4, 16)), Polygamma(name="strange")])

    def exported(to, subject, **options):
        return lambda path: to(subject, path, timing_seconds=0, floor_db=0, **options).path

    def content(*job, **options):
        export = exported(*job, **options)
        return lambda path: export(path).read_bytes()

    def program(path):  # proven before it is there; its bytes hold a number that counts the process's functions
        return (exported(to_stablehlo, model)(path) / "forward.stablehlo").is_file()

    def served(path):
        loaded = tf.saved_model.load(exported(to_saved_model, model)(path))
        return loaded.signatures["serving_default"](tf.constant(DATA))["up"].numpy().tobytes()

    def refused(path):
        with pytest.raises(ValueError, match=r"must be builtin.*the layer 'strange'") as error:
            to_tflite(strange, path)
        return str(error.value)

    def file(path):
        return os.stat(write_atomically(path, DATA.tobytes())).st_mode, path.read_bytes()

    return {
        "float32": content(to_tflite, model),
        "int8": content(to_tflite, model, quantization="int8", calibration_data=DATA),
        "refused": refused,
        "layer": lambda path: layer(DATA).numpy().tobytes(),
        "file": file,
        "stablehlo": program,
        "dynamic_int8": content(to_tflite, model, quantization="dynamic_int8"),
        "stream": content(streaming_to_tflite, stream),
        "saved_model": served,
    }


@pytest.mark.parametrize(
    ("names", "seconds"),
    [
        (("float32", "int8", "refused", "layer", "file"), 0),
        pytest.param(None, 60, marks=pytest.mark.sweep),
    ],
    ids=["some", "all"],
)
def test_threads_may_do_everything_at_once(tmp_path, names, seconds, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    todo = {name: job for name, job in jobs().items() if names is None or name in names}
    before, end, results = process(), time.monotonic() + seconds, collections.defaultdict(list)
    numbers = itertools.count()

    def work(first):
        for name in itertools.islice(itertools.cycle(todo), first, None):
            results[name].append(todo[name](tmp_path / f"{next(numbers)}"))
            if time.monotonic() >= end:
                return

    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))
    assert results.keys() == todo.keys()
    assert {name: len(set(made)) for name, made in results.items()} == dict.fromkeys(todo, 1)
    assert process() == before
    assert not list(tmp_path.glob(f"{WORKPLACE}*"))
    print({name: len(made) for name, made in results.items()})
