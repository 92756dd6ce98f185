"""Apache Beam: a folder, a table, records; what is there is whole, the rest is decoded, or has a reason."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import soundfile
import tensorflow as tf
from conftest import ROOT, drawn

PROGRAM = ROOT / "export/batch/beam.py"
LIMIT = 300


def command(*arguments):
    return [sys.executable, str(PROGRAM), *map(str, arguments)]


def decode(*arguments):
    """The last line that the program says."""
    done = subprocess.run(command(*arguments), capture_output=True, text=True, check=False, timeout=LIMIT)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def named():
    """Signals of many lengths, some in a folder within the folder."""
    lengths = np.random.default_rng(0).integers(20, 300, 40)
    signals = drawn(map(int, lengths), seed=1)
    return {f"{'more/' if number % 4 == 0 else ''}u{number}": signal for number, signal in enumerate(signals)}


@pytest.fixture
def folder(named, tmp_path):
    for name, signal_ in named.items():
        path = tmp_path / "in" / f"{name}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, signal_)
    return tmp_path / "in"


def check(served, named, out, suffix=".wav"):
    """Every output is whole and right, and there are no others."""
    assert outputs(out) == sorted(f"{name}{suffix}" for name in named)
    for name, signal_ in named.items():
        if suffix == ".npy":
            assert served.is_right(signal_, np.load(out / f"{name}.npy"))
            continue
        samples, rate = soundfile.read(out / f"{name}.wav", dtype="float32", always_2d=True)
        assert rate == 24_000
        np.testing.assert_allclose(samples, np.clip(served.expected(signal_), -1, 1), atol=1 / 2**14)


def outputs(out):
    return sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.suffix in (".wav", ".npy"))


@pytest.mark.parametrize("options", [(), ("--direct_num_workers", 2, "--direct_running_mode", "multi_processing")])
def test_a_folder(options, served, named, folder, tmp_path):
    out = tmp_path / "out"
    told = decode(served.saved_model, folder, out, "--rate", 24_000, *options)
    assert told == f"40 decoded, 0 there, 0 set aside: {out}"
    check(served, named, out)


def test_a_file_and_arrays(served, named, folder, tmp_path):
    decode(served.tflite, folder, tmp_path / "out")
    check(served, named, tmp_path / "out", ".npy")


def test_a_second_run_does_what_is_missing(served, named, folder, tmp_path):
    out = tmp_path / "out"
    decode(served.saved_model, folder, out, "--rate", 24_000)
    kept = {path: path.stat().st_mtime_ns for path in out.rglob("*.wav")}
    for missing in ("u1.wav", "more/u4.wav"):
        (out / missing).unlink()
    assert decode(served.saved_model, folder, out, "--rate", 24_000) == f"2 decoded, 38 there, 0 set aside: {out}"
    check(served, named, out)
    assert sum(path.stat().st_mtime_ns != moment for path, moment in kept.items()) == 2


@pytest.mark.parametrize("after", [0, 1, 33])
def test_a_run_that_is_killed_leaves_whole_files_and_goes_on(after, served, named, folder, tmp_path):
    out = tmp_path / "out"
    arguments = served.saved_model, folder, out, "--rate", 24_000, "--together", 2
    killed = subprocess.Popen(command(*arguments), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + LIMIT
    while len(outputs(out)) < after if after else not out.exists():
        assert time.monotonic() < deadline
        assert killed.poll() is None
        time.sleep(0.001)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    whole = outputs(out)
    check(served, {name: named[name] for name in (one.removesuffix(".wav") for one in whole)}, out)
    told = decode(*arguments)
    assert told == f"{40 - len(whole)} decoded, {len(whole)} there, 0 set aside: {out}"
    check(served, named, out)
    assert not list((out / ".partial").iterdir())


def test_bad_files_are_set_aside_with_their_reasons(served, named, folder, tmp_path):
    (x,) = drawn([30])
    np.save(folder / "nan.npy", np.where(x > 1, np.nan, x))
    np.save(folder / "narrow.npy", x[:, :3])
    (folder / "junk.npy").write_bytes(b"junk")
    soundfile.write(folder / "cut.wav", x, 24_000)
    (folder / "cut.wav").write_bytes((folder / "cut.wav").read_bytes()[:-7])
    out = tmp_path / "out"
    told = decode(served.saved_model, folder, out, "--rate", 24_000)
    assert told == f"40 decoded, 0 there, 4 set aside: {out} (set_aside/ says why)"
    check(served, named, out)
    reasons = {path.stem: path.read_text() for path in (out / "set_aside").iterdir()}
    assert set(reasons) == {"nan", "narrow", "junk", "cut"}
    assert "must be finite" in reasons["nan"]
    assert "Received: float32[30, 3]" in reasons["narrow"]
    assert "breaks off after" in reasons["cut"]


def example(name, array):
    feature = tf.train.Feature
    features = {
        "name": feature(bytes_list=tf.train.BytesList(value=[name.encode()])),
        "features": feature(float_list=tf.train.FloatList(value=array.ravel())),
        "shape": feature(int64_list=tf.train.Int64List(value=array.shape)),
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def as_parquet(named, path):
    columns = {"name": list(named), "features": [array.tolist() for array in named.values()]}
    pyarrow.parquet.write_table(pyarrow.table(columns), path)


def as_tfrecord(named, path):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for name, array in named.items():
            writer.write(example(name, array))


@pytest.mark.parametrize(("name", "written"), [("all.parquet", as_parquet), ("all.tfrecord", as_tfrecord)])
def test_tables_and_records(name, written, served, named, tmp_path):
    (x,) = drawn([30])
    path, out = tmp_path / name, tmp_path / "out"
    written(named | {"../outside": x, "set_aside/x": x}, path)
    told = decode(served.saved_model, path, out, "--rate", 24_000)
    assert told == f"40 decoded, 0 there, 2 set aside: {out} (set_aside/ says why)"
    check(served, named, out)
    assert not (tmp_path / "outside.wav").exists()
    assert "within the folder. Received: '../outside'" in (out / "set_aside" / "outside.txt").read_text()


@pytest.mark.parametrize(
    ("source", "options", "sentence"),
    [
        ("empty", (), "The folder must hold files of .npy"),
        ("twice", (), "Files must differ by more than their endings. Received: a"),
        ("in", ("--format", ".flac"), "a recording needs a rate"),
        ("in", ("--model", "missing"), "The artefact must exist. Received: "),
        ("in", ("--out", "in"), "must have a folder of their own"),
    ],
)
def test_what_cannot_be_is_one_line(source, options, sentence, served, folder, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "twice").mkdir()
    for ending in (".npy", ".wav"):
        (tmp_path / "twice" / f"a{ending}").touch()
    given = dict(zip(options[::2], options[1::2], strict=True))
    model, out = given.pop("--model", served.saved_model), given.pop("--out", "out")
    rest = [one for pair in given.items() for one in pair]
    done = subprocess.run(
        command(model, tmp_path / source, tmp_path / out, *rest),
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("beam: ")
    assert sentence in done.stderr
    assert not pathlib.Path(tmp_path / "out" / "set_aside").exists()
