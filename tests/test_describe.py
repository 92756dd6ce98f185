"""Describing a checkpoint: each module is named for a layer that its tensors fit."""

import numpy as np
import pytest
import torch

from lucid_keras.interop import describe

nn = torch.nn
MODULES = {
    "conv": (nn.Conv1d(6, 4, 3), "Conv1D(4, 3)"),
    "grouped": (nn.Conv1d(6, 4, 3, groups=2), "Conv1D(4, 3)"),
    "one_by_one": (nn.Conv1d(4, 4, 1), "Conv1D(4, 1)"),
    "up": (nn.ConvTranspose1d(6, 4, 3), "ConvTranspose1d(6, 4, kernel_size=3)"),
    "up_grouped": (nn.ConvTranspose1d(6, 4, 3, groups=2), "ConvTranspose1d(6, 4, kernel_size=3, groups=2)"),
    "either": (nn.ConvTranspose1d(4, 4, 3), "Conv1D(4, 3) or ConvTranspose1d(4, 4, kernel_size=3)"),
    "no_bias": (
        nn.ConvTranspose1d(6, 4, 3, bias=False),
        "Conv1D(6, 3) or ConvTranspose1d(6, 4, kernel_size=3, bias=False)",
    ),
    "normed": (nn.utils.parametrizations.weight_norm(nn.Conv1d(6, 4, 3)), "Conv1D(4, 3)"),
    "spectral": (nn.utils.parametrizations.spectral_norm(nn.Conv1d(6, 4, 3)), ""),
    "linear": (nn.Linear(3, 2), "Dense"),
    "table": (nn.Embedding(5, 2), "Dense or Embedding"),
    "lstm": (nn.LSTM(3, 5), "LSTM(5)"),
    "gru": (nn.GRU(3, 5), "GRU(5)"),
    "norm": (nn.BatchNorm1d(3), "BatchNormalization"),
    "layer_norm": (nn.LayerNorm(3), "LayerNormalization, GroupNormalization"),
    "act": (nn.PReLU(3), "PReLU or RMSNormalization"),
}


@pytest.mark.parametrize("name", MODULES)
def test_each_module_is_named_for_a_layer(tmp_path, name):
    module, layer = MODULES[name]
    torch.save(nn.ModuleDict({"m": module}).state_dict(), tmp_path / "m.pt")
    found = describe(tmp_path / "m.pt").entries
    assert {entry.layer for entry in found} == {layer}
    assert [entry.name for entry in found] == [f"m.{key}" for key in module.state_dict()]


def test_the_table(tmp_path):
    np.savez(tmp_path / "a.npz", **{"up.weight": np.zeros((16, 8, 4), "float16"), "step": np.zeros((), "int64")})
    assert str(describe(tmp_path / "a.npz")).splitlines() == [
        "up.weight  [16, 8, 4]  float16  Conv1D(16, 4) or ConvTranspose1d(16, 8, kernel_size=4, bias=False)",
        "step       []          int64",
        "2 tensors, 513 numbers",
    ]
