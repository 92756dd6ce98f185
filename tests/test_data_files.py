"""Files of samples, as `--calibration` and `--data` name them: read by the reader of checkpoints, refused in a line."""

import os
import struct
import warnings
import zipfile

import keras
import numpy as np
import pytest
import soundfile

from lucid_keras.export.samples import read_samples

INPUTS = {"mel": keras.KerasTensor((None, 8, None), "float32", name="mel")}
DATA = np.random.default_rng(1).standard_normal((3, 8, 5)).astype("float32")


def npy(shape, content=b""):
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return np.lib.format.MAGIC_PREFIX + b"\x01\x00" + struct.pack("<H", len(header)) + header + content


def twice(path):
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as archive:
        warnings.simplefilter("ignore")  # zipfile's own
        for name in ("mel", "mel.npy"):
            archive.writestr(name, npy((1, 8, 5), bytes(160)))


def flipped(path):
    np.savez(path, mel=DATA)
    content = bytearray(path.read_bytes())
    content[content.index(DATA.tobytes()) + 10] ^= 1
    path.write_bytes(content)


def broken_off(path, subtype):
    """A recording that lacks its last half."""
    noise = 0.1 * np.random.default_rng(0).standard_normal((16_000, DATA.shape[1]))
    soundfile.write(path, noise, 16_000, subtype=subtype)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


BAD = {
    "junk.npz": (lambda path: path.write_bytes(b"junk"), r"must be a whole \.npz of numbers.*not a zip file"),
    "empty.npz": (lambda path: path.write_bytes(b""), r"must be a whole \.npz"),
    "junk.npy": (lambda path: path.write_bytes(b"junk"), r"must be a whole \.npy of numbers"),
    "parentheses.npy": (lambda path: path.write_bytes(npy("(" * 5000)), "its header is damaged"),
    "huge.npy": (lambda path: path.write_bytes(npy((1 << 50,))), r"must hold \d+ bytes\. Received: 0"),
    "objects.npy": (lambda path: np.save(path, np.array([{}]), allow_pickle=True), "must be numeric"),
    "number.npy": (lambda path: np.save(path, np.float32(1)), "must be of shape"),
    "twice.npz": (twice, "a name must come once"),
    "flipped.npz": (flipped, "Bad CRC-32"),
    "pipe.npy": (os.mkfifo, "must be a file, not a folder, a pipe or a device"),
    "pipe.npz": (os.mkfifo, "must be a file, not a folder, a pipe or a device"),
    "pipe.wav": (os.mkfifo, "must be a file, not a folder, a pipe or a device"),
    "junk.wav": (lambda path: path.write_bytes(b"junk"), "recording must be readable"),
    "short.wav": (lambda path: broken_off(path, "PCM_16"), r"it breaks off after \d+ of \d+ bytes"),
    "short.flac": (lambda path: broken_off(path, "PCM_16"), "recording must be"),
    "short.ogg": (lambda path: broken_off(path, "VORBIS"), "recording must be"),
}


@pytest.mark.parametrize("file", BAD)
def test_a_file_that_holds_no_samples_is_refused(tmp_path, file):
    make, message = BAD[file]
    make(tmp_path / file)
    with pytest.raises(ValueError, match=message):
        read_samples(tmp_path / file, INPUTS)
    if not file.endswith(".npz"):  # which a folder of samples may hold beside them
        with pytest.raises(ValueError, match=message):
            read_samples(tmp_path, INPUTS)


def test_whole_files_are_read_through_links(tmp_path):
    np.save(tmp_path / "whole.npy", DATA)
    np.savez_compressed(tmp_path / "whole.npz", other_name=DATA)
    for name in ("whole.npy", "whole.npz"):
        (tmp_path / f"link-{name}").symlink_to(name)
        for sample, expected in zip(read_samples(tmp_path / f"link-{name}", INPUTS), DATA, strict=True):
            np.testing.assert_array_equal(sample["mel"][0], expected)


def test_recordings_are_read_through_links(tmp_path):
    soundfile.write(tmp_path / "whole.wav", DATA[0].T, 16000, subtype="FLOAT")
    (tmp_path / "link.wav").symlink_to("whole.wav")
    (sample,) = read_samples(tmp_path / "link.wav", INPUTS)
    np.testing.assert_array_equal(sample["mel"][0], DATA[0])
