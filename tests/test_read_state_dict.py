"""Reading checkpoints: every format gives the same arrays, and no file, however hostile, runs or allocates anything."""

import collections
import json
import os
import pickle
import pickletools
import random
import struct
import subprocess
import sys
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from lucid_writer import Tensor, lucid_bytes, write_sharded

from lucid_keras.interop import lucid_file, read_state_dict

RNG = np.random.default_rng(1)
STATE = {
    "up.weight": RNG.standard_normal((3, 2, 4)).astype("float32"),
    "up.bias": RNG.standard_normal(2).astype("float16"),
    "norm.num_batches_tracked": np.array(7, "int64"),
    "mask": np.array([[True, False]]),
    "empty": np.zeros((0, 3), "float32"),
}


def _lucid(state):
    return {name: Tensor(array) for name, array in state.items()}


def _torch(state):
    return {name: torch.from_numpy(array.copy()) for name, array in state.items()}


def _write_lucid_1(path, state):
    path.write_bytes(lucid_bytes(_lucid(state), version=1))


def _write_lucid_2(path, state):
    versions = collections.OrderedDict([("", {"version": 1}), ("up", {"version": 1})])
    path.write_bytes(lucid_bytes(collections.OrderedDict(_lucid(state)), _state_dict_metadata=versions))


class _WithVersions(collections.OrderedDict):
    """Pickles as the OrderedDict with an attribute that Lucid's modules give."""

    def __reduce__(self):
        versions = {"_metadata": {"": {"version": 1}}, "items": "not callable"}
        return (collections.OrderedDict, (), versions, None, iter(self.items()))


def _write_lucid_2_attribute(path, state):
    path.write_bytes(lucid_bytes(_WithVersions(_lucid(state))))


def _write_lucid_3(path, state):
    path.write_bytes(lucid_bytes(_lucid(state), protocol=3))


def _write_sharded(path, state):
    names = list(state)
    write_sharded(path, [_lucid({name: state[name] for name in part}) for part in (names[:2], names[2:])])


WRITERS = {
    "lucid_1.lucid": _write_lucid_1,
    "lucid_2.lucid": _write_lucid_2,
    "attribute.lucid": _write_lucid_2_attribute,
    "protocol_3.lucid": _write_lucid_3,
    "sharded": _write_sharded,
    "plain.npz": lambda path, state: np.savez(path, **state),
    "compressed.npz": lambda path, state: np.savez_compressed(path, **state),
    "plain.safetensors": lambda path, state: safetensors.numpy.save_file(state, path),
    "plain.pt": lambda path, state: torch.save(_torch(state), path),
    "legacy.pth": lambda path, state: torch.save(_torch(state), path, _use_new_zipfile_serialization=False),
    "lightning.ckpt": lambda path, state: torch.save({"epoch": 3, "state_dict": _torch(state), "loops": {}}, path),
    "hifigan.bin": lambda path, state: torch.save({"generator": _torch(state)}, path),
}


@pytest.mark.parametrize("file", WRITERS)
def test_every_format_gives_the_same_arrays(tmp_path, file):
    WRITERS[file](tmp_path / file, STATE)
    found = read_state_dict(tmp_path / file)
    assert sorted(found) == sorted(STATE)
    for name, array in STATE.items():
        assert type(found[name]) is np.ndarray
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
        found[name][...] = 0  # the caller's own


def test_column_major_arrays(tmp_path):
    array = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    np.savez(tmp_path / "a.npz", a=array)
    np.testing.assert_array_equal(read_state_dict(tmp_path / "a.npz")["a"], array)


def test_bfloat16_becomes_float32_exactly(tmp_path):
    tensor = torch.tensor([1.0, -0.15625, float("inf"), 3e38]).bfloat16()
    torch.save({"w": tensor}, tmp_path / "w.pt")
    safetensors.torch.save_file({"w": tensor}, tmp_path / "w.safetensors")
    half = Tensor(tensor.view(torch.int16).numpy(), "bfloat16")
    (tmp_path / "w.lucid").write_bytes(lucid_bytes({"w": half}))
    for file in ("w.pt", "w.safetensors", "w.lucid"):
        found = read_state_dict(tmp_path / file)["w"]
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, tensor.float().numpy())


