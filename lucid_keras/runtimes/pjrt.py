"""A folder of StableHLO programs on the first device that jaxlib's PJRT client finds: a TPU, a GPU or the CPU."""

import os

import numpy as np

from lucid_keras._extras import lacking, needed
from lucid_keras.runtimes.stablehlo import StableHlo


class Pjrt(StableHlo):
    """The programs of a folder, each a signature of arrays by name.

    Args:
        artefact: the folder, as `StableHlo` takes it.

    Raises:
        ImportError: jax is not installed.
        ValueError: the folder is not whole.
    """

    name = "PJRT"

    @classmethod
    def lacking(cls):
        return lacking("jax", "pjrt")

    def __init__(self, artefact: str | os.PathLike):
        self._jax = needed("jax", "running StableHLO under PJRT needs jax", "pjrt")
        from jaxlib import xla_client  # comes with jax

        super().__init__(artefact)
        self._device = self._jax.devices()[0]
        self.device = None if self._device.platform == "cpu" else self._device.device_kind
        self.threads = None  # PJRT keeps its own
        self.version = f"{self._jax.__version__} on {self._device.platform}"
        devices = xla_client.DeviceList((self._device,))
        self._executables = {
            name: self._device.client.compile_and_load(program, devices) for name, program in self.programs.items()
        }

    def prepared(self, signature, inputs):
        parameters = self.signatures[signature].inputs
        arrays = [np.asarray(inputs[name], spec.dtype) for name, spec in parameters.items()]
        arguments = self._jax.device_put(arrays, self._device)
        executable = self._executables[signature]
        return lambda: [
            column[0] for column in executable.execute_sharded(arguments).disassemble_into_single_device_arrays()
        ]
