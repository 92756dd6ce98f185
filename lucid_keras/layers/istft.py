"""`ISTFT`: the inverse short-time Fourier transform as one transposed convolution of builtin operations."""

import functools
from collections.abc import Sequence
from typing import Literal, get_args

import keras
import numpy as np
import tensorflow as tf

from lucid_keras import ops
from lucid_keras._arguments import check_choice, check_flag, check_shape, checked_count
from lucid_keras._arrays import array_of_numbers
from lucid_keras._geometry import ConvTranspose1dGeometry
from lucid_keras.layers.conv_transpose1d import ConvTranspose1d

Window = Literal["hann", "hamming", "rectangular"]
Padding = Literal["center", "same"]
SILENT = 1e-11  # torch.istft's bound: where the squared windows sum to less, no sample can be recovered


@keras.saving.register_keras_serializable(package="lucid_keras")
class ISTFT(keras.layers.Layer):
    """Inverse short-time Fourier transform: each frame times an inverse DFT basis, overlapped and added.

    The synthesis is a `ConvTranspose1d(2 * (n_fft//2 + 1), 1, n_fft, hop_length)` whose kernel holds the windowed
    basis over the windows' summed squares, which repeat with each hop; at both ends, where windows are missing, the
    samples are divided by the share that is left. These are the numbers of `torch.istft`, from operations that LiteRT
    has builtin, where `tf.signal.inverse_stft` does not convert.

    Args:
        n_fft: int, samples of a frame.
        hop_length: int, samples between frames. Default `n_fft // 4`.
        win_length: int, samples of the window, centred in the frame. Default `n_fft`.
        window: `"hann"` (periodic, the default), `"hamming"`, `"rectangular"`, or `win_length` numbers.
        center: bool, whether the first and last frames reach beyond the signal, so that both ends are cut. Default
            True, as `torch.stft` makes them.
        padding: how many samples `center` cuts from both ends: `"center"` (default) `n_fft // 2`, so that frame `t` is
            centred on sample `t * hop_length`; `"same"` `(n_fft - hop_length) // 2`, as Vocos does, so that each frame
            gives `hop_length` samples (and the last one more if `n_fft - hop_length` is odd).
        data_format: `"channels_first"` (default) or `"channels_last"`.
        dtype, name: as in Keras layers.

    Input shape:
        `[batch, 2 * (n_fft//2 + 1), frames]` or unbatched: the real parts of all bins from 0 Hz up, then the
        imaginary parts; with `data_format="channels_last"` `[batch, frames, 2 * (n_fft//2 + 1)]`.

    Output shape:
        `[batch, samples]` with `samples = (frames - 1) * hop_length + n_fft`, less what is cut from both ends.

    Raises:
        ValueError: a size is not positive, the window does not fit, `padding` without `center`, or a sample is left
            uncovered, between the frames or, as the first one by Hann windows without `center`, at the ends.
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
        padding: Padding = "center",
        data_format: ops.DataFormat = "channels_first",
        dtype: str | keras.DTypePolicy | None = None,
        name: str | None = None,
        **kwargs,
    ):
        super().__init__(dtype=dtype, name=name, **kwargs)
        check_choice("data_format", data_format, ops.DATA_FORMATS)
        check_choice("padding", padding, get_args(Padding))
        check_flag("center", center)
        if padding == "same" and not center:
            raise ValueError("padding='same' says what center=True cuts. Received: padding='same', center=False")
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
        self.padding = padding
        self.data_format = data_format
        sizes = (2 * (n_fft // 2 + 1), 1, n_fft, self.hop_length)
        ConvTranspose1dGeometry(*sizes)  # before arrays of that size are made
        self._window = _centred(_window(self.window, self.win_length), n_fft)
        self._cut = (n_fft - (0 if padding == "center" else self.hop_length)) // 2 if center else 0
        self._gain(frames=2 * len(_squares(self._window, self.hop_length)))  # both ends, and all that repeats between
        self.synthesis = _Synthesis(
            in_channels=2 * (n_fft // 2 + 1),
            out_channels=1,
            kernel_size=n_fft,
            stride=self.hop_length,
            padding=self._cut,
            bias=False,
            data_format="channels_last",  # no transpose back, which LiteRT gets wrong for open lengths
            dtype=self.dtype_policy,
            name="synthesis",
            trainable=False,
        )
        sums = np.resize(_squares(self._window, self.hop_length).sum(0), n_fft)
        kernel = _inverse_basis(n_fft) * self._window / sums
        self.synthesis.weight.assign(kernel[:, np.newaxis])
        self.built = True

    def call(self, spectrum):
        if self.data_format == "channels_first":
            spectrum = tf.linalg.matrix_transpose(spectrum)
        samples = tf.squeeze(self.synthesis(spectrum), -1)
        if self.shares() is None:
            return samples
        frames = spectrum.shape[-2]
        if frames is not None:
            return samples * tf.constant(self._gain(frames), samples.dtype)
        ones = tf.ones(tf.stack([1, tf.shape(spectrum)[-2], 1]), samples.dtype)
        left = ops.conv_transpose1d(
            ones,
            tf.constant(self.shares(), samples.dtype),
            stride=self.hop_length,
            padding=self._cut,
            data_format="channels_last",
        )
        return samples / tf.maximum(tf.reshape(left, [-1]), SILENT)

    def shares(self):
        """`[1, 1, n_fft]`: of the squares of all windows that meet in a sample the share of one frame's.

        None where the ends are cut as far as a window is missing.
        """
        if self._cut >= self.n_fft - self.hop_length:
            return None
        squares = _squares(self._window, self.hop_length)
        return np.ravel(squares / squares.sum(0))[np.newaxis, np.newaxis, : self.n_fft]

    def _gain(self, frames):
        return _gain(tuple(self._window), self.hop_length, self._cut, frames)

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
            "padding": self.padding,
            "data_format": self.data_format,
        }


class _Synthesis(ConvTranspose1d):
    """Whose weight follows from the arguments: it is not stored, and what an older file stored is not loaded."""

    def save_own_variables(self, store):
        pass

    def load_own_variables(self, store):
        pass


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


def _inverse_basis(n_fft):
    """`[2*bins, n_fft]`: what the real, then the imaginary part of each bin adds to a frame's samples."""
    bins = np.arange(n_fft // 2 + 1)
    turn = 2 * np.pi * (np.outer(bins, np.arange(n_fft)) % n_fft) / n_fft
    real = (bins == 0) | (2 * bins == n_fft)
    share = np.where(real, 1, 2) / n_fft  # the other bins stand for their mirror too
    sine = np.where(real[:, np.newaxis], 0, np.sin(turn))
    return np.concatenate([share[:, np.newaxis] * np.cos(turn), -share[:, np.newaxis] * sine])


def _squares(window, hop):
    """`[hops, hop]`: the squared window in pieces of a hop, zeros behind; a column holds what meets in one sample."""
    return np.square(np.pad(window, (0, -len(window) % hop)).reshape(-1, hop))


@functools.lru_cache(maxsize=32)
def _gain(window, hop, cut, frames):
    """At each output sample, the sum of all squared windows over that of the windows of `frames`: 1 but at the ends.

    Raises where the latter is nearly nothing, as `torch.istft` does.
    """
    squares = _squares(window, hop)
    there = np.zeros((frames + len(squares) - 1, hop))
    for first, piece in enumerate(squares):
        there[first : first + frames] += piece
    kept = slice(cut, (frames - 1) * hop + len(window) - cut)
    sums, full = there.ravel()[kept], np.broadcast_to(squares.sum(0), there.shape).ravel()[kept]
    if sums.min(initial=np.inf) < SILENT:
        raise ValueError(
            "window, hop_length and center must leave no sample uncovered: the smallest sum of the squared windows "
            f"must be at least {SILENT}. Received: {sums.min():.3g} at sample {sums.argmin()} of {frames} frames of "
            f"{len(window)} samples, hop_length={hop}, {cut} samples cut from both ends"
        )
    return full / sums