def test_key_chooses_among_several_state_dicts(tmp_path):
    path = tmp_path / "gan.pt"
    torch.save({"model": {"g": _torch(STATE), "d": {"w": torch.ones(1)}}, "mpd": {"w": torch.ones(2)}}, path)
    assert sorted(read_state_dict(path, key="model.g")) == sorted(STATE)
    assert read_state_dict(path, key="mpd")["w"].shape == (2,)
    with pytest.raises(ValueError, match=r"key must lead to a state dict\. Received: key='model\.x'.*'g', 'd'"):
        read_state_dict(path, key="model.x")
    torch.save({"generator": _torch(STATE), "mpd": {"w": torch.ones(2)}}, path)
    with pytest.raises(ValueError, match=r"key must say which state dict is meant\..*'generator', 'mpd'"):
        read_state_dict(path)
    torch.save({"epoch": 3}, path)
    with pytest.raises(ValueError, match=r"a checkpoint must hold tensors by name\. Received: .*'epoch'"):
        read_state_dict(path)


def test_a_name_that_says_no_format(tmp_path):
    (tmp_path / "weights.h5").write_bytes(b"")
    with pytest.raises(ValueError, match=r"must end in one of \.safetensors, \.npz, .*Received: path=.*weights\.h5"):
        read_state_dict(tmp_path / "weights.h5")
    with pytest.raises(FileNotFoundError, match=r"Received: path=.*none\.pt"):
        read_state_dict(tmp_path / "none.pt")
    with pytest.raises(ValueError, match=r"must have an index\.json"):
        read_state_dict(tmp_path)


