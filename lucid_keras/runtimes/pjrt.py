"""A folder of StableHLO programs on the first device that jaxlib's PJRT client finds: a TPU, a GPU or the CPU."""

import os
import pathlib

import numpy as np

from lucid_keras.runtimes.protocol import Coverage
from lucid_keras.runtimes.stablehlo import StableHlo, programs


class Pjrt:
    """The programs of a folder, each a signature of arrays by name.

    Args:
        artefact: the folder, as `StableHlo` takes it.

    Raises:
        ImportError: jax is not installed.
        ValueError: the folder is not whole.
    """

    name = "PJRT"
    kind = "stablehlo"

    def __init__(self, artefact: str | os.PathLike):
        try:
            import jax
            from jaxlib import xla_client
        except ImportError:
            raise ImportError("running StableHLO under PJRT needs jax: pip install 'lucid_keras[pjrt]'") from None
        contents, self.signatures = programs(artefact)
        self._device, self._put = jax.devices()[0], jax.device_put
        self.version = f"{jax.__version__} on {self._device.platform}"
        devices = xla_client.DeviceList((self._device,))
        self._executables = {
            name: self._device.client.compile_and_load(program, devices) for name, program in contents.items()
        }

    @staticmethod
    def opens(path: pathlib.Path) -> bool:
        """Whether the path is a folder with a manifest of programs."""
        return StableHlo.opens(path)

    def run(self, signature, inputs):
        columns = self.prepared(signature, inputs)()
        names = self.signatures[signature].outputs
        return {name: np.asarray(column[0]) for name, column in zip(names, columns, strict=True)}

    def prepared(self, signature, inputs):
        parameters = self.signatures[signature].inputs
        arguments = [self._put(np.asarray(inputs[name], spec.dtype), self._device) for name, spec in parameters.items()]
        executable = self._executables[signature]
        return lambda: executable.execute_sharded(arguments).disassemble_into_single_device_arrays()

    def coverage(self) -> Coverage:
        """XLA fuses what it compiles: no operators to count."""
        return Coverage(())
