"""Plain TensorFlow: a SavedModel loaded as a server loads it."""

import os

import tensorflow as tf

from lucid_keras.runtimes.protocol import Coverage, InThisProcess, Signature, Spec

NOT_COMPUTING = ("Const", "Placeholder", "Identity", "NoOp", "PartitionedCall", "StatefulPartitionedCall")


class SavedModel(InThisProcess):
    """The signatures of a SavedModel.

    Args:
        artefact: the folder.

    Raises:
        ValueError: the folder holds no whole SavedModel.
    """

    name = "TensorFlow"
    kind = "saved_model"
    version = tf.__version__

    def __init__(self, artefact: str | os.PathLike):
        try:
            self._loaded = tf.saved_model.load(str(artefact))  # kept: its variables go with it
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, tf.errors.OpError) as error:
            raise ValueError(f"The folder must hold a whole SavedModel. Received: {artefact}: {error}") from None
        self.threads = tf.config.threading.get_intra_op_parallelism_threads() or None
        gpus = tf.config.list_physical_devices("GPU")
        self.device = tf.config.experimental.get_device_details(gpus[0])["device_name"] if gpus else None
        # Live files step first; other signatures have no order.
        self._functions = dict(sorted(self._loaded.signatures.items(), key=lambda one: one[0] != "step"))

    @property
    def signatures(self) -> dict[str, Signature]:
        specs = lambda tensors: {name: _spec(one) for name, one in tensors.items()}  # noqa: E731
        return {
            name: Signature(specs(function.structured_input_signature[1]), specs(function.structured_outputs))
            for name, function in self._functions.items()
        }

    def run(self, signature, inputs):
        outputs = self.prepared(signature, inputs)()
        return {name: tensor.numpy() for name, tensor in outputs.items()}

    def prepared(self, signature, inputs):
        tensors = {name: tf.constant(array) for name, array in inputs.items()}
        return lambda: self._functions[signature](**tensors)

    def coverage(self) -> Coverage:
        """The operations that compute, functions called included."""
        graph = next(iter(self._functions.values())).graph.as_graph_def()
        nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
        return Coverage(tuple(node.op for node in nodes if node.op not in NOT_COMPUTING))


def _spec(tensor):
    return Spec(tensor.dtype.name, tuple(tensor.shape.as_list()))
