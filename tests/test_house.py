"""The house itself: what is public, what an import costs, that documentation runs."""

import dataclasses
import doctest
import importlib
import inspect
import os
import pathlib
import re
import subprocess
import sys
from typing import get_args

import pytest
import tensorflow as tf

import lucid_keras as lk
from lucid_keras.export import recipes
from lucid_keras.export.streaming import StreamingQuantization

ROOT = pathlib.Path(__file__).parent.parent
UNDOCUMENTED = ("__version__", "export", "interop")
PUBLIC = {
    module: [name for name in module.__all__ if name not in UNDOCUMENTED] for module in (lk, lk.export, lk.interop)
}
OBJECTS = {name: getattr(module, name) for module, names in PUBLIC.items() for name in names}
CALLED = {"BelowFloorError": lk.export.BelowFloorError.retry, "Stage": lk.Stage.step}  # of what nobody makes


def sections(thing):
    """What the docstring of a public name must have, by its kind."""
    if dataclasses.is_dataclass(thing):
        return ["Attributes:"]
    if isinstance(thing, type):
        return ["Args:", "Raises:", "Source:"]
    of_mathematics = thing.__name__ in ("conv_transpose1d", "fold_weight_norm")
    return ["Args:", "Returns:", "Raises:"] + ["Source:"] * of_mathematics


@pytest.mark.parametrize("name", OBJECTS)
def test_every_public_name_has_its_sections_and_says_each_argument(name):
    thing = CALLED.get(name, OBJECTS[name])
    text = inspect.getdoc(thing)
    for section in sections(thing):
        assert f"\n{section}\n" in text or f"\n{section} " in text, section
    described = text.partition("\nAttributes:\n" if dataclasses.is_dataclass(thing) else "\nArgs:\n")[2]
    described = described.partition("\n\n")[0]
    arguments = {parameter.name for parameter in inspect.signature(thing).parameters.values()} - {"kwargs", "self"}
    assert arguments
    assert arguments <= set(re.findall(r"\w+", " ".join(re.findall(r"^    (\w.*?):", described, re.MULTILINE))))


@pytest.mark.parametrize("name", OBJECTS)
def test_every_public_name_has_an_example_that_runs(name):
    thing = OBJECTS[name]
    module = importlib.import_module(thing.__module__)
    own = doctest.DocTestParser().get_doctest(inspect.getdoc(thing), dict(vars(module)), name, None, None)
    results = doctest.DocTestRunner().run(own)
    assert results.attempted > 0
    assert results.failed == 0


def test_every_public_name_is_in_the_script_that_the_type_checkers_read():
    used = set(re.findall(r"(?<=\.)\w+", (ROOT / "tests/typing/public_names.py").read_text()))
    assert {*lk.__all__, *lk.export.__all__, *lk.interop.__all__} <= used


def test_what_is_imported_late_is_listed_and_nothing_else_is_there():
    assert {*lk.__all__} <= {*dir(lk)}
    with pytest.raises(AttributeError, match="no attribute 'exports'"):
        _ = lk.exports


def test_an_import_adds_this_package_alone():
    """Extras come when they are asked for; Keras and TensorFlow bring what they bring."""
    before = "import sys, keras, tensorflow; before = set(sys.modules)"
    script = f"{before}; import lucid_keras; print(*{{name.split('.')[0] for name in set(sys.modules) - before}})"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    added = set(result.stdout.split())
    assert "lucid_keras" in added  # the check sees modules
    assert not added & {
        "torch",
        "ai_edge_litert",
        "litert_quantizer",
        "matplotlib",
        "soundfile",
        "safetensors",
        "rich",
    }


def test_the_constraints_hold_names_and_versions_only():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+]+", pin) for pin in pins)
    names = {pin.split("==")[0].lower() for pin in pins}
    assert {"tensorflow", "keras", "numpy", "ai-edge-litert", "torch"} <= names


@pytest.mark.parametrize("names", [("lowerings",), ("dtypes", "layer", "house")], ids=lambda names: names[0])
def test_without_onednn(names):
    """The lowerings on TensorFlow's other CPU kernels, which stand for ARM's and macOS's."""
    files = [f"tests/test_{name}.py" for name in names]
    selection = "refuses or eager or unknown or empty or second_order or forward_and_gradients or training"
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", selection, *files],
        env={**os.environ, "TF_ENABLE_ONEDNN_OPTS": "0"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-3000:]
    assert re.search(r"\d{3} passed", result.stdout)


@pytest.mark.skipif(os.environ.get("TF_ENABLE_ONEDNN_OPTS") != "0", reason="says something of the run without oneDNN")
def test_tensorflow_refuses_grouped_gradients_without_onednn():
    """If this passes, the run around it is the one that it claims to be."""
    x, kernel = tf.ones([1, 1, 4, 4]), tf.ones([1, 2, 2, 4])
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        y = tf.nn.conv2d(x, kernel, 1, "VALID")
    with pytest.raises(tf.errors.OpError):
        tape.gradient(y, kernel).numpy()


def test_type_checkers_know_the_recipes():
    """What is a Literal for them is a dict for the exporters."""
    streaming = [name for name, recipe in recipes.RECIPES.items() if recipe.streams]
    assert list(get_args(recipes.Quantization)) == list(recipes.RECIPES)
    assert list(get_args(StreamingQuantization)) == streaming
