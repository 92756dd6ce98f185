"""Convert an exported PyTorch program with litert-torch: `PYTHON convert_with_litert_torch.py PROGRAM.pt2 OUT.tflite`.

Runs in an environment of its own, because litert-torch's requirements conflict with TensorFlow's.
"""

import sys

import litert_torch
import torch


def convert(program, out):
    loaded = torch.export.load(program)
    module = loaded.module()
    litert_torch.convert(module, loaded.example_inputs[0]).export(out)


if __name__ == "__main__":
    convert(*sys.argv[1:])
