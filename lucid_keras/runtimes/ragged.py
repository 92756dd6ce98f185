"""Signals of any lengths through one artefact, several in a call, each as if it came alone."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from lucid_keras._arguments import checked_count
from lucid_keras.runtimes.protocol import Runtime

EQUAL = 1e-5  # of the largest magnitude: what the rounding of another shape may change
WINDOWS = (16, 32, 64, 128, 256)  # positions, within which an end has to be forgotten
FULL = 0.75  # of what a call decodes that must be signals, the rest zeros


@dataclasses.dataclass(frozen=True)
class Ends:
    """What zeros after a signal do to it: they change its last samples, `disturbed` of them.

    The last `window` positions decoded by themselves give these samples as they were; both are 0 where the artefact
    does not look ahead, and nothing is disturbed.
    """

    disturbed: int = 0
    window: int = 0


class Ragged:
    """Decodes signals of any lengths with as few calls as that takes, each signal as if it came alone.

    Zeros after a signal are heard before it ends by whatever looks ahead, so that a batch that is padded and cut is not
    what each signal is by itself. What an artefact does is measured when it is opened, on noise. Where it does not look
    ahead, signals of several lengths share a call. Where it looks ahead and forgets, their ends are decoded once more,
    as long as it takes. Otherwise signals of one length share a call, which is always right.

    Args:
        artefact: a runtime that has opened an artefact, of one input and one output, its length open. Its batch may be
            open too; of a fixed batch the rest of a call is zeros.
        most: int, signals of a call where the batch is open. Default 8.

    Raises:
        ValueError: the artefact has several inputs or outputs, or a fixed length; `most` is below 1.

    Example:

    >>> import keras, numpy as np, tempfile
    >>> import lucid_keras as lk
    >>> from lucid_keras.runtimes import open_artefact
    >>> up = lk.ConvTranspose1d(4, 2, kernel_size=4, stride=2, padding=1, data_format="channels_last")
    >>> model = keras.Sequential([keras.Input((None, 4)), up])
    >>> path = lk.export.to_saved_model(model, tempfile.mkdtemp() + "/up", timing_seconds=0).path
    >>> ragged = Ragged(open_artefact(path))
    >>> [y.shape for y in ragged.decode([np.ones((30, 4), "float32"), np.ones((40, 4), "float32")])]
    [(60, 2), (80, 2)]
    """

    def __init__(self, artefact: Runtime, most: int = 8):
        self.artefact, self.most = artefact, checked_count("most", most, "signal", least=1)
        self.name, signature = next(iter(artefact.signatures.items()))
        for kind in (signature.inputs, signature.outputs):
            if len(kind) != 1:
                raise ValueError(f"An artefact must have one input and one output. Received: {sorted(kind)}")
        ((self.input, self.spec),) = signature.inputs.items()
        self.axis, self.output_axis = (
            _open_axis(spec) for kind in (signature.inputs, signature.outputs) for spec in kind.values()
        )
        self.rows = self.spec.shape[0]
        self.ends = self._measured()

    def decode(self, signals: Sequence[np.ndarray]) -> list[np.ndarray]:
        """What each signal becomes, without a batch, in the same order.

        Args:
            signals: arrays without a batch axis, `[positions, channels]` or as else the artefact has it.

        Raises:
            ValueError: a signal that does not fit, is empty, or is not finite; none is decoded then.
        """
        for signal in signals:
            self.check(signal)
        found: dict[int, np.ndarray] = {}
        for group in self._groups(signals):
            found.update(zip(group, self._decoded([signals[index] for index in group], self.ends), strict=True))
        return [found[index] for index in range(len(signals))]

    def check(self, signal: np.ndarray) -> None:
        """Raises ValueError where a signal does not fit the artefact's input, or is not finite."""
        wanted = self.spec.shape[1:]
        fits = signal.ndim == len(wanted) and all(
            there == extent or (extent is None and there) for there, extent in zip(signal.shape, wanted, strict=True)
        )
        if not fits or (np.dtype(self.spec.dtype).kind == "f") != (signal.dtype.kind == "f"):
            raise ValueError(
                f"A signal must be {self.spec.dtype}{list(wanted)} (None: any length from 1). "
                f"Received: {signal.dtype.name}{list(signal.shape)}"
            )
        if not np.isfinite(signal).all():
            raise ValueError(f"A signal must be finite. Received: {np.sum(~np.isfinite(signal))} numbers that are not")

    def of_recording(self, samples: np.ndarray) -> np.ndarray:
        """`[positions, channels]` as the input is laid out; raises ValueError for channels that have no place there."""
        if len(self.spec.shape) > 2:
            return np.moveaxis(samples, 0, self.axis)
        if samples.shape[1] > 1:
            raise ValueError(f"A recording must have one channel. Received: {samples.shape[1]}")
        return samples[:, 0]

    def to_recording(self, y: np.ndarray) -> np.ndarray:
        """What was decoded as `[positions, channels]`."""
        return y[:, np.newaxis] if y.ndim == 1 else np.moveaxis(y, self.output_axis, 0)

    def describe(self) -> str:
        """A sentence: which signals share a call."""
        if self.ends is None:
            return "signals of one length share a call"
        if not self.ends.window:
            return "signals of all lengths share a call: the artefact does not look ahead"
        return f"signals of all lengths share a call, and their last {self.ends.window} positions another"

    def _groups(self, signals) -> Iterator[list[int]]:
        """Which signals share a call: in the order of their lengths, as many as fill it well enough."""
        rows = self.rows or self.most
        group: list[int] = []
        spent = 0
        for index in sorted(range(len(signals)), key=lambda index: self._length(signals[index])):
            length = self._length(signals[index])
            shortest = self._length(signals[group[0]]) if group else length
            alone = self.ends is None or shortest <= self.ends.window  # too short to have an end of its own
            full = shortest == length if alone else spent + length >= FULL * len([*group, index]) * length
            if group and (len(group) == rows or not full):
                yield group
                group, spent = [], 0
            group, spent = [*group, index], spent + length
        if group:
            yield group

    def _decoded(self, signals, ends):
        """The signals of one call; where their lengths differ, zeros after them, and their ends once more."""
        lengths = [self._length(signal) for signal in signals]
        found = self._call(signals)
        if len(set(lengths)) == 1:
            return found
        cut = [
            _take(y, 0, self._samples(length), self.output_axis).copy()
            for y, length in zip(found, lengths, strict=True)
        ]
        if ends.window:
            last = self._call([_take(signal, -ends.window, None, self.axis) for signal in signals])
            for pair in zip(cut, last, strict=True):
                y, end = (_take(one, -ends.disturbed, None, self.output_axis) for one in pair)
                y[...] = end
        return cut

    def _call(self, signals):
        """One call of the artefact; after the shorter signals zeros."""
        longest = max(map(self._length, signals))
        shape = list(signals[0].shape)
        shape[self.axis] = longest
        batch = np.zeros([self.rows or len(signals), *shape], self.spec.dtype)
        for row, signal in zip(batch, signals, strict=False):
            _take(row, 0, self._length(signal), self.axis)[...] = signal
        (y,) = self.artefact.run(self.name, {self.input: batch}).values()
        return list(y[: len(signals)])

    def _length(self, signal):
        return signal.shape[self.axis]

    def _samples(self, positions):
        return self._hop * positions + self._offset

    def _measured(self):
        """`Ends`, measured on noise and then tried; None where an end is not forgotten within the longest window."""
        rng = np.random.default_rng(0)
        for window in WINDOWS if np.dtype(self.spec.dtype).kind == "f" else ():
            try:
                ends = self._ends_within(window, rng)
                if ends is not None and self._holds(ends, rng):
                    return ends
            except Exception:  # signals as short as this it does not take, or not padded; whatever a runtime raises
                continue
        return None

    def _ends_within(self, window, rng):
        """`Ends` of this window; None where its last samples are still others than in the whole signal."""
        signal = self._noise(rng, 4 * window)
        whole, longer, longest = (self._alone(self._followed_by_zeros(signal, more)) for more in (0, 1, window))
        samples = self._length_of(whole)
        self._hop = self._length_of(longer) - samples
        self._offset = samples - self._hop * 4 * window
        if self._hop < 1 or self._length_of(longest) != self._samples(5 * window):
            return None  # it rounds lengths, so that zeros cannot be cut off again
        changed = self._differing(_take(longest, 0, samples, self.output_axis), whole)
        if not len(changed):
            return Ends()
        disturbed = samples - changed[0] + self._hop
        last = self._alone(_take(signal, -window, None, self.axis))
        begun = self._differing(last, _take(whole, -self._length_of(last), None, self.output_axis))
        forgotten = not len(begun) or begun[-1] + disturbed < self._length_of(last)
        return Ends(int(disturbed), window) if forgotten else None

    def _holds(self, ends, rng):
        """Whether signals of three lengths, decoded with these ends in one call, are what each is by itself."""
        signals = [self._noise(rng, max(ends.window, 8) * times + 1) for times in (1, 2, 3)]
        rows = self.rows or len(signals)
        found = [y for first in range(0, 3, rows) for y in self._decoded(signals[first : first + rows], ends)]
        alone = map(self._alone, signals)
        return all(
            y.shape == expected.shape and not len(self._differing(y, expected))
            for y, expected in zip(found, alone, strict=True)
        )

    def _differing(self, y, expected):
        """The samples in which an output is another than expected, or is no number."""
        others = tuple(axis for axis in range(y.ndim) if axis != self.output_axis)
        same = np.abs(y - expected).max(others) <= EQUAL * np.abs(expected).max()
        return np.flatnonzero(~same)

    def _followed_by_zeros(self, signal, positions):
        return np.pad(signal, [(0, positions if axis == self.axis else 0) for axis in range(signal.ndim)])

    def _length_of(self, y):
        return y.shape[self.output_axis]

    def _alone(self, signal):
        return self._call([signal])[0]

    def _noise(self, rng, positions):
        shape = [positions if extent is None else extent for extent in self.spec.shape[1:]]
        return rng.standard_normal(shape).astype(self.spec.dtype)


def decoded_or_why(decode, signals):
    """What `decode` makes of signals, `(y, None)`, or `(None, reason)`; where several fail each is tried by itself."""
    try:
        return [(y, None) for y in decode(signals)]
    except Exception as error:  # whatever a runtime raises
        if len(signals) == 1:
            return [(None, str(error))]
        return [decoded_or_why(decode, [signal])[0] for signal in signals]


def _open_axis(spec):
    """Which axis has the positions, counted without the batch: the one that is open."""
    axes = [axis for axis, extent in enumerate(spec.shape[1:]) if extent is None]
    if len(axes) != 1:
        raise ValueError(f"An artefact must leave its length open, and that alone. Received: {spec}")
    return axes[0]


def _take(array, begin, end, axis):
    """A view of the positions from `begin` to `end`."""
    return array[(slice(None),) * axis + (slice(begin, end),)]
