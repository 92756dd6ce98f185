"""Run by the interpreter that has litert-torch: `litert_torch_conversion.py LAYER.npz LAYER.tflite`.

Imports nothing of this package, which that interpreter does not have.
"""

import sys

PARAMETERS = ("stride", "padding", "output_padding", "groups", "dilation")


def main(given, made):
    """Convert PyTorch's layer with the weights and parameters in `given` for inputs like `x` to a file at `made`."""
    import litert_torch
    import numpy as np
    import torch

    layer = np.load(given)
    in_channels, group_out, kernel_size = layer["weight"].shape
    parameters = {name: int(layer[name]) for name in PARAMETERS}
    module = torch.nn.ConvTranspose1d(in_channels, group_out * parameters["groups"], kernel_size, **parameters)
    with torch.no_grad():
        module.weight.copy_(torch.from_numpy(layer["weight"]))
        module.bias.copy_(torch.from_numpy(layer["bias"]))
    litert_torch.convert(module.eval(), (torch.from_numpy(layer["x"]),)).export(made)


if __name__ == "__main__":
    main(*sys.argv[1:])
