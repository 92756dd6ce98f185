"""Export a .keras file in every recipe and compare them: size, exactness, delegation and latency, side by side.

    python export/to_tflite.py MODEL.keras FOLDER [--length 100] [--calibration DATA] [--only int8,float16]

`lucid-keras export` makes one file; this shows which one to ship. Recipes that need calibration are left out without
data. A recipe that stays below its floor is shown with the reason and writes nothing.
"""

import argparse
import pathlib
import sys

from rich.console import Console
from rich.table import Table

from lucid_keras.export import to_tflite
from lucid_keras.export.commands import load_model
from lucid_keras.export.recipes import RECIPES


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--length", type=int, help="positions of the input where the model leaves them open")
    parser.add_argument("--calibration", help=".npz, .npy, or a folder of recordings and .npy files")
    parser.add_argument("--only", default=",".join(RECIPES), help="recipes, separated by commas; default: all")
    arguments = parser.parse_args()
    table = Table("recipe", "bytes", "SNR", "max error", "delegated", "milliseconds")
    refused = []
    try:
        model = load_model(arguments.model)
        for name in arguments.only.split(","):
            if RECIPES[name].calibrated and arguments.calibration is None:
                continue
            _add(table, refused, model, name, arguments)
    except (KeyError, ValueError, TypeError, OSError) as error:
        sys.exit(f"to_tflite: {error}")
    Console().print(table)
    for sentence in refused:
        print(sentence)


def _add(table, refused, model, name, arguments):
    """Export in one recipe and add its row, or the reason why there is none."""
    options = {"calibration_data": arguments.calibration} if RECIPES[name].calibrated else {}
    path = arguments.folder / f"{arguments.model.stem}.{name}.tflite"
    try:
        report = to_tflite(model, path, quantization=name, length=arguments.length, **options)
    except ValueError as error:
        refused.append(f"{name}: {error}")
        return
    numbers = (f"{report.snr_db:.1f} dB", f"{report.max_error:.2g}", f"{report.delegated}/{report.total}")
    table.add_row(name, f"{report.bytes:,}", *numbers, f"{report.milliseconds:.3g}")


if __name__ == "__main__":
    main()
