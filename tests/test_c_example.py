"""examples/c/live_decoder.c: compiled here and for ARM64, its numbers those of Keras, its errors one line each."""

import os
import pathlib
import shutil
import subprocess
from importlib.util import find_spec

import numpy as np
import pytest
from decoders import DECODERS

import lucid_keras as lk
from lucid_keras.export import streaming_to_tflite

SOURCE = pathlib.Path(__file__).resolve().parent.parent / "examples" / "c" / "live_decoder.c"
STRICT = ("-O2", "-Wall", "-Wextra", "-Werror", "-Wl,--allow-shlib-undefined")  # the library finds its own at run time
pytestmark = pytest.mark.runtimes


def arm64():
    """QEMU, the root of an ARM64 system and the folder of its Python's packages, where they are installed."""
    cache = os.environ.get("LUCID_KERAS_CACHE") or pathlib.Path.home() / ".cache" / "lucid_keras"
    folder = pathlib.Path(cache) / "arm64"
    return folder / "host" / "usr" / "bin" / "qemu-aarch64", folder / "root", folder / "site"


def here(folder):
    """The command of the program for this machine."""
    return [compiled("gcc", pathlib.Path(find_spec("ai_edge_litert").origin).parent, folder)]


def on_arm64(folder):
    """The command of the program for ARM64."""
    qemu, root, site = arm64()
    if not qemu.exists():
        pytest.skip("ARM64 is not here: lucid-keras runtimes install arm64")
    program = compiled("aarch64-linux-gnu-gcc", site / "ai_edge_litert", folder)
    return [qemu, "-cpu", "cortex-a76", "-L", root, program]


def compiled(compiler, litert, folder):
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not here: apt-get install gcc gcc-aarch64-linux-gnu libc6-dev-arm64-cross")
    program = folder / "live_decoder"
    library = litert / "libLiteRt.so"
    subprocess.run([compiler, *STRICT, "-o", program, SOURCE, library, "-lm", f"-Wl,-rpath,{litert}"], check=True)
    return program


@pytest.fixture(scope="module", params=[here, on_arm64])
def program(request, tmp_path_factory):
    return request.param(tmp_path_factory.mktemp("c"))


def run(program, *arguments):
    words = [*program, *arguments]
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=300)


def written(streaming, folder, rng, chunk=2, **options):
    """The program's arguments for a streaming layer or model: its file, chunks, samples, and numbers to leave out."""
    files = folder / "live.tflite", folder / "chunks.f32", folder / "expected.f32"
    streaming_to_tflite(streaming, files[0], chunk=chunk, timing_seconds=0, **options)
    signal = rng.standard_normal(streaming.chunk_shape(1, 12 * chunk)).astype("float32")
    signal.tofile(files[1])
    whole = streaming.whole(signal).numpy()
    whole.tofile(files[2])
    return [*files, streaming.latency * whole.shape[-1]]


def layer():
    """It has a latency and a flush."""
    return lk.StreamingConvTranspose1d(lk.ConvTranspose1d(6, 2, 8, 4, padding=2, data_format="channels_last"))


def last(text):
    """The last line that is the program's own: LiteRT has told the rest."""
    return [line for line in text.splitlines() if line.startswith("live_decoder: ")][-1]


@pytest.mark.parametrize("states", ["explicit", "variables"])
@pytest.mark.parametrize("name", ["layer", "encodec", "lagging"])
def test_the_program_decodes_what_keras_does(program, name, states, tmp_path, rng):
    streaming = layer() if name == "layer" else lk.StreamingModel(DECODERS[name]())
    arguments = written(streaming, tmp_path, rng, states=states)
    done = run(program, *arguments)
    assert done.returncode == 0, done.stderr
    count = np.fromfile(arguments[2], np.float32).size
    assert done.stdout.startswith(f"12 steps, {count} samples, ")
    assert float(done.stdout.split()[-2]) > 110


def test_other_numbers_are_an_error(program, tmp_path, rng):
    arguments = written(layer(), tmp_path, rng)
    expected = np.fromfile(arguments[2], np.float32)
    (expected + np.eye(1, expected.size, 5, "float32")[0] * 1e-3).tofile(arguments[2])
    done = run(program, *arguments)
    assert (done.returncode, last(done.stderr)) == (1, "live_decoder: the error must be at most 0.0001")
    assert run(program, *arguments, 0.01).returncode == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda files: files[1].write_bytes(files[1].read_bytes()[:-4]), "the chunks must have 48 bytes each"),
        (lambda files: files[1].write_bytes(b""), "there must be a chunk"),
        (lambda files: files[2].write_bytes(files[2].read_bytes()[:-4]), "more samples than are expected"),
        (lambda files: files[2].write_bytes(files[2].read_bytes() + bytes(4)), "more samples are expected"),
        (lambda files: files[0].write_bytes(b"no file of this kind"), "LiteRtCreateModelFromFile"),
        (lambda files: files[0].unlink(), "LiteRtCreateModelFromFile"),
    ],
)
def test_an_error_is_one_line(program, change, said, tmp_path, rng):
    arguments = written(layer(), tmp_path, rng)
    change(arguments[:3])
    done = run(program, *arguments)
    assert done.returncode == 1
    assert said in last(done.stderr)
    assert not done.stdout


def test_it_says_how_it_is_called(program):
    done = run(program)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: ")
