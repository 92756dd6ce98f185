"""`to_saved_model`: a Keras model to a SavedModel that plain TensorFlow loads, shown to compute the same."""

import os
from collections.abc import Sequence

import keras
import tensorflow as tf

from lucid_keras._arguments import number
from lucid_keras.export.claims import whole_claims
from lucid_keras.export.files import checked_destination, folder_atomically
from lucid_keras.export.progress import doing
from lucid_keras.export.proof import Floor, proven
from lucid_keras.export.recipes import RECIPES
from lucid_keras.export.report import ExportReport
from lucid_keras.export.samples import Data, read_given
from lucid_keras.export.save import save
from lucid_keras.export.signatures import DYNAMIC, Length, check_model, frozen, model_inputs, signatures
from lucid_keras.runtimes import SavedModel


def to_saved_model(
    model: keras.Model,
    path: str | os.PathLike[str],
    *,
    length: Length | Sequence[Length] | None = "dynamic",
    verification_data: Data | None = None,
    floor_db: float | None = None,
    timing_seconds: float = 0.3,
) -> ExportReport:
    """Export a Keras model to a SavedModel without variables, Python or custom operators, verified before it is there.

    The batch stays open, and so does the length unless `length` says otherwise. The weights are constants in the
    layout that the kernels want; no function must be compiled by XLA, so that any TensorFlow server loads it.

    Args:
        model, verification_data, timing_seconds: as for `to_tflite`.
        path: the folder to make; it must not exist, and appears whole or not at all.
        length: as for `to_tflite`; `"dynamic"` (default) leaves it open.
        floor_db: as for `to_tflite`; by default 110.

    Returns:
        An `ExportReport`.

    Raises:
        ValueError: the model is not built, the path exists, or the SavedModel stays below the floor.
        TypeError: an argument of the wrong type.
        OSError: the path cannot be written.

    Example:

    >>> import keras, lucid_keras as lk, tempfile
    >>> layer = lk.ConvTranspose1d(4, 2, kernel_size=4, stride=2, padding=1)
    >>> model = keras.Sequential([keras.Input((4, None)), layer])
    >>> report = to_saved_model(model, tempfile.mkdtemp() + "/up")
    >>> report.snr_db > 110
    True
    """
    number("timing_seconds", timing_seconds, least=0)
    inputs, recipe = model_inputs(model), RECIPES["float32"]
    made = signatures(model, _opened(inputs, length), batch=None)
    destination, floor = checked_destination(path, folder=True), Floor.of(floor_db, recipe)
    check_model(model)
    claims, verified_on = whole_claims(model, made, read_given(inputs, verification_data))
    traced = {signature.name: frozen(model, signature, "saved_model", fold=True) for signature in made}
    return proven_saved_model(
        model, destination, tf.Module(), traced, claims, floor, seconds=timing_seconds, verified_on=verified_on
    )


def proven_saved_model(model, destination, module, traced, claims, floor, **how) -> ExportReport:
    """Save concrete functions by name, their variables those of `module`; `how` as `proven`'s."""
    with folder_atomically(destination) as folder:
        with doing("saving"):
            save(module, folder, traced)
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        return proven(model, claims, SavedModel(folder), floor, path=destination, bytes=size, **how)


def _opened(inputs, length):
    """`length`, or None for a model that leaves none open."""
    opened = any(None in tensor.shape[1:] for tensor in inputs.values())
    return None if isinstance(length, str) and length == DYNAMIC and not opened else length
