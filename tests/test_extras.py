"""Each extra that is missing is asked for by name, before the work that would need it."""

import re
import sys

import keras
import numpy as np
import pytest

import lucid_keras as lk
from lucid_keras.cli import main
from lucid_keras.export import to_saved_model, to_tflite
from lucid_keras.runtimes import Pjrt


def up():
    return keras.Sequential([keras.Input((4, 5)), lk.ConvTranspose1d(4, 2, 3)])


def live():
    return lk.StreamingConvTranspose1d(lk.ConvTranspose1d(4, 2, 3))


def report():
    nothing = {"path": None, "kind": "", "quantization": "", "bytes": 0, "signatures": {}, "ops": (), "delegated": None}
    example = (np.ones((1, 2, 4)), np.ones((1, 2, 4)))
    proof = {"outputs": (), "floor_db": 0.0, "verified_on": "", "layers": (), "warnings": (), "example": example}
    return lk.export.ExportReport(
        **nothing, **proof, conditions=None, partitions=0, milliseconds=0.0, runtime="", stream="", versions={}
    )


# The module that is missing, what is said, and what needs it, given a folder.
NEEDS = {
    "LiteRT": ("ai_edge_litert.interpreter", "LiteRT.*export", lambda at: to_tflite(up(), at / "b.tflite")),
    "LiteRT, live": (
        "ai_edge_litert.interpreter",
        "LiteRT.*export",
        lambda at: lk.export.streaming_to_tflite(live(), at / "b.tflite"),
    ),
    "quantizer": (
        "litert_quantizer",
        "LiteRT Quantizer.*export",
        lambda at: to_tflite(up(), at / "b.tflite", quantization="dynamic_int8"),
    ),
    "recordings": (
        "soundfile",
        "soundfile.*export",
        lambda at: to_saved_model(up(), at / "b", verification_data=at / "a.wav"),
    ),
    "pictures": ("matplotlib.figure", "matplotlib.*export", lambda at: report().save_html(at / "b.html")),
    ".safetensors": ("safetensors", "safetensors.*interop", lambda at: lk.interop.describe(at / "a.safetensors")),
    ".pt": ("torch", "torch: pip install torch", lambda at: lk.interop.read_state_dict(at / "a.pt")),
    "from_torch": ("torch", "PyTorch.*torch", lambda at: lk.interop.from_torch(at / "a.pt2")),
    "import": ("torch", "PyTorch.*torch", lambda at: main(["import", str(at / "a.pt2"), str(at / "b.keras")])),
    "PJRT": ("jax", "jax.*pjrt", Pjrt),
    "inspect": ("rich", "rich.*export", lambda at: main(["inspect", str(at / "a.tflite")])),
    "verify": ("rich", "rich.*export", lambda at: main(["verify", str(at / "a.tflite"), str(at / "a.keras")])),
    "bench": ("rich", "rich.*export", lambda at: main(["bench", "4", "2", "3"])),
    "demo's table": ("rich.console", "rich.*demo", lambda at: main(["demo", "--out", str(at / "demo")])),
    "demo's sound": ("soundfile", "soundfile.*demo", lambda at: main(["demo", "--out", str(at / "demo")])),
    "demo's picture": ("matplotlib.figure", "matplotlib.*demo", lambda at: main(["demo", "--out", str(at / "demo")])),
}


@pytest.mark.parametrize("need", NEEDS)
def test_a_missing_extra_is_named_before_the_work(need, tmp_path, monkeypatch, capsys):
    module, said, run = NEEDS[need]
    for name in ("a.safetensors", "a.pt", "a.wav", "a.tflite"):
        (tmp_path / name).touch()
    for name in [name for name in sys.modules if name == module or name.startswith(f"{module}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    before = sorted(tmp_path.iterdir())
    try:
        assert run(tmp_path) == 1
        text = capsys.readouterr().err
    except ImportError as error:
        text = str(error)
    assert re.search(said, text)
    assert sorted(tmp_path.iterdir()) == before


def test_too_little_memory_is_one_line(monkeypatch, capsys):
    def fail():
        raise MemoryError

    monkeypatch.setattr("lucid_keras.cli.versions", fail)
    assert main(["version"]) == 1
    assert capsys.readouterr().err == "lucid-keras: the memory does not suffice\n"
