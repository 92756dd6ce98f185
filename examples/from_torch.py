"""A PyTorch module to a phone, whole and live: `python examples/from_torch.py`.

The module below is a small HiFi-GAN; put yours in its place. The checkpoint you have loads into it as ever.
"""

import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's notes would hide the results

import numpy as np
import torch
from torch import nn

import lucid_keras as lk

sys.modules.setdefault("triton", None)  # of PyTorch for GPUs: it ends a process that loaded TensorFlow before


class Residual(nn.Module):
    def __init__(self, channels, dilation):
        super().__init__()
        self.conv1 = nn.Conv1d(channels, channels, 3, padding=dilation, dilation=dilation)
        self.conv2 = nn.Conv1d(channels, channels, 3, padding=1)

    def forward(self, x):
        y = self.conv1(nn.functional.leaky_relu(x, 0.1))
        return x + self.conv2(nn.functional.leaky_relu(y, 0.1))


class Vocoder(nn.Module):
    def __init__(self, bands=80, channels=64, strides=(8, 8, 4)):
        super().__init__()
        self.conv_pre = nn.Conv1d(bands, channels, 7, padding=3)
        self.ups, self.blocks = nn.ModuleList(), nn.ModuleList()
        for stride in strides:
            up = nn.ConvTranspose1d(channels, channels // 2, 2 * stride, stride, padding=stride // 2)
            self.ups.append(nn.utils.parametrizations.weight_norm(up))
            channels //= 2
            self.blocks.append(nn.Sequential(Residual(channels, 1), Residual(channels, 3)))
        self.conv_post = nn.Conv1d(channels, 1, 7, padding=3)

    def forward(self, mel):
        x = self.conv_pre(mel)
        for up, block in zip(self.ups, self.blocks, strict=True):
            x = block(up(nn.functional.leaky_relu(x, 0.1)))
        return torch.tanh(self.conv_post(x))


def main(folder=pathlib.Path(".")):
    torch.manual_seed(0)
    vocoder = Vocoder().eval()  # and vocoder.load_state_dict(torch.load("vocoder.pt"))
    model = lk.interop.from_torch(vocoder, torch.randn(1, 80, 20), data_format="channels_last")
    print(lk.export.to_tflite(model, folder / "vocoder.tflite", length=100))
    live = lk.StreamingModel(model)
    print(f"live, {live.latency} samples later:")
    print(lk.export.streaming_to_tflite(live, folder / "live_vocoder.tflite"))
    mel = torch.randn(1, 80, 50)
    samples = np.concatenate(list(live.stream(mel.mT.split(1, dim=1))), axis=1)
    with torch.no_grad():
        expected = vocoder(mel).mT.numpy()
    error = float(np.abs(samples - expected).max() / np.abs(expected).max())
    print(f"the stream in Keras against the whole decode in PyTorch: relative error {error:.1e}")
    return {"live_error": error}


if __name__ == "__main__":
    main()
