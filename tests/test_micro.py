"""Microcontrollers: what the guest runs and refuses, and the C array of export/micro, compiled and byte for byte."""

import pathlib
import re
import subprocess
import sys

import keras
import numpy as np
import pytest

import lucid_keras as lk
from lucid_keras.export import flatbuffer_edits, streaming_to_tflite, to_tflite
from lucid_keras.runtimes import RUNTIMES

ROOT = pathlib.Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "saved_models" / "golden" / "whole"
pytestmark = pytest.mark.runtimes

PROGRAM = """\
#include <cstdio>
#include "int8.h"
int main() {
  std::fwrite(int8_tflite, 1, int8_tflite_length, stdout);
  return (reinterpret_cast<uintptr_t>(int8_tflite) %% 16) || int8_arena_size < 1 || !(int8_input_0_scale > 0) ||
         int8_input_0_zero_point != %d || !(int8_output_0_scale > 0) || int8_output_0_zero_point != %d;
}
"""


@pytest.fixture(scope="module")
def micro():
    return RUNTIMES["micro"]


@pytest.fixture(scope="module")
def mel():
    return np.load(GOLDEN / "outputs.npz")["mel"]


def c_array(*arguments):
    words = [sys.executable, str(ROOT / "export" / "micro" / "c_array.py"), *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, timeout=300)


def moved_behind(content):
    """The file with its weights behind the flatbuffer, as the LiteRT Quantizer writes large ones."""
    model = flatbuffer_edits.unpacked(content)
    moved = [buffer for buffer in model.buffers if buffer.data is not None and len(buffer.data) > 64]
    weights = [bytes(buffer.data) for buffer in moved]
    for buffer in moved:
        buffer.data, buffer.offset, buffer.size = None, 2, 1
    end = -(-len(flatbuffer_edits.packed(model)) // 16) * 16
    for buffer, values in zip(moved, weights, strict=True):
        buffer.offset, buffer.size = end, len(values)
        end += -(-len(values) // 16) * 16
    flatbuffer = flatbuffer_edits.packed(model).ljust(moved[0].offset, b"\0")
    return flatbuffer + b"".join(values.ljust(-(-len(values) // 16) * 16, b"\0") for values in weights)


@pytest.mark.parametrize(("recipe", "least"), [("float32", 110), ("int8", 40), ("int16x8", 90)])
def test_what_it_runs_is_what_litert_gives(micro, recipe, least, mel):
    content = (GOLDEN / f"{recipe}.tflite").read_bytes()
    here, there = (RUNTIMES["litert"](content), micro(content))
    expected, given = (one.run("serving_default", {"mel": mel})["wave"] for one in (here, there))
    assert lk.export.snr_db([expected], [given]) > least
    assert there.coverage().memory % 16 == 0
    assert 8_000 < there.coverage().memory < 64_000


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ("float16", "takes no float16, as in 'golden_1/odd_stride_1/Conv2D'"),
        ("dynamic_int8", "takes no int8 weights for float32"),
        ("weight_only_int8", "dequantizes by one scale, and would take the first for all; .* has 40"),
        ("weight_only_int4", "takes no int4"),
    ],
)
def test_a_recipe_that_it_would_compute_wrongly_is_refused(micro, recipe, said):
    with pytest.raises(ValueError, match=f"Micro must run the file. Received: a microcontroller {said}"):
        micro(GOLDEN / f"{recipe}.tflite")


def test_what_else_it_does_not_take_is_refused(micro, mel, tmp_path):
    layer = lk.ConvTranspose1d(6, 4, 8, 4, data_format="channels_last")
    to_tflite(keras.Sequential([keras.Input((None, 6)), layer]), tmp_path / "open.tflite", length="dynamic")
    with pytest.raises(ValueError, match="takes no open length"):
        micro(tmp_path / "open.tflite")
    streaming = lk.StreamingConvTranspose1d(layer)
    streaming_to_tflite(streaming, tmp_path / "variables.tflite", states="variables", timing_seconds=0)
    with pytest.raises(ValueError, match="takes no states in variables"):
        micro(tmp_path / "variables.tflite")
    streaming_to_tflite(streaming, tmp_path / "live.tflite", timing_seconds=0)
    with pytest.raises(ValueError, match="a file's first signature, 'step', not 'initial_state'"):
        micro(tmp_path / "live.tflite").run("initial_state", {})
    behind = moved_behind((GOLDEN / "int8.tflite").read_bytes())
    here = RUNTIMES["litert"](GOLDEN / "int8.tflite").run("serving_default", {"mel": mel})
    np.testing.assert_array_equal(RUNTIMES["litert"](behind).run("serving_default", {"mel": mel})["wave"], here["wave"])
    with pytest.raises(ValueError, match="takes no weights behind the flatbuffer"):
        micro(behind)


def test_an_operator_that_it_has_not_is_named(micro, tmp_path):
    path = tmp_path / "gelu.tflite"
    to_tflite(keras.Sequential([keras.Input((8, 4)), keras.layers.Activation("gelu")]), path, timing_seconds=0)
    with pytest.raises(ValueError, match="Received: Didn't find op for builtin opcode 'GELU'"):
        micro(path)


def test_the_array_holds_the_file_and_compiles(tmp_path, rng):
    model = keras.models.load_model(GOLDEN / "decoder.keras")
    model.save(tmp_path / "model.keras")
    data = rng.uniform(-1, 1, (40, 8, 24)).astype("float32")
    path = tmp_path / "int8.tflite"
    to_tflite(model, path, quantization="int8", length=24, calibration_data=data, integer_io=True, timing_seconds=0)
    done = c_array(path, tmp_path / "model.keras", tmp_path / "array")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^int8.tflite: [\d,]+ bytes of constants, [\d,]+ of arena, [\d.]+ dB in ", done.stdout, re.M)
    (given, gives) = RUNTIMES["litert"](path).details("serving_default")
    zeros = given["mel"]["quantization"][1], gives["wave"]["quantization"][1]
    (tmp_path / "array" / "main.cc").write_text(PROGRAM % zeros)
    sources = [tmp_path / "array" / name for name in ("main.cc", "int8.cc")]
    compiler = ["g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-o", tmp_path / "program"]
    subprocess.run([*compiler, *sources], check=True)
    program = subprocess.run([tmp_path / "program"], capture_output=True)
    assert program.returncode == 0
    assert program.stdout == path.read_bytes()
    subprocess.run(["gcc", "-fsyntax-only", "-x", "c", tmp_path / "array" / "int8.h"], check=True)  # C takes the header


def test_what_is_refused_or_below_the_floor_is_one_line_and_not_written(tmp_path):
    model, folder = GOLDEN / "decoder.keras", tmp_path / "array"
    done = c_array(GOLDEN / "weight_only_int8.tflite", model, folder)
    assert done.returncode == 1
    assert re.fullmatch(r"c_array: On the runtime 'micro': .* by one scale.*", done.stderr.splitlines()[-1])
    done = c_array(GOLDEN / "int8.tflite", model, folder, "--floor", "60")
    assert "must reach 60 dB" in done.stderr.splitlines()[-1]
    assert "c_array: " in c_array(tmp_path / "none.tflite", model, folder).stderr.splitlines()[-1]
    assert not folder.exists()
