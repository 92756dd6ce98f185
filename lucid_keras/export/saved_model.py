"""`to_saved_model`: a Keras model to a SavedModel that plain TensorFlow loads, shown to compute the same."""

import pathlib

import tensorflow as tf

from lucid_keras.export.files import checked_destination, folder_atomically
from lucid_keras.export.litert import milliseconds
from lucid_keras.export.report import ExportReport
from lucid_keras.export.samples import SYNTHETIC, at_more_lengths, read_samples, synthetic_samples, windows
from lucid_keras.export.signatures import frozen, model_inputs, signatures
from lucid_keras.export.verify import accuracies, check_floor, reference_outputs
from lucid_keras.export.versions import versions

FLOOR_DB = 110.0
NOT_COMPUTING = ("Const", "Placeholder", "Identity", "NoOp", "PartitionedCall", "StatefulPartitionedCall")


def to_saved_model(model, path, *, length="dynamic", verification_data=None, floor_db=FLOOR_DB, timing_seconds=0.3):
    """Export a Keras model to a SavedModel without variables, Python or custom operators, verified before it is there.

    The batch stays open, and so does the length unless `length` says otherwise. The weights are constants in the
    layout that the kernels want; no function must be compiled by XLA, so that any TensorFlow server loads it.

    Args:
        model: a built `keras.Model` that knows its inputs.
        path: the folder to make; it must not exist, and appears whole or not at all.
        length: as `to_tflite`'s; `"dynamic"` (default) leaves it open. A list gives one signature each.
        verification_data: as `to_tflite`'s. Default: standard normal samples.
        floor_db: least signal-to-noise ratio against the Keras model in dB. Default 110.
        timing_seconds: how long the latency is measured, in seconds. Default 0.3.

    Returns:
        An `ExportReport`.

    Raises:
        ValueError: the model is not built, the path exists, or the SavedModel stays below the floor.
        OSError: the path cannot be written.

    Example:

    >>> import keras, lucid_keras as lk, tempfile
    >>> layer = lk.ConvTranspose1d(4, 2, kernel_size=4, stride=2, padding=1)
    >>> model = keras.Sequential([keras.Input((4, None)), layer])
    >>> report = to_saved_model(model, tempfile.mkdtemp() + "/up")
    >>> report.snr_db > 110
    True
    """
    inputs = model_inputs(model)
    made = signatures(model, _opened(inputs, length), batch=None)
    path = checked_destination(path, folder=True)
    given = None if verification_data is None else read_samples(verification_data, inputs)
    samples = {one.name: _samples(one, given) for one in made}
    with folder_atomically(path) as folder:
        traced = {signature.name: frozen(model, signature, "saved_model", fold=True) for signature in made}
        tf.saved_model.save(tf.Module(), str(folder), signatures=traced)
        run = SavedModelRunner(folder)
        outputs, example = [], None
        for one in made:
            references = reference_outputs(model, samples[one.name])
            results = [run(one.name, sample) for sample in samples[one.name]]
            outputs += accuracies(one.name, inputs, samples[one.name], references, results)
            example = example or next((references[0][name], results[0][name]) for name in references[0])
        check_floor(outputs, floor_db)
        first = made[0].name
        return ExportReport(
            path=path,
            kind="saved_model",
            quantization="float32",
            bytes=sum(file.stat().st_size for file in pathlib.Path(folder).rglob("*") if file.is_file()),
            signatures={one.name: _described(traced[one.name]) for one in made},
            ops=run.ops(first),
            delegated=None,
            milliseconds=milliseconds(lambda: run(first, samples[first][0]), timing_seconds),
            outputs=tuple(outputs),
            floor_db=floor_db,
            verified_on=SYNTHETIC if given is None else f"{len(given)} samples given",
            versions=versions(),
            example=example,
        )


class SavedModelRunner:
    """The signatures of a SavedModel, loaded by plain TensorFlow."""

    def __init__(self, folder):
        try:
            self.loaded = tf.saved_model.load(str(folder))
        except (OSError, ValueError, KeyError) as error:
            raise ValueError(f"The folder must hold a whole SavedModel. Received: {folder}: {error}") from None
        self.signatures = self.loaded.signatures

    def __call__(self, signature, sample):
        outputs = self.signatures[signature](**{name: tf.constant(array) for name, array in sample.items()})
        return {name: tensor.numpy() for name, tensor in outputs.items()}

    def input_shapes(self):
        """The shape of each input of each signature by their names, None where it is open."""
        return {
            name: {key: spec.shape.as_list() for key, spec in function.structured_input_signature[1].items()}
            for name, function in self.signatures.items()
        }

    def ops(self, signature):
        """The names of the operations that compute, functions called included."""
        graph = self.signatures[signature].graph.as_graph_def()
        nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
        return tuple(node.op for node in nodes if node.op not in NOT_COMPUTING)


def _opened(inputs, length):
    """`length`, or None for a model that leaves none open."""
    opened = any(None in tensor.shape[1:] for tensor in inputs.values())
    return length if opened or length != "dynamic" else None


def _samples(signature, given):
    if given is None:
        return synthetic_samples(signature)
    return at_more_lengths(windows(given, signature), signature)


def _described(function):
    inputs = function.structured_input_signature[1]
    both = {"inputs": inputs, "outputs": function.structured_outputs}
    return {
        kind: tuple(f"{name}: {spec.dtype.name}{spec.shape.as_list()}" for name, spec in specs.items())
        for kind, specs in both.items()
    }
