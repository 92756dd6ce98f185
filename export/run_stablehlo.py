"""Run an exported StableHLO program on NumPy arrays through jaxlib: no TensorFlow, no Keras, no lucid_keras.

    python run_stablehlo.py NAME.stablehlo inputs.npz outputs.npz [--program vjp]

`inputs.npz` holds an array for each of the manifest's parameters; a vjp's cotangents go by the outputs' names. It runs
on the first device that jax finds: a GPU or TPU where its plugin is installed, else the CPU.
"""

import argparse
import json
import pathlib

import jax
import numpy as np
from jaxlib import xla_client


def load(folder, program="forward"):
    """A function from arrays by parameter name to arrays by result name."""
    folder = pathlib.Path(folder)
    manifest = json.loads((folder / "manifest.json").read_text())["programs"][program]
    device = jax.devices()[0]
    artefact = (folder / manifest["file"]).read_bytes()
    executable = device.client.compile_and_load(artefact, xla_client.DeviceList((device,)))

    def run(arrays):
        parameters = [_fitting(one, arrays[one["name"]]) for one in manifest["parameters"]]
        results = executable.execute_sharded([jax.device_put(array, device) for array in parameters])
        columns = results.disassemble_into_single_device_arrays()
        return {one["name"]: np.asarray(column[0]) for one, column in zip(manifest["results"], columns, strict=True)}

    return run


def _fitting(parameter, array):
    """`array` as the program takes it; raises for another shape."""
    if list(array.shape) != parameter["shape"]:
        raise ValueError(f"{parameter['name']} must be of shape {parameter['shape']}. Received: {list(array.shape)}")
    return np.asarray(array, parameter["dtype"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("inputs")
    parser.add_argument("outputs")
    parser.add_argument("--program", default="forward", choices=("forward", "vjp"))
    arguments = parser.parse_args()
    np.savez(arguments.outputs, **load(arguments.folder, arguments.program)(np.load(arguments.inputs)))


if __name__ == "__main__":
    main()
