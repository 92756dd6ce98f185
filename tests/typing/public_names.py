"""A user's script with every public name, for `mypy --strict` and pyright; `make lint` checks it, nobody runs it."""

import os
import pathlib
from typing import assert_type

import keras
import numpy as np
import tensorflow as tf
import torch

import lucid_keras as lk

folder = pathlib.Path("artefacts")
x = np.zeros((1, 4, 8), np.float32)
print(lk.__version__.split("."))

# The operation and the layers.
y = lk.conv_transpose1d(x, np.zeros((4, 2, 3), np.float32), stride=2, data_format="channels_first", lowering="auto")
y = lk.conv_transpose1d(tf.constant(x), tf.zeros([4, 2, 3]), tf.zeros([2]), stride=(2,), padding=(1,), dilation=1)
y = lk.conv_transpose1d(keras.Input((4, 8)), np.zeros((4, 2, 3), np.float32))
switched = lk.from_keras(keras.layers.Conv1DTranspose(2, 4, strides=2, padding="same"))
layer = lk.ConvTranspose1d(
    4,
    2,
    kernel_size=(4,),
    stride=2,
    padding=(1,),
    output_padding=0,
    groups=2,
    bias=True,
    dilation=1,
    device="cpu",
    dtype="mixed_float16",
    data_format="channels_last",
    lowering="polyphase",
    jit_compile="auto",
    weight_initializer="ones",
    bias_regularizer=keras.regularizers.L2(1e-3),
    name="up",
)
assert_type(layer, lk.ConvTranspose1d)
assert_type(layer.extra_repr(), str)
y = layer(x, output_size=16)
istft = lk.ISTFT(16, hop_length=4, window="hamming", center=True, data_format="channels_last")
istft = lk.ISTFT(2, window=[0.5, 1.0], dtype=keras.DTypePolicy("float32"))
istft = lk.ISTFT(2, window=np.ones(2), padding="same")
attention = lk.WindowedAttention(8, window=250, key_heads=None, rotary_base=10_000, dtype="float32", name="attention")
attention = lk.WindowedAttention(heads=4, window=3, key_heads=2, rotary_base=None)
model = keras.Sequential([keras.Input((4, None)), lk.ConvTranspose1d(4, 2, 4, stride=2)])

# Live.
live = lk.StreamingConvTranspose1d(layer, trim=1, name="live")
state = live.initial_state(batch=2)
y, state = live.step(x, state)
state = live.reset(state, [True, False])
y = live.flush(state)


class Past(lk.Stage):
    """What a user's own layer remembers."""

    def __init__(self) -> None:
        self.state_shapes = {"past": (1, 2)}


assert_type(Past().needs_silence, bool)
decoder = lk.StreamingModel(model, name="decoder", pointwise=[keras.layers.ReLU, "up", keras.ops.tanh])
assert_type(decoder.describe(sample_rate=24_000), str)
states = decoder.initial_state(batch=1)
y, states = decoder.step(x, states)
y = decoder.flush(states)

# Exports and their proof.
report = lk.export.to_tflite(model, "up.tflite")
assert_type(report, lk.export.ExportReport)
report = lk.export.to_tflite(
    model,
    folder / "up.tflite",
    quantization="int8",
    calibration_data=np.zeros((10, 4, 8), np.float32),
    length=8,
    verification_data={"x": x},
    integer_io=True,
    floor_db=20,
    float_layers=["up", "block/dense"],
    compare_layers=True,
    exact_products=True,
    timing_seconds=0.1,
    prove_on=("arm64", "gpu"),
)
lk.export.to_tflite(model, folder / "dynamic.tflite", length="dynamic", calibration_data="recordings")
lk.export.to_tflite(model, folder / "by_name.tflite", length={"x": 8})
lk.export.to_tflite(model, folder / "two.tflite", length=[8, 16], calibration_data=[x, x])
assert_type(lk.export.to_saved_model(model, folder / "saved", length="dynamic", floor_db=100.0), lk.export.ExportReport)
assert_type(
    lk.export.to_stablehlo(model, folder / "hlo", length=8, batch=2, vjp=True, platform="tpu"), lk.export.ExportReport
)
lk.export.streaming_to_saved_model(live, folder / "live", chunk=(1, 4), batch=2)
lk.export.streaming_to_tflite(decoder, "live.tflite", chunk=2, quantization="dynamic_int8", states="variables")
lk.export.streaming_to_tflite(decoder, "live.tflite", prove_on=["browser"], exact_products=True)
lk.export.streaming_to_tflite(decoder, "live.tflite", quantization="dynamic_int8", float_layers="auto")
report = lk.export.smallest_tflite(
    model, folder / "small.tflite", device="npu", floor_db=25, calibration_data=[x], length=8, time_limit=600
)
assert_type(report, lk.export.ExportReport)
print([(one.name, one.before - one.after) for one in report.fewer_products])
print([(one.recipe, one.kept, one.bytes / 2, one.snr_db > 25) for one in report.curve], report.float_layers)
try:
    lk.export.to_tflite(model, "small.tflite", length=8, quantization="weight_only_int4")
except lk.export.BelowFloorError as refusal:
    assert_type(refusal.retry(float_layers="auto", floor_db=20), lk.export.ExportReport)
    refusal.retry(float_layers=("up",))
print([(one.runtime, one.snr_db > 60, one.milliseconds) for one in report.elsewhere])
assert_type(lk.export.snr_db([x, x], [x, x]), float)
print(os.fspath(report), report.snr_db > 60, report.path.stat().st_size, report.delegated, report.milliseconds)
report.save_json(folder / "report.json")
report.save_html("report.html")

# Checkpoints.
found = lk.interop.read_state_dict("decoder.safetensors", key="generator")
assert_type(found, dict[str, np.ndarray])
folded = lk.interop.fold_weight_norm(found)
loaded = lk.interop.load_state_dict(layer, folded, rename={r"^up\.": "", r"^discriminator\.": None}, strict=False)
assert_type(loaded, lk.interop.LoadReport)
assert_type(loaded.missing, tuple[str, ...])
lk.interop.load_state_dict(model, folder / "decoder.pt", rename=lambda name: name.removeprefix("generator."))
lk.interop.load_state_dict(model, torch.nn.ConvTranspose1d(4, 2, 4).state_dict())
lk.interop.load_state_dict(model, {"up.weight": torch.zeros(4, 2, 4)})
assert_type(lk.interop.to_state_dict(model), dict[str, np.ndarray])
translated = lk.interop.from_torch(
    torch.nn.Conv1d(4, 2, 3), torch.zeros(1, 4, 9), data_format="channels_last", name="a"
)
lk.interop.from_torch(folder / "decoder.pt2")
lk.interop.from_torch(torch.nn.Conv1d(4, 2, 3), (torch.zeros(1, 4, 9),), other_inputs=[(torch.zeros(1, 4, 20),)])
snake = lk.Snake(separate_beta=True, logarithmic=True, weight_shape=(1, 4, 1), epsilon=1e-9, name="act")
print(lk.interop.describe("decoder.npz").entries[0].shape[0])
