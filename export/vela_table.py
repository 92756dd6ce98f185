"""A table of what Arm Ethos-U NPUs make of decoder layers: polyphase against TRANSPOSE_CONV, by Vela's own estimates.

    python export/vela_table.py [--vela PATH] [--json FILE]

Each layer is exported in int8 with each lowering and compiled for Ethos-U55, U65 and U85. `pip install ethos-u-vela`
brings Vela; an environment of its own keeps its NumPy apart.
"""

import argparse
import dataclasses
import json
import pathlib
import sys
import tempfile

import keras
import numpy as np
from rich.console import Console
from rich.table import Table

import lucid_keras as lk
from lucid_keras.export import to_tflite
from lucid_keras.export.files import write_atomically
from lucid_keras.export.vela import ACCELERATORS, compile_for_ethos_u

LAYERS = {  # what the decoders have, and the input length
    "HiFi-GAN 512 to 256, k16 s8": ((512, 256, 16, 8, 4), {}, 33),
    "EnCodec 256 to 128, k10 s5": ((256, 128, 10, 5), {}, 40),
    "WaveGAN 64 to 32, k25 s4": ((64, 32, 25, 4, 11, 1), {}, 64),
    "BigVGAN depthwise 64, k12 s2": ((64, 64, 12, 2, 5), {"groups": 64}, 100),
}
LOWERINGS = ("polyphase", "conv2d_transpose")


def rows(vela):
    """A dict for each layer, accelerator and lowering; TRANSPOSE_CONV only where it has the layer's groups."""
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder:
        for name, (arguments, options, length) in LAYERS.items():
            for lowering in LOWERINGS if not options else LOWERINGS[:1]:
                keras.utils.set_random_seed(1)
                layer = lk.ConvTranspose1d(*arguments, **options, lowering=lowering)
                model = keras.Sequential([keras.Input((arguments[0], length)), layer])
                data = rng.uniform(-1, 1, (20, arguments[0], length)).astype("float32")
                path = pathlib.Path(folder) / "layer.tflite"
                to_tflite(model, path, quantization="int8", calibration_data=data, integer_io=True, timing_seconds=0)
                for accelerator in ACCELERATORS:
                    compiled = compile_for_ethos_u(path, accelerator, vela=vela)
                    yield {"layer": name, "lowering": lowering, **dataclasses.asdict(compiled)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vela", default="vela", help="the command; default: vela on the path")
    parser.add_argument("--json", type=pathlib.Path, help="also write the rows to this file")
    arguments = parser.parse_args()
    try:
        found = list(rows(arguments.vela))
    except (ValueError, OSError) as error:
        sys.exit(f"vela_table: {error}")
    table = Table("layer", "accelerator", "lowering", "on the NPU", "on the CPU", "MACs", "cycles")
    for row in found:
        numbers = (row["npu_operators"], row["cpu_operators"], f"{row['macs']:,}", f"{row['cycles']:,}")
        table.add_row(row["layer"], row["accelerator"], row["lowering"], *map(str, numbers))
    Console(width=None if sys.stdout.isatty() else 130).print(table)
    if arguments.json is not None:
        write_atomically(arguments.json, (json.dumps(found, indent=2) + "\n").encode())


if __name__ == "__main__":
    main()