def test_reading_imports_no_framework(tmp_path):
    """The modules that read are loaded by themselves: the package around them needs Keras, they do not."""
    (tmp_path / "w.lucid").write_bytes(lucid_bytes(_lucid(STATE)))
    program = (
        "import sys, types, pathlib\n"
        "for name, path in (('lucid_keras', sys.argv[1]), ('lucid_keras.interop', sys.argv[1] + '/interop')):\n"
        "    module = types.ModuleType(name); module.__path__ = [path]; sys.modules[name] = module\n"
        "from lucid_keras.interop.state_dict import read_state_dict\n"
        "found = {'tensorflow', 'keras', 'torch', 'numpy'} & set(sys.modules)\n"
        "print(len(read_state_dict(sys.argv[2])), *sorted(found))"
    )
    import lucid_keras

    out = subprocess.run(
        [sys.executable, "-c", program, lucid_keras.__path__[0], str(tmp_path / "w.lucid")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert out.stdout.split() == [str(len(STATE)), "numpy"]


# ---- hostile files --------------------------------------------------------------------------------------------------


class Evil:
    """Unpickled, it would leave a trace."""

    ran = False

    def __reduce__(self):
        return (_leave_a_trace, ())


def _leave_a_trace():
    Evil.ran = True


@pytest.mark.parametrize("suffix", [".lucid", ".pt", ".npz"])
def test_code_in_a_file_is_refused_and_not_run(tmp_path, suffix):
    path = tmp_path / f"evil{suffix}"
    if suffix == ".lucid":
        path.write_bytes(lucid_bytes({"w": Evil()}))
    elif suffix == ".pt":
        torch.save({"w": Evil()}, path)
    else:
        np.savez(path, w=np.array([Evil()], object))
    Evil.ran = False
    with pytest.raises(
        ValueError, match=r"more than tensors, \S*_leave_a_trace; |never \S*_leave_a_trace|must be numeric"
    ):
        read_state_dict(path)
    assert not Evil.ran


def test_a_whole_pickled_module_is_refused_by_name(tmp_path):
    torch.save(torch.nn.Linear(2, 3), tmp_path / "m.pt")
    with pytest.raises(
        ValueError, match=r"m\.pt cannot be read with weights_only=True: .*Linear; .*save its state dict"
    ):
        read_state_dict(tmp_path / "m.pt")
    (tmp_path / "m.pt").write_bytes(b"hello")
    with pytest.raises(ValueError, match=r"m\.pt cannot be read with weights_only=True: UnpicklingError|KeyError"):
        read_state_dict(tmp_path / "m.pt")


def _stream(*operations):
    return b"\x80\x04" + b"".join(operations) + b"."


def _text(text):
    return b"\x8c" + bytes([len(text)]) + text.encode()


TENSOR = (_text("tensor_v3"), _text("float32"), _text("cpu"))

HOSTILE = {
    "empty": (b"", "readable"),
    "no_dict": (_stream(b"K\x01"), "must hold a dict"),
    "other_format": (pickle.dumps({"_lucid_format": 3, "obj": {}}), "_lucid_format 1 or 2"),
    "bytes_that_are_not_there": (_stream(b"\x8e" + struct.pack("<Q", 1 << 40) + b"abc"), "expected .* bytes"),
    "text_that_is_not_there": (_stream(b"\x8d" + struct.pack("<Q", 1 << 40) + b"abc"), "expected .* bytes"),
    "far_memo": (_stream(b"N", b"r" + struct.pack("<I", (1 << 32) - 1)), "beyond the operations"),
    "class_by_instance": (_stream(b"(ios\nsystem\n"), "INST .* has no place"),
    "extension_registry": (_stream(b"\x82\x01"), "EXT1 .* has no place"),
    "new_object": (_stream(_text("builtins") + _text("list") + b"\x93)\x81"), "NEWOBJ .* has no place"),
    "other_class": (_stream(_text("builtins") + _text("eval") + b"\x93"), "never builtins.eval"),
    "attribute_of_the_class": (
        _stream(_text("collections") + _text("OrderedDict.fromkeys") + b"\x93"),
        "never collections.OrderedDict.fromkeys",
    ),
    "deep": (_stream(b"(" * 20_000 + b"t" * 20_000), f"more than {lucid_file.MAX_DEPTH} deep"),
    "shared_tuples": (_stream(b")\x94", b"h\x00h\x00\x86\x94"), "may not be shared"),
    "cycle": (_stream(b"]\x94h\x00a"), "may not be shared"),
    "empty_stack": (_stream(b"\x86"), "too little on the stack"),
    "unknown_tensor": (_stream(_text("tensor_v9") + b"\x85Q"), "persistent id must be"),
    "huge_shape": (
        _stream(b"(", TENSOR[0], b"](" + b"J\xff\xff\xff\x7f" * 3 + b"e", *TENSOR[1:], b"C\x04abcd", b"tQ"),
        "must hold 39614081.* bytes",
    ),
    "negative_shape": (_stream(b"(", TENSOR[0], b"](J\xff\xff\xff\xffe", *TENSOR[1:], b"C\x04abcd", b"tQ"), "non-neg"),
    "unknown_dtype": (_stream(b"(", TENSOR[0], b"]", _text("object"), TENSOR[2], b"C\x04abcdtQ"), "dtype must be"),
    "bytes_many_times": (
        _stream(
            b"(",
            b"B" + struct.pack("<I", 4000) + bytes(4000) + b"\x94",
            *[b"(" + TENSOR[0] + b"]M\xe8\x03a" + TENSOR[1] + TENSOR[2] + b"h\x00tQ"] * 1000,
            b"t",
        ),
        "more bytes than the file",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_lucid_files(name):
    content, message = HOSTILE[name]
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=message):
            lucid_file.loads(content)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


def test_endless_lucid_files(monkeypatch):
    monkeypatch.setattr(lucid_file, "MAX_OPERATIONS", 100)
    with pytest.raises(ValueError, match="at most 100 operations"):
        lucid_file.loads(_stream(b"N" * 200))


def _damaged(content, random_numbers):
    """A copy of `content`, cut short or with a few bytes changed, inserted or left out."""
    content = bytearray(content)
    for _ in range(random_numbers.choice((1, 1, 2, 5))):
        place = random_numbers.randrange(len(content))
        match random_numbers.randrange(4):
            case 0:
                content = content[: place + 1]
            case 1:
                content[place] = random_numbers.randrange(256)
            case 2:
                content[place:place] = random_numbers.randbytes(random_numbers.choice((1, 4, 8)))
            case 3:
                del content[place : place + random_numbers.choice((1, 4, 8))]
        if not content:
            break
    return bytes(content)


@pytest.mark.parametrize("file", ["lucid_1.lucid", "lucid_2.lucid", "compressed.npz", "plain.safetensors", "plain.pt"])
def test_damaged_files_are_read_or_refused(tmp_path, file):
    """Thousands of damaged copies: each gives arrays or a ValueError, never anything else, never much memory."""
    path = tmp_path / file
    WRITERS[file](path, STATE)
    content = path.read_bytes()
    random_numbers = random.Random(file)
    refused = 0
    tries = 300 if file.endswith(".pt") else 1500
    tracemalloc.start()
    try:
        for _ in range(tries):
            path.write_bytes(_damaged(content, random_numbers))
            try:
                read_state_dict(path)
            except ValueError:
                refused += 1
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20e6
    assert tries // 4 < refused < tries


ARGUMENTS = {
    "SHORT_BINUNICODE": [_text(text)[1:] for text in ("collections", "OrderedDict", "tensor_v3", "float32", "obj")],
    "SHORT_BINBYTES": [b"\x04abcd", b"\x00"],
    "GLOBAL": [b"collections\nOrderedDict\n"],
    "BININT1": [b"\x00", b"\x02"],
    "BINPUT": [b"\x00", b"\x03"],
    "BINGET": [b"\x00", b"\x03"],
}


def _program(random_numbers, length):
    """A random program of permitted operations, each of which finds on the stack what it takes."""
    plain = [op for op in pickletools.opcodes if op.name in lucid_file.OPERATIONS and op.arg is None]
    with_argument = [op for op in pickletools.opcodes if op.name in ARGUMENTS]
    program = b"\x80\x04"
    for _ in range(length):
        operation = random_numbers.choice(plain + with_argument)
        longer = program + operation.code.encode("latin-1")
        longer += random_numbers.choice(ARGUMENTS.get(operation.name, [b""]))
        try:
            lucid_file.check_operations(longer + b"N.")
        except ValueError:
            continue
        program = longer
    return program + b"."


def test_random_programs_are_read_or_refused():
    """What passes the check of the operations runs in the unpickler, and does nothing but fail to be a state dict."""
    random_numbers = random.Random(0)
    for _ in range(300):
        with pytest.raises(ValueError, match=r"is not a readable \.lucid file|a \.lucid file must hold"):
            lucid_file.loads(_program(random_numbers, length=random_numbers.randrange(3, 60)))


def test_zip_bombs(tmp_path):
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, w=np.zeros(80 << 20, "int8"))
    assert path.stat().st_size < 1 << 20
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"it unfolds to \d+ bytes, more than"):
            read_state_dict(path)
        renamed = path.rename(tmp_path / "bomb.pt")
        with pytest.raises(ValueError, match=r"it unfolds to \d+ bytes, more than"):
            read_state_dict(renamed)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("shape", ["(1000000000000,)", "(4,), 'x': 1"])
def test_npz_with_a_header_that_lies(tmp_path, shape):
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode()
    member = np.lib.format.MAGIC_PREFIX + b"\x01\x00" + struct.pack("<H", len(header)) + header + bytes(16)
    path = tmp_path / "lie.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("w.npy", member)
    with pytest.raises(ValueError, match=r"lie\.npz is not a readable \.npz file: .*(must hold 4000000000000|keys)"):
        read_state_dict(path)


def _flipped(path, positions):
    """Writes the file again for each position, with one bit of the byte there turned over."""
    content = path.read_bytes()
    for position in positions:
        path.write_bytes(content[:position] + bytes([content[position] ^ 16]) + content[position + 1 :])
        yield


@pytest.mark.parametrize("file", ["plain.pt", "compressed.npz"])
def test_one_wrong_bit_is_refused_or_changes_nothing(tmp_path, file):
    path = tmp_path / file
    WRITERS[file](path, STATE)
    refused = 0
    size = path.stat().st_size
    for _ in _flipped(path, [*range(0, size, 29), *range(size - 400, size)]):  # its directory is at the end
        try:
            found = read_state_dict(path)
        except ValueError:
            refused += 1
            continue
        for name, array in STATE.items():
            np.testing.assert_array_equal(found[name], array)
    assert refused > 10


def _npz_twice(path, names):
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as archive:
        warnings.simplefilter("ignore")  # zipfile's own, of a name that comes twice
        for number, name in enumerate(names):
            with archive.open(name, "w") as member:
                np.lib.format.write_array(member, np.full(2, number, "float32"))


def _pt_twice(path):
    torch.save({"w": torch.ones(2)}, path)
    with warnings.catch_warnings(), zipfile.ZipFile(path, "a") as archive:
        warnings.simplefilter("ignore")
        data = next(name for name in archive.namelist() if name.endswith("data/0"))
        archive.writestr(data, bytes(8))


def _safetensors_twice(path):
    tensor = '"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
    header = f"{{{tensor},{tensor}}}".encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))


