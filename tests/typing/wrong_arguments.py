"""What a type checker must refuse: a line that it lets through makes its mark unnecessary, and that is the error."""

import keras
import numpy as np

import lucid_keras as lk

x = np.zeros((1, 4, 8), np.float32)
layer = lk.ConvTranspose1d(4, 2, 4)
model = keras.Sequential([keras.Input((4, None)), layer])

lk.ConvTranspose1d(4, 2, "4")  # type: ignore[arg-type]
lk.ConvTranspose1d(4, 2, (4, 4))  # type: ignore[arg-type]
lk.ConvTranspose1d(4, 2, 4, stride=1.5)  # type: ignore[arg-type]
lk.ConvTranspose1d(4, 2, 4, bias="no")  # type: ignore[arg-type]
lk.ConvTranspose1d(4, 2, 4, data_format="first")  # type: ignore[arg-type]
lk.ConvTranspose1d(4, 2, 4, lowering="fast")  # type: ignore[arg-type]
lk.conv_transpose1d(x, x, stride="2")  # type: ignore[arg-type]
lk.conv_transpose1d(x, x, data_format="last")  # type: ignore[arg-type]
lk.conv_transpose1d(x, x, lowering="fast")  # type: ignore[arg-type]
lk.conv_transpose1d(x, x, kernel_size=4)  # type: ignore[call-arg]
lk.ISTFT("1024")  # type: ignore[arg-type]
lk.ISTFT(1024, window="hann window")  # type: ignore[arg-type]
lk.ISTFT(1024, padding="valid")  # type: ignore[arg-type]
lk.WindowedAttention(8)  # type: ignore[call-arg]
lk.WindowedAttention(8, "250")  # type: ignore[arg-type]
lk.WindowedAttention(8, 250, rotary_base="10000")  # type: ignore[arg-type]
lk.StreamingConvTranspose1d(layer, trim="1")  # type: ignore[arg-type]
lk.StreamingConvTranspose1d(4)  # type: ignore[arg-type]

lk.export.to_tflite(model, 3)  # type: ignore[arg-type]
lk.export.to_tflite(model, "a.tflite", quantization="int7")  # type: ignore[arg-type]
lk.export.to_tflite(model, "a.tflite", quantisation="int8")  # type: ignore[call-arg]
lk.export.to_tflite(model, "a.tflite", length="any")  # type: ignore[arg-type]
lk.export.to_tflite(model, "a.tflite", floor_db="60")  # type: ignore[arg-type]
lk.export.to_tflite(model, "a.tflite", prove_on=["phone"])  # type: ignore[list-item]
lk.export.to_tflite(model, "a.tflite", float_layers=3)  # type: ignore[arg-type]
lk.export.smallest_tflite(model, "a.tflite", device="phone")  # type: ignore[arg-type]
lk.export.to_saved_model(model, "a", length="any")  # type: ignore[arg-type]
lk.export.to_stablehlo(model, "a", length="any")  # type: ignore[arg-type]
lk.export.to_stablehlo(model, "a", batch="2")  # type: ignore[arg-type]
lk.export.streaming_to_saved_model(model, "a", chunk="1")  # type: ignore[arg-type]
lk.export.streaming_to_tflite(model, "a.tflite", states="hidden")  # type: ignore[arg-type]
lk.export.streaming_to_tflite(model, "a.tflite", quantization="int7")  # type: ignore[arg-type]
lk.export.snr_db(x, None)  # type: ignore[arg-type]

lk.interop.read_state_dict(3)  # type: ignore[arg-type]
lk.interop.describe(b"decoder.npz")  # type: ignore[arg-type]
lk.interop.fold_weight_norm([x])  # type: ignore[arg-type]
lk.interop.load_state_dict(layer, 3)  # type: ignore[arg-type]
lk.interop.load_state_dict(layer, "a.npz", rename="up")  # type: ignore[arg-type]
lk.interop.load_state_dict(layer, "a.npz", strict="no")  # type: ignore[arg-type]

print(lk.ConvTranspose2d)  # type: ignore[attr-defined]
print(lk.interop.save_state_dict)  # type: ignore[attr-defined]
