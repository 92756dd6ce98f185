"""Samples of a model's inputs, from arrays, `.npz` and `.npy` files, generators and folders of recordings, checked.

A sample is a dict of one array per input, each with a batch axis of 1. What the user gives may leave the batch axis
out, and where the model leaves a length open a sample may be longer than the artefact's: it is cut into windows.
"""

import dataclasses
import itertools
import os
import pathlib
from collections.abc import Iterable, Mapping

import numpy as np

from lucid_keras._arrays import array_of_numbers
from lucid_keras._untrusted import content_of, npy_array, npz_arrays
from lucid_keras.export.drawn_samples import drawn_samples, vocabularies, what_is_drawn
from lucid_keras.export.progress import each
from lucid_keras.runtimes.signals import RECORDINGS, signal_of

Data = np.ndarray | Mapping[str, np.ndarray] | Iterable[np.ndarray | Mapping[str, np.ndarray]] | str | os.PathLike[str]

MOST_SAMPLES = 512  # taken from a source; more change no range and cost minutes


def read_samples(source, inputs):
    """The samples of `source` for `inputs`, a dict of `keras.KerasTensor`s by name.

    Args:
        source: an array `[samples, ...]` (for one input), a dict of such arrays by input name, an iterable of samples
            (arrays or dicts of arrays), or the path of a `.npz` (arrays by input name), a `.npy`, a recording, or
            a folder of recordings and `.npy` files, each one sample.
        inputs: the inputs by name, with None for open extents.

    Returns:
        A list of samples.

    Raises:
        ValueError: no sample, a wrong shape, NaN or infinity, an unreadable file.
        TypeError: a wrong dtype, or a source that is none of the above.
    """
    taken = itertools.islice(_raw(source, inputs), MOST_SAMPLES)
    samples = each(lambda sample: _checked(sample, inputs), taken, "reading samples")
    if not samples:
        raise ValueError(f"The data must hold at least one sample. Received: {_described(source)}")
    return samples


def windows(samples, signature):
    """The samples cut to the signature's lengths, what is left over is dropped, and put together to its batches."""
    shapes = {name: spec.shape.as_list() for name, spec in signature.inputs.items()}
    cut = [window for sample in samples for window in _windows(sample, shapes)]
    if not cut:
        longest = {name: max(list(sample[name].shape) for sample in samples) for name in shapes}
        raise ValueError(f"No sample is as long as the signature {signature.name!r}, {shapes}. Received: {longest}")
    rows = max((shape[0] or 1 for shape in shapes.values()), default=1)
    return cut if rows == 1 else batches(cut, rows)


