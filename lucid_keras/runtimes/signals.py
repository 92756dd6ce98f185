"""A signal out of the bytes of a `.npy` file or of a recording, whole or refused, and samples as bytes again."""

import io
import struct

import numpy as np

from lucid_keras._extras import needed
from lucid_keras._untrusted import npy_array

RECORDINGS = (".wav", ".flac", ".ogg")
OGG = b"OggS"
UNKNOWN = (0, 0xFFFFFFFF)  # what programs write that stream a WAV and cannot go back to its beginning
Rate = int | None


def signal_of(content: bytes, suffix: str = ".npy") -> tuple[np.ndarray, Rate]:
    """The signal in the bytes of a file, and its rate in Hz: of a recording, `[positions, channels]`; None of others.

    Args:
        content: the bytes of the file.
        suffix: `".npy"` (default), `".wav"`, `".flac"` or `".ogg"`, which says what they are.

    Raises:
        ValueError: they are not a whole file of this kind; a recording that breaks off is none.
        ImportError: soundfile, which reads recordings, is not installed.

    Example:

    >>> import numpy as np
    >>> signal, rate = signal_of(bytes_of(np.zeros((480, 1), "float32"), ".wav", 24_000), ".wav")
    >>> signal.shape, rate
    ((480, 1), 24000)
    """
    if suffix == ".npy":
        return npy_array(content), None
    if suffix not in RECORDINGS:
        raise ValueError(f"A signal must be .npy, {', '.join(RECORDINGS)}. Received: {suffix!r}")
    return recording_of(content)


def recording_of(content: bytes) -> tuple[np.ndarray, int]:
    """The samples in the bytes of a recording, float32 `[positions, channels]`, and its rate in Hz.

    Args:
        content: the bytes of a file of any kind that libsndfile knows.

    Raises:
        ValueError: they are not a whole recording.
        ImportError: soundfile is not installed.

    Example:

    >>> import numpy as np
    >>> recording_of(bytes_of(np.zeros((2, 1), "float32"), ".wav", 8000)[:-1])
    Traceback (most recent call last):
    ...
    ValueError: a recording must be whole: it breaks off after 47 of 48 bytes
    """
    soundfile = needed("soundfile", "reading recordings needs soundfile")
    _check_whole(content)
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            samples, promised, rate = file.read(dtype="float32", always_2d=True), file.frames, file.samplerate
    except (soundfile.LibsndfileError, TypeError) as error:  # TypeError: without a header it asks what a raw file holds
        raise ValueError(f"a recording must be readable: {error}") from None
    if len(samples) != promised:
        raise ValueError(f"a recording must be whole: it breaks off after {len(samples)} of {promised} samples")
    return samples, rate


def _check_whole(content):
    """Of a WAV or an Ogg that breaks off libsndfile reads what is there, and says nothing."""
    if content[:4] == OGG:
        last = content.rfind(OGG)  # its last page says so
        if len(content) < last + 27 or not content[last + 5] & 4:
            raise ValueError("a recording must be whole: its last page is missing")
    if content[:4] == b"RIFF" and len(content) >= 8:
        (promised,) = struct.unpack("<I", content[4:8])
        if promised not in UNKNOWN and promised + 8 > len(content):
            raise ValueError(f"a recording must be whole: it breaks off after {len(content)} of {promised + 8} bytes")


def bytes_of(samples: np.ndarray, suffix: str = ".npy", rate: Rate = None) -> bytes:
    """Samples as the bytes of a file: `.npy`, or a recording `[positions, channels]` of 16 bits, clipped to full scale.

    Args:
        samples: an array; for a recording floating-point numbers, full scale at 1.
        suffix: as for `signal_of`.
        rate: int, Hz, which a recording needs.

    Raises:
        ValueError: another suffix, a recording without a rate, or not of two axes.
        ImportError: soundfile is not installed.

    Example:

    >>> import numpy as np
    >>> bytes_of(np.zeros(3, "float32"))[:6]
    b'\\x93NUMPY'
    """
    stream = io.BytesIO()
    if suffix == ".npy":
        np.save(stream, samples, allow_pickle=False)
    elif suffix not in RECORDINGS or rate is None or samples.ndim != 2:
        raise ValueError(
            f"Samples must become .npy, or with a rate and as [positions, channels] {', '.join(RECORDINGS)}. "
            f"Received: {suffix!r}, rate={rate}, shape={list(samples.shape)}"
        )
    else:
        soundfile = needed("soundfile", "writing recordings needs soundfile")
        kind = suffix[1:].upper()
        soundfile.write(stream, np.clip(samples, -1, 1), rate, format=kind, subtype=None if kind == "OGG" else "PCM_16")
    return stream.getvalue()
