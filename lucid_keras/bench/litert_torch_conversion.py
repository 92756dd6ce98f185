"""Run by the interpreter that has litert-torch: `litert_torch_conversion.py ARGUMENTS ARRAYS.npz LAYER.tflite`.

The layer's arguments are JSON. Imports nothing of this package, which that interpreter does not have.
"""

import json
import sys


def main(arguments, arrays, made):
    """Convert PyTorch's layer of these arguments with the weights in `arrays` for inputs like `x` to a file `made`."""
    import litert_torch
    import numpy as np
    import torch

    tensors = {name: torch.from_numpy(array) for name, array in np.load(arrays).items()}
    module = torch.nn.ConvTranspose1d(**json.loads(arguments))
    module.load_state_dict({name: tensors[name] for name in ("weight", "bias")})
    litert_torch.convert(module.eval(), (tensors["x"],)).export(made)


if __name__ == "__main__":
    main(*sys.argv[1:])