TWICE = {
    "a.npz": lambda path: _npz_twice(path, ["w.npy", "w.npy"]),
    "b.npz": lambda path: _npz_twice(path, ["w", "w.npy"]),
    "c.pt": _pt_twice,
    "d.safetensors": _safetensors_twice,
}


@pytest.mark.parametrize("file", TWICE)
def test_a_name_that_comes_twice_is_refused(tmp_path, file):
    TWICE[file](tmp_path / file)
    with pytest.raises(ValueError, match=r"a name must come once\. Received: '.*' twice"):
        read_state_dict(tmp_path / file)


@pytest.mark.parametrize("suffix", [".safetensors", ".npz", ".pt", ".lucid"])
def test_what_is_no_file_is_refused_at_once(tmp_path, suffix):
    WRITERS[f"plain{suffix}" if suffix != ".lucid" else "lucid_2.lucid"](tmp_path / "real", STATE)
    real = next(tmp_path.glob("real*"))
    (tmp_path / f"link{suffix}").symlink_to(real)
    assert sorted(read_state_dict(tmp_path / f"link{suffix}")) == sorted(STATE)
    os.mkfifo(tmp_path / f"pipe{suffix}")
    (tmp_path / f"endless{suffix}").symlink_to("/dev/zero")
    for name in ("pipe", "endless"):
        with pytest.raises(ValueError, match=rf"must be a file, not a folder, a pipe or a device\..*{name}\{suffix}"):
            read_state_dict(tmp_path / f"{name}{suffix}")