def batches(samples, rows):
    """Each `rows` consecutive samples as one, where they are too few from the beginning again."""
    count = -(-len(samples) // rows)
    taken = [samples[index % len(samples)] for index in range(count * rows)]
    return [
        {name: np.concatenate([sample[name] for sample in taken[first : first + rows]]) for name in taken[first]}
        for first in range(0, len(taken), rows)
    ]


def at_more_lengths(samples, signature):
    """The samples, and where the signature leaves a length open the first of them at three quarters and a half too."""
    opened = {name: [axis for axis, extent in enumerate(spec.shape) if extent is None]
              for name, spec in signature.inputs.items()}  # fmt: skip
    if not any(opened.values()):
        return samples
    shorter = [
        {name: _shortened(array, opened[name], quarters) for name, array in samples[0].items()} for quarters in (3, 2)
    ]
    return [*samples, *shorter]


def _shortened(array, axes, quarters):
    for axis in axes:
        array = array.take(range(max(1, array.shape[axis] * quarters // 4)), axis)
    return array


def held_out(samples):
    """The samples to calibrate on and the samples to verify on: each fifth, or the last, is held out.

    A single sample has to serve for both.
    """
    if len(samples) == 1:
        return samples, samples
    if len(samples) < 5:
        return samples[:-1], samples[-1:]
    return [sample for index, sample in enumerate(samples) if index % 5 != 4], samples[4::5]


@dataclasses.dataclass(frozen=True)
class Given:
    """What the user gave: samples to calibrate and to verify on, None where none, what the latter are, and warnings."""

    calibration: list[dict[str, np.ndarray]] | None = None
    verification: list[dict[str, np.ndarray]] | None = None
    verified_on: str = ""
    warnings: tuple[str, ...] = ()


def read_given(inputs, verification_data, calibration_data=None):
    """Both kinds of data as `Given`: where there is none to verify on, some are held out of those to calibrate on."""
    given = Given()
    if calibration_data is not None:
        samples = read_samples(calibration_data, inputs)
        warnings = tuple(f"calibration: {warning}" for warning in check_varied(samples))
        held = held_out(samples)
        verified_on = f"{len(held[1])} samples held out of {len(samples)}" if len(samples) > 1 else "the one sample"
        given = Given(held[0], held[1], verified_on, warnings)
    if verification_data is not None:
        samples = read_samples(verification_data, inputs)
        check_varied(samples)
        given = dataclasses.replace(given, verification=samples, verified_on=f"{len(samples)} samples given")
    return given


def verification_samples(made, inputs, given):
    """The samples to verify on by signature name, the user's or drawn ones, and what they are."""
    if given.verification is not None:
        cut = {one.name: at_more_lengths(windows(given.verification, one), one) for one in made}
        return cut, given.verified_on
    sizes = vocabularies(inputs)
    return {one.name: drawn_samples(one, sizes) for one in made}, what_is_drawn(made[0], sizes)


def check_varied(samples):
    """Warnings for floating-point inputs that never change; raises where none of them ever does.

    Ranges that were found on silence fit nothing else, and an artefact that is right on silence may be wrong on sound.
    """
    floating = [name for name, array in samples[0].items() if array.dtype.kind == "f"]
    constant = {name: samples[0][name].flat[0] for name in floating
                if all(np.all(sample[name] == samples[0][name].flat[0]) for sample in samples)}  # fmt: skip
    if floating and len(constant) == len(floating):
        raise ValueError(
            "The data must vary: of silent or constant samples nothing can be learned. "
            f"Received: {', '.join(f'{name!r} is {value + 0.0:g} throughout' for name, value in constant.items())}"
        )
    return [f"the input {name!r} is {value + 0.0:g} in all samples" for name, value in constant.items()]


def _raw(source, inputs):
    """The samples as the source holds them, one by one: arrays or dicts of arrays."""
    if isinstance(source, (str, pathlib.Path)):
        return _from_path(pathlib.Path(source), inputs)
    if isinstance(source, dict):
        return _columns(source, inputs)
    if hasattr(source, "shape"):
        array = array_of_numbers("data", source)
        return iter(array) if array.ndim else iter([array])
    if callable(source):
        source = source()
    if isinstance(source, Iterable):
        return iter(source)
    raise TypeError(
        "calibration_data and verification_data must be an array, a dict of arrays, a path, or an iterable of samples. "
        f"Received: {_described(source)}"
    )


def _columns(source, inputs):
    if set(source) != set(inputs):
        raise ValueError(f"The data must name the inputs {sorted(inputs)}. Received: {sorted(source)}")
    counts = {name: len(column) for name, column in source.items()}
    if len(set(counts.values())) > 1:
        raise ValueError(f"The data must hold as many samples for each input. Received: {counts}")
    return ({name: source[name][index] for name in source} for index in range(min(counts.values())))


def _from_path(path, inputs):
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in (".npy", *RECORDINGS))
        if not files:
            raise ValueError(
                f"The folder must hold .npy files or recordings ({', '.join(RECORDINGS)}). Received: {path}"
            )
        return itertools.chain.from_iterable(_from_file(file, inputs, one_sample=True) for file in files)
    if not path.exists():
        raise FileNotFoundError(f"The data's path must exist. Received: {path}")
    return _from_file(path, inputs, one_sample=False)


def _from_file(path, inputs, one_sample):
    suffix = path.suffix.lower()
    if suffix in RECORDINGS:
        return _recording(path, inputs)
    if suffix not in (".npy", ".npz"):
        raise ValueError(f"Data files must be .npz, .npy, {', '.join(RECORDINGS)}. Received: {path}")
    try:
        loaded = (npy_array if suffix == ".npy" else npz_arrays)(content_of(path))
    except ValueError as error:
        raise ValueError(f"The data file must be a whole {suffix} of numbers. Received: {path}: {error}") from None
    if one_sample:
        return iter([loaded])
    if isinstance(loaded, dict) and len(loaded) == len(inputs) == 1:
        (loaded,) = loaded.values()
    return _raw(loaded, inputs)


def _recording(path, inputs):
    """A recording `[positions, channels]` in the layout of the model's one input."""
    if len(inputs) != 1:
        raise ValueError(f"A folder of recordings can only serve a model of one input. Received: {sorted(inputs)}")
    shape = next(iter(inputs.values())).shape[1:]
    try:
        audio, _ = signal_of(content_of(path), path.suffix.lower())
    except ValueError as error:
        raise ValueError(f"The data must be recordings that can be read. Received: {path}: {error}") from None
    if len(shape) == 1:
        return _cut(audio.T, shape[0], axis=1)
    last = shape[-1] == audio.shape[1]
    return _cut(audio if last else audio.T, shape[0 if last else -1], axis=0 if last else 1)


def _cut(audio, extent, axis):
    """A recording in consecutive pieces of `extent` positions where the model fixes it; else whole."""
    if extent is None:
        return iter([audio])
    return (
        audio.take(range(start, start + extent), axis) for start in range(0, audio.shape[axis] - extent + 1, extent)
    )


def _checked(sample, inputs):
    """A sample as a dict of arrays with a batch axis of 1, in the inputs' dtypes; raises where it does not fit."""
    if not isinstance(sample, dict):
        if len(inputs) != 1:
            raise ValueError(f"Each sample must be a dict of the inputs {sorted(inputs)}. Received: an array")
        sample = {next(iter(inputs)): sample}
    if set(sample) != set(inputs):
        raise ValueError(f"Each sample must name the inputs {sorted(inputs)}. Received: {sorted(sample)}")
    return {name: _checked_array(name, np.asarray(sample[name]), tensor) for name, tensor in inputs.items()}


def _checked_array(name, array, tensor):
    wanted = np.dtype(tensor.dtype)
    if np.issubdtype(wanted, np.floating) != np.issubdtype(array.dtype, np.floating):
        raise TypeError(f"Samples of the input {name!r} must be of dtype {wanted}. Received: dtype={array.dtype}")
    shape = list(tensor.shape)
    if array.ndim == len(shape) - 1:
        array = array[np.newaxis]
    fits = array.ndim == len(shape) and all(
        extent is None or there == extent for there, extent in zip(array.shape[1:], shape[1:], strict=True)
    )
    if not fits or len(array) != 1 or not array.size:
        raise ValueError(
            f"Samples of the input {name!r} must be of shape {shape[1:]} (None: any length from 1). "
            f"Received: shape={list(array.shape)}"
        )
    if not np.all(np.isfinite(array)):
        raise ValueError(f"Samples must be finite. Received: NaN or infinity in a sample of the input {name!r}")
    return array.astype(wanted)


def _windows(sample, shapes):
    counts = [  # where a sample is longer; 0 where it is shorter
        there // extent
        for name, shape in shapes.items()
        for there, extent in zip(sample[name].shape[1:], shape[1:], strict=True)
        if extent is not None and there != extent
    ]
    for index in range(min(counts, default=1)):
        yield {name: _window(sample[name], [None, *shape[1:]], index) for name, shape in shapes.items()}


def _window(array, shape, index):
    """Window `index` along the axes that are longer than `shape`; the other axes whole."""
    cuts = [
        slice(None) if extent is None or there == extent else slice(index * extent, (index + 1) * extent)
        for there, extent in zip(array.shape, shape, strict=True)
    ]
    return array[tuple(cuts)]


def _described(source):
    return f"{type(source).__name__} of shape {list(source.shape)}" if hasattr(source, "shape") else repr(source)
