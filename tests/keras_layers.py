"""The registry of Keras's own activations and layers that an exporter may meet, and which of them it must refuse."""

import keras
import numpy as np

L = keras.layers
SIGNAL = (12, 6)  # positions and channels

ACTIVATIONS = (
    "celu", "elu", "exponential", "gelu", "glu", "hard_shrink", "hard_sigmoid", "hard_silu", "hard_tanh",
    "leaky_relu", "linear", "log_sigmoid", "log_softmax", "mish", "relu", "relu6", "selu", "sigmoid", "silu",
    "soft_shrink", "softmax", "softplus", "softsign", "sparse_plus", "sparse_sigmoid", "sparsemax", "squareplus",
    "tanh", "tanh_shrink", "threshold",
)  # fmt: skip
RECURRENT = ("GRU", "LSTM", "SimpleRNN")


def _recurrent(kind, unroll):
    return lambda name: getattr(L, kind)(4, return_sequences=True, unroll=unroll, name=name)


# What makes each layer, by the name that it gets.
LAYERS = {
    **{function: lambda name, function=function: L.Activation(function, name=name) for function in ACTIVATIONS},
    "threshold": lambda name: L.Activation(lambda x: keras.activations.threshold(x, 0.1, 0.0), name=name),
    "ELU": lambda name: L.ELU(name=name),
    "LeakyReLU": lambda name: L.LeakyReLU(name=name),
    "PReLU": lambda name: L.PReLU("uniform", shared_axes=[1], name=name),
    "ReLU": lambda name: L.ReLU(6.0, 0.1, name=name),
    "Softmax": lambda name: L.Softmax(name=name),
    # normalisations
    "BatchNormalization": lambda name: L.BatchNormalization(name=name),
    "GroupNormalization": lambda name: L.GroupNormalization(2, name=name),
    "LayerNormalization": lambda name: L.LayerNormalization(name=name),
    "Normalization": lambda name: L.Normalization(mean=0.1, variance=0.5, name=name),
    "RMSNormalization": lambda name: L.RMSNormalization(name=name),
    "SpectralNormalization": lambda name: L.SpectralNormalization(L.Dense(4), name=name),
    "UnitNormalization": lambda name: L.UnitNormalization(name=name),
    # convolutions
    "Conv1D": lambda name: L.Conv1D(4, 3, name=name),
    "Conv1D_causal": lambda name: L.Conv1D(4, 3, padding="causal", dilation_rate=2, name=name),
    "Conv1D_groups": lambda name: L.Conv1D(4, 3, groups=2, name=name),
    "Conv1DTranspose": lambda name: L.Conv1DTranspose(4, 4, strides=2, name=name),
    "DepthwiseConv1D": lambda name: L.DepthwiseConv1D(3, depth_multiplier=2, name=name),
    "SeparableConv1D": lambda name: L.SeparableConv1D(4, 3, name=name),
    "ConvLSTM1D": lambda name: L.ConvLSTM1D(3, 3, unroll=True, name=name),
    # pooling, upsampling, padding, cropping, shapes
    "AdaptiveAveragePooling1D": lambda name: L.AdaptiveAveragePooling1D(4, name=name),
    "AdaptiveMaxPooling1D": lambda name: L.AdaptiveMaxPooling1D(4, name=name),
    "AveragePooling1D": lambda name: L.AveragePooling1D(2, name=name),
    "MaxPooling1D": lambda name: L.MaxPooling1D(2, name=name),
    "GlobalAveragePooling1D": lambda name: L.GlobalAveragePooling1D(name=name),
    "GlobalMaxPooling1D": lambda name: L.GlobalMaxPooling1D(name=name),
    "UpSampling1D": lambda name: L.UpSampling1D(name=name),
    "ZeroPadding1D": lambda name: L.ZeroPadding1D(name=name),
    "Cropping1D": lambda name: L.Cropping1D(name=name),
    "Flatten": lambda name: L.Flatten(name=name),
    "Permute": lambda name: L.Permute((2, 1), name=name),
    "RepeatVector": lambda name: L.RepeatVector(3, name=name),
    "Reshape": lambda name: L.Reshape((6, 12), name=name),
    "Rescaling": lambda name: L.Rescaling(0.5, 0.1, name=name),
    # what training alone sees
    "ActivityRegularization": lambda name: L.ActivityRegularization(name=name),
    "AlphaDropout": lambda name: L.AlphaDropout(0.5, name=name),
    "Dropout": lambda name: L.Dropout(0.5, name=name),
    "GaussianDropout": lambda name: L.GaussianDropout(0.5, name=name),
    "GaussianNoise": lambda name: L.GaussianNoise(0.5, name=name),
    "SpatialDropout1D": lambda name: L.SpatialDropout1D(0.5, name=name),
    "Identity": lambda name: L.Identity(name=name),
    "Masking": lambda name: L.Masking(name=name),
    # merging
    "Add": lambda name: L.Add(name=name),
    "Average": lambda name: L.Average(name=name),
    "Concatenate": lambda name: L.Concatenate(name=name),
    "Dot": lambda name: L.Dot(2, name=name),
    "Maximum": lambda name: L.Maximum(name=name),
    "Minimum": lambda name: L.Minimum(name=name),
    "Multiply": lambda name: L.Multiply(name=name),
    "Subtract": lambda name: L.Subtract(name=name),
    # dense layers, embeddings, attention
    "Dense": lambda name: L.Dense(4, name=name),
    "Dense_silu": lambda name: L.Dense(4, activation="silu", name=name),
    "EinsumDense": lambda name: L.EinsumDense("abc,cd->abd", (None, 4), bias_axes="d", name=name),
    "TimeDistributed": lambda name: L.TimeDistributed(L.Dense(4), name=name),
    "Embedding": lambda name: L.Embedding(20, 4, name=name),
    "AdditiveAttention": lambda name: L.AdditiveAttention(name=name),
    "Attention": lambda name: L.Attention(name=name),
    "GroupQueryAttention": lambda name: L.GroupQueryAttention(3, 4, 2, name=name),
    "MultiHeadAttention": lambda name: L.MultiHeadAttention(2, 3, name=name),
    # recurrence
    **{f"{kind}_unrolled": _recurrent(kind, True) for kind in RECURRENT},
    **{f"{kind}_looped": _recurrent(kind, False) for kind in RECURRENT},
    "Bidirectional": lambda name: L.Bidirectional(L.LSTM(3, return_sequences=True, unroll=True), name=name),
    # spectra
    "STFTSpectrogram": lambda name: L.STFTSpectrogram(frame_length=16, frame_step=8, fft_length=16, name=name),
    "MelSpectrogram": lambda name: L.MelSpectrogram(16, 8, 16, sampling_rate=16, num_mel_bins=4, name=name),
}

