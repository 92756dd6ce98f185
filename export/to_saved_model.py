"""Export a .keras file to the folder that TensorFlow Serving watches: FOLDER/NAME/VERSION.

    python export/to_saved_model.py MODEL.keras FOLDER [--version 1] [--length 100]

Batch and length stay open unless `--length` fixes the latter. `export/serving/README.md` says how to serve it.
"""

import argparse
import pathlib
import sys

from lucid_keras.export import to_saved_model
from lucid_keras.export.commands import load_model


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--version", type=int, default=1, help="a new number replaces the served model; default: 1")
    parser.add_argument("--length", type=int, help="positions of the input; default: open")
    arguments = parser.parse_args()
    path = arguments.folder / arguments.model.stem / str(arguments.version)
    try:
        print(to_saved_model(load_model(arguments.model), path, length=arguments.length or "dynamic"))
    except (ValueError, TypeError, OSError) as error:
        sys.exit(f"to_saved_model: {error}")


if __name__ == "__main__":
    main()