def test_what_does_not_fit_into_memory_is_refused(tmp_path, monkeypatch):
    np.savez(tmp_path / "w.npz", w=np.zeros(4))
    size = (tmp_path / "w.npz").stat().st_size
    monkeypatch.setattr("lucid_keras._untrusted._memory", lambda: size - 1)
    with pytest.raises(ValueError, match=rf"must fit into memory, {size - 1} bytes\. Received: .*w\.npz' of {size}"):
        read_state_dict(tmp_path / "w.npz")


def test_torch_views_that_repeat_their_numbers(tmp_path):
    path = tmp_path / "expanded.pt"
    torch.save({"w": torch.ones(1).expand(10**10)}, path)
    with pytest.raises(ValueError, match=r"holds at most 67108864 bytes\. Received: .*40000000000"):
        read_state_dict(path)
    torch.save({"w": torch.ones(4).expand(3, 4)}, path)
    np.testing.assert_array_equal(read_state_dict(path)["w"], np.ones((3, 4)))


def test_torch_tensors_that_are_no_plain_numbers(tmp_path):
    torch.save({"w": torch.eye(3).to_sparse()}, tmp_path / "sparse.pt")
    with pytest.raises(
        ValueError, match=r"a tensor must be dense and hold plain numbers\. Received: w of torch\.sparse"
    ):
        read_state_dict(tmp_path / "sparse.pt")


@pytest.mark.parametrize("file", ["../outside.lucid", "/etc/passwd", "", ".."])
def test_shards_stay_in_their_directory(tmp_path, file):
    (tmp_path / "outside.lucid").write_bytes(lucid_bytes(_lucid(STATE)))
    (tmp_path / "model").mkdir()
    index = {"_lucid_sharded": 1, "shards": [{"file": file, "keys": list(STATE)}]}
    (tmp_path / "model" / "index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match=r"a shard must be a file beside its index\. Received: file="):
        read_state_dict(tmp_path / "model")


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ("[]", "not the index"),
        ("{", "not the index"),
        ('{"_lucid_sharded": 1, "shards": [], "shards": []}', "a name must come once"),
        ('{"shards": []}', "_lucid_sharded: 1"),
        ('{"_lucid_sharded": 1, "shards": [{"file": "a.lucid", "keys": ["x"]}]}', "the keys that the index names"),
    ],
)
def test_broken_indexes(tmp_path, index, message):
    (tmp_path / "a.lucid").write_bytes(lucid_bytes(_lucid(STATE)))
    (tmp_path / "index.json").write_text(index)
    with pytest.raises(ValueError, match=message):
        read_state_dict(tmp_path)


def test_torch_is_needed_for_its_own_files_only(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / "w.pt").write_bytes(b"")
    with pytest.raises(ImportError, match=r"reading a PyTorch file .* needs torch: pip install torch"):
        read_state_dict(tmp_path / "w.pt")
    monkeypatch.setitem(sys.modules, "safetensors", None)
    (tmp_path / "w.safetensors").write_bytes(b"")
    with pytest.raises(ImportError, match=r"pip install 'lucid_keras\[interop\]'"):
        read_state_dict(tmp_path / "w.safetensors")


def test_the_stream_builder_of_these_tests_is_right():
    """A harmless stream from the same pieces is read: the hostile ones fail for what is hostile in them."""
    tensor = b"(" + TENSOR[0] + b"](K\x01e" + TENSOR[1] + TENSOR[2] + b"C\x04\x00\x00\x80\x3ftQ"
    content = _stream(b"}(" + _text("_lucid_format") + b"K\x02" + _text("obj") + b"}" + _text("w") + tensor + b"su")
    np.testing.assert_array_equal(lucid_file.loads(content)["w"], np.ones(1, "float32"))