MERGING = ("Add", "Average", "Concatenate", "Dot", "Maximum", "Minimum", "Multiply", "Subtract")
ATTENDING = ("AdditiveAttention", "Attention")
# Layers of other inputs than a signal, and their shapes.
SHAPES = {
    **dict.fromkeys((*MERGING, *ATTENDING, "GroupQueryAttention", "MultiHeadAttention"), (SIGNAL, SIGNAL)),
    "RepeatVector": ((6,),),
    "ConvLSTM1D": ((4, 9, 2),),
    "STFTSpectrogram": ((64, 1),),
    "MelSpectrogram": ((64,),),
}

# What each recipe refuses: by its floor.
REFUSED = {"float16": ("MelSpectrogram",)}


def model_of(cases):
    """One model with an output for each case, named after it; equal inputs are shared, and weights are random."""
    inputs, outputs = {"indices": keras.Input((12,), dtype="int32", name="indices")} if "Embedding" in cases else {}, {}
    for case in cases:
        shapes = SHAPES.get(case, (SIGNAL,))
        names = ["_".join(["x", str(index), *map(str, shape)]) for index, shape in enumerate(shapes)]
        for name, shape in zip(names, shapes, strict=True):
            inputs.setdefault(name, keras.Input(shape, name=name))
        given = [inputs["indices"]] if case == "Embedding" else [inputs[name] for name in names]
        layer = LAYERS[case](case)
        outputs[case] = layer(given) if case in (*MERGING, *ATTENDING) else layer(*given)
    model = keras.Model(inputs, outputs)
    rng = np.random.default_rng(20260)
    for variable in model.trainable_variables:
        variable.assign(rng.uniform(-0.5, 0.5, variable.shape) + (variable.name in ("gamma", "scale")))
    return model


def data_of(model, samples):
    """Indices, or uniform numbers, whose range calibration can know, for each input."""
    rng = np.random.default_rng(20261)
    return {
        tensor.name: rng.integers(0, 20, [samples, *tensor.shape[1:]], np.int32)
        if tensor.dtype == "int32"
        else rng.uniform(-2, 2, [samples, *tensor.shape[1:]]).astype("float32")
        for tensor in model.inputs
    }
