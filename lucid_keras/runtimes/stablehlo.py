"""A folder of StableHLO programs, compiled and run by TensorFlow's own XLA."""

import hashlib
import json
import os
import pathlib

import numpy as np
import tensorflow as tf
from tensorflow.compiler.tf2xla.ops import gen_xla_ops

from lucid_keras.runtimes.protocol import Coverage, InThisProcess, Signature, Spec

MANIFEST = "manifest.json"
CALLING_CONVENTION = 10  # of TensorFlow's XlaCallModule: positional arguments, no platform index


class StableHlo(InThisProcess):
    """The programs of a folder, each a signature of arrays by name.

    Args:
        artefact: the folder, with a manifest of names, shapes and dtypes.

    Raises:
        ValueError: the folder is not whole.
    """

    name = "XLA in TensorFlow"
    kind = "stablehlo"
    version = tf.__version__
    device: str | None = None

    def __init__(self, artefact: str | os.PathLike):
        self.programs, self.signatures = programs(artefact)
        self.threads: int | None = tf.config.threading.get_intra_op_parallelism_threads() or None

    def run(self, signature, inputs):
        outputs = self.prepared(signature, inputs)()
        return {
            name: np.asarray(array) for name, array in zip(self.signatures[signature].outputs, outputs, strict=True)
        }

    def prepared(self, signature, inputs):
        parameters, results = self.signatures[signature].inputs, self.signatures[signature].outputs
        arguments = [tf.constant(inputs[name], spec.dtype) for name, spec in parameters.items()]
        return lambda: call(self.programs[signature], arguments, list(results.values()))

    def coverage(self) -> Coverage:
        """XLA fuses what it compiles: no operators to count."""
        return Coverage(())


def call(program: bytes, arguments: list[tf.Tensor], results: list[Spec]) -> list[tf.Tensor]:
    """What a serialized program gives for its arguments in order."""
    try:
        return gen_xla_ops.xla_call_module(
            args=arguments,
            version=CALLING_CONVENTION,
            module=program,
            Sout=[list(spec.shape) for spec in results],
            Tout=[spec.dtype for spec in results],
            platforms=["CPU"],
            dim_args_spec=[],
            function_list=[],
            has_token_input_output=False,
            disabled_checks=[],
        )
    except tf.errors.InvalidArgumentError as error:
        reason = error.message.splitlines()[0]
        raise ValueError(f"The program must take and give what the manifest says. Received: {reason}") from None


def programs(folder: str | os.PathLike) -> tuple[dict[str, bytes], dict[str, Signature]]:
    """The serialized programs of a folder by name, and what each takes and gives, in order."""
    folder = pathlib.Path(folder)
    try:
        described = json.loads((folder / MANIFEST).read_text())["programs"]
        contents = {name: _whole(folder / one["file"], one["sha256"]) for name, one in described.items()}
        signatures = {
            name: Signature(_specs(one["parameters"]), _specs(one["results"])) for name, one in described.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"The folder must hold whole StableHLO programs. Received: {folder}: {error}") from None
    return contents, signatures


def _whole(file, sha256):
    """A program's bytes; XLA says nothing of use of damaged ones."""
    content = file.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(f"{file.name} is not the one that the manifest names")
    return content


def _specs(rows):
    return {row["name"]: Spec(row["dtype"], tuple(row["shape"])) for row in rows}
