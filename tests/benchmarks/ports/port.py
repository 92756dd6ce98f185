"""`Port`: a decoder in PyTorch, the same in Keras, and the inputs that a recording gives it."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np

import lucid_keras as lk
from benchmarks.model_cases import samples_at, without_weight_norm

SECONDS = 0.5  # of audio in a window, about
WINDOWS = 12  # of which each fifth is held out


@dataclasses.dataclass(frozen=True, eq=False)
class Port:
    """A decoder of `hop` samples a frame at `rate` samples a second, on arrays `[batch, length, channels]` by name.

    `make()` gives the library's model, `features_of(model, windows)` the decoder's inputs for windows of audio,
    `[batch, samples]`, and `decode(model, features)` PyTorch's samples for these, in the shape of the Keras model's.
    `build(frames)` gives the Keras model, `state(model)` what is loaded into it, after `rename`.
    """

    rate: int
    hop: int
    make: Callable
    decode: Callable
    features_of: Callable
    build: Callable
    state: Callable
    rename: dict | None = None

    @property
    def frames(self):
        """The frames of a window."""
        return round(SECONDS * self.rate / self.hop)

    def original(self):
        """The library's model with its weight norm folded; the same object each time."""
        return _made(self)

    def keras_model(self, length=None):
        """The Keras model of `length` frames, a window's where none is given, with the original's weights."""
        model = self.build(self.frames if length is None else length)
        lk.interop.load_state_dict(model, self.state(self.original()), rename=self.rename)
        return model

    def features(self, count=WINDOWS):
        """The inputs by name, `[count, frames, channels]` each, of as many windows spread over the recording.

        In one shorter than six seconds they overlap.
        """
        import torch

        with torch.no_grad():
            return self.features_of(self.original(), windows(self.rate, self.frames * self.hop, count))

    def expected(self, features):
        """The original's samples for such inputs."""
        import torch

        with torch.no_grad():
            return self.decode(self.original(), {name: torch.from_numpy(array) for name, array in features.items()})


def windows(rate, length, count=WINDOWS):
    """`[count, length]`: windows spread over the recording, at a rate in samples a second."""
    samples = samples_at(rate)
    starts = np.linspace(0, len(samples) - length, count).astype(int)
    return np.stack([samples[one : one + length] for one in starts])


@functools.cache
def _made(port):
    return without_weight_norm(port.make().eval())


def held_out(features):
    """The inputs to calibrate on and those to verify on: each fifth window."""
    held = np.arange(len(next(iter(features.values())))) % 5 == 4
    return tuple({name: array[rows] for name, array in features.items()} for rows in (~held, held))


def fed(features):
    """What Keras models and exports take: the array itself where there is one input, else the arrays by name."""
    return features if len(features) > 1 else next(iter(features.values()))
