"""`ISTFT`: the inverse short-time Fourier transform as one transposed convolution of builtin operations."""

import functools
from collections.abc import Sequence
from typing import Literal

import keras
import numpy as np
import tensorflow as tf

from lucid_keras import ops
from lucid_keras._arguments import check_choice, check_flag, check_shape, checked_count
from lucid_keras._arrays import array_of_numbers
from lucid_keras._geometry import ConvTranspose1dGeometry
from lucid_keras.layers.conv_transpose1d import ConvTranspose1d

Window = Literal["hann", "hamming", "rectangular"]
SILENT = 1e-11  # torch.istft's bound: where the windows sum to less, no sample can be recovered


@keras.saving.register_keras_serializable(package="lucid_keras")
class ISTFT(keras.layers.Layer):
    """Inverse short-time Fourier transform: each frame times an inverse DFT basis, overlapped and added.

    The synthesis is a `ConvTranspose1d(2 * (n_fft//2 + 1), 1, n_fft, hop_length)` whose kernel holds the windowed
    basis, followed by the division by the windows' summed squares: the numbers of `torch.istft`, from operations
    that LiteRT has builtin, where `tf.signal.inverse_stft` does not convert.

    Args:
        n_fft: int, samples of a frame.
        hop_length: int, samples between frames. Default `n_fft // 4`.
        win_length: int, samples of the window, centred in the frame. Default `n_fft`.
        window: `"hann"` (periodic, the default), `"hamming"`, `"rectangular"`, or `win_length` numbers.
        center: whether frame `t` is centred on sample `t * hop_length`, so that `n_fft // 2` samples are cut from
            both ends. Default True, as `torch.stft` makes them.
        data_format: `"channels_first"` (default) or `"channels_last"`.
        dtype, name: as in Keras layers.

    Input shape:
        `[batch, 2 * (n_fft//2 + 1), frames]` or unbatched: the real parts of all bins from 0 Hz up, then the
        imaginary parts; with `data_format="channels_last"` `[batch, frames, 2 * (n_fft//2 + 1)]`.

    Output shape:
        `[batch, samples]` with `samples = (frames - 1) * hop_length + n_fft`, less `2 * (n_fft // 2)` if `center`.

    Raises:
        ValueError: a size is not positive, the window does not fit, or windows and hop leave samples uncovered.
        TypeError: an argument of the wrong type.

    Example:

    >>> import numpy as np
    >>> istft = ISTFT(n_fft=16, hop_length=4)
    >>> tuple(istft(np.zeros((1, 18, 10), "float32")).shape)
    (1, 36)

    Source: D. Griffin and J. Lim, "Signal estimation from modified short-time Fourier transform", IEEE Trans. ASSP
    32(2), 1984, eq. 6.
    """

    def __init__(
        self,
        n_fft: int,
        hop_length: int | None = None,
        win_length: int | None = None,
        window: Window | Sequence[float] | np.ndarray = "hann",
        center: bool = True,
        data_format: ops.DataFormat = "channels_first",
        dtype: str | keras.DTypePolicy | None = None,
        name: str | None = None,
        **kwargs,
    ):
        super().__init__(dtype=dtype, name=name, **kwargs)
        check_choice("data_format", data_format, ops.DATA_FORMATS)
        check_flag("center", center)
        self.n_fft = n_fft = checked_count("n_fft", n_fft, least=1)
        self.hop_length = checked_count("hop_length", n_fft // 4 if hop_length is None else hop_length, least=1)
        self.win_length = checked_count("win_length", n_fft if win_length is None else win_length, least=1)
        if self.hop_length > self.win_length:
            raise ValueError(
                "hop_length must be at most win_length, or samples are left uncovered. "
                f"Received: hop_length={self.hop_length}, win_length={self.win_length}"
            )
        if self.win_length > n_fft:
            raise ValueError(f"win_length must be at most n_fft. Received: win_length={self.win_length}, n_fft={n_fft}")
        if not isinstance(window, str):
            window = array_of_numbers("window", window, "fiu").astype(np.float64).tolist()
        self.window = window
        self.center = center
        self.data_format = data_format
        sizes = (2 * (n_fft // 2 + 1), 1, n_fft, self.hop_length)
        ConvTranspose1dGeometry(*sizes)  # before arrays of that size are made
        self._window = _centred(_window(self.window, self.win_length), n_fft)
        _check_overlap(self._window, self.hop_length)
        self.synthesis = ConvTranspose1d(
            in_channels=2 * (n_fft // 2 + 1),
            out_channels=1,
            kernel_size=n_fft,
            stride=self.hop_length,
            padding=n_fft // 2 if center else 0,
            bias=False,
            data_format="channels_last",  # no transpose back, which LiteRT gets wrong for open lengths
            dtype=self.dtype_policy,
            name="synthesis",
            trainable=False,
        )
        self.synthesis.weight.assign(_inverse_basis(self._window)[:, np.newaxis])
        self.built = True

    def call(self, spectrum):
        if self.data_format == "channels_first":
            spectrum = tf.linalg.matrix_transpose(spectrum)
        samples = tf.squeeze(self.synthesis(spectrum), -1)
        frames = spectrum.shape[-2]
        if frames is not None:
            gain = _gain(tuple(self._window), self.hop_length, self.center, frames)
            return samples * tf.constant(gain, samples.dtype)
        frames = tf.shape(spectrum)[-2]
        ones = tf.ones(tf.stack([1, frames, 1]), samples.dtype)
        squares = tf.constant(self._window[np.newaxis, np.newaxis] ** 2, samples.dtype)
        geometry = self.synthesis.geometry
        energy = ops.conv_transpose1d(
            ones, squares, stride=geometry.stride, padding=geometry.padding, data_format="channels_last"
        )
        return samples / tf.maximum(tf.reshape(energy, [-1]), SILENT)

    def compute_output_shape(self, input_shape):
        shape = list(check_shape("input_shape", input_shape))
        if self.data_format == "channels_first":
            shape[-2:] = shape[:-3:-1]
        return self.synthesis.compute_output_shape(shape)[:-1]

    def get_config(self):
        return {
            **super().get_config(),
            "n_fft": self.n_fft,
            "hop_length": self.hop_length,
            "win_length": self.win_length,
            "window": self.window,
            "center": self.center,
            "data_format": self.data_format,
        }


def _window(window, length):
    if isinstance(window, str):
        turn = 2 * np.pi * np.arange(length) / length
        named = {
            "hann": 0.5 - 0.5 * np.cos(turn),
            "hamming": 0.54 - 0.46 * np.cos(turn),
            "rectangular": np.ones(length),
        }
        check_choice("window", window, tuple(named))
        return named[window]
    if np.shape(window) != (length,) or not np.all(np.isfinite(window)):
        raise ValueError(f"window must hold win_length={length} finite numbers. Received: {np.size(window)} numbers")
    return np.asarray(window)


def _centred(window, n_fft):
    missing = n_fft - len(window)
    return np.pad(window, (missing // 2, missing - missing // 2))


def _check_overlap(window, hop):
    """Raise unless every sample between the first and last frame is covered by some window."""
    padded = np.pad(window, (0, -len(window) % hop))
    least = (padded.reshape(-1, hop) ** 2).sum(0).min()
    if least < SILENT:
        raise ValueError(
            "window and hop_length must leave no sample uncovered: the smallest sum of the squared windows must be at "
            f"least {SILENT}. Received: hop_length={hop} and a window of {len(window)} samples, giving {least:.3g}"
        )


def _inverse_basis(window):
    """`[2*bins, n_fft]`: what the real, then the imaginary part of each bin adds to a frame's windowed samples."""
    n_fft = len(window)
    bins = np.arange(n_fft // 2 + 1)
    turn = 2 * np.pi * (np.outer(bins, np.arange(n_fft)) % n_fft) / n_fft
    real = (bins == 0) | (2 * bins == n_fft)
    share = np.where(real, 1, 2) / n_fft  # the other bins stand for their mirror too
    sine = np.where(real[:, np.newaxis], 0, np.sin(turn))
    return np.concatenate([share[:, np.newaxis] * np.cos(turn), -share[:, np.newaxis] * sine]) * window


@functools.lru_cache(maxsize=32)
def _gain(window, hop, center, frames):
    """One over the summed squared windows at each output sample; 0 where no window reaches."""
    squares = np.square(window)
    energy = np.zeros((frames - 1) * hop + len(window))
    for frame in range(frames):
        energy[frame * hop : frame * hop + len(window)] += squares
    cut = len(window) // 2 if center else 0
    energy = energy[cut : len(energy) - cut]
    return np.divide(1, energy, out=np.zeros_like(energy), where=energy > SILENT)
