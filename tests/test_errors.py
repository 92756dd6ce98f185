"""Every illegal argument and wrong input raises, stating the rule and what was received."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import lucid_keras as lk
from lucid_keras.export.signatures import signatures

X = np.zeros((2, 4, 5), "float32")
WEIGHT = np.zeros((4, 3, 3), "float32")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"in_channels": 3, "groups": 2}, ValueError, "in_channels must be divisible by groups.*groups=2"),
        ({"out_channels": 3, "groups": 2}, ValueError, "out_channels must be divisible by groups.*out_channels=3"),
        ({"groups": 0}, ValueError, "groups must be a positive integer. Received: groups=0"),
        ({"groups": -1}, ValueError, "groups must be a positive integer. Received: groups=-1"),
        ({"in_channels": 0}, ValueError, "in_channels must be at least 1. Received: in_channels=0"),
        ({"out_channels": -2}, ValueError, "out_channels must be at least 1. Received: out_channels=-2"),
        ({"kernel_size": 0}, ValueError, "kernel_size must be at least 1. Received: kernel_size=0"),
        ({"stride": 0}, ValueError, "non-positive stride is not supported. Received: stride=0"),
        ({"dilation": 0}, ValueError, "non-positive dilation is not supported. Received: dilation=0"),
        ({"padding": -1}, ValueError, "negative padding is not supported. Received: padding=-1"),
        ({"output_padding": -1}, ValueError, "negative output_padding is not supported"),
        (
            {"output_padding": 2, "stride": 2},
            ValueError,
            "output padding must be smaller than either stride or dilation. Received: output_padding=2, stride=2",
        ),
        (
            {"padding": "same"},
            ValueError,
            r"ConvTranspose1d: string padding \('same'\) is not supported; use an int or tuple of ints",
        ),
        ({"stride": 1.5}, TypeError, "stride must be an int or a tuple of one int. Received: stride=1.5"),
        ({"stride": True}, TypeError, "stride must be an int or a tuple of one int. Received: stride=True"),
        ({"kernel_size": (3, 3)}, ValueError, r"kernel_size must be an int or a tuple of one int.*\(3, 3\)"),
        ({"kernel_size": None}, TypeError, "kernel_size must be an int.*Received: kernel_size=None"),
        ({"stride": tf.constant(2.0)}, TypeError, "stride must be an int or a tuple of one int. Received: stride=<tf"),
        ({"groups": (1,)}, TypeError, r"groups must be an int. Received: groups=\(1,\)"),
        ({"in_channels": 2**31}, ValueError, r"weight must hold at most 2147483647 numbers \(int32\)"),
        ({"dtype": "int32"}, TypeError, "dtype must be floating point. Received: dtype='int32'"),
        ({"weight_initializer": int}, ValueError, "weight_initializer must be None or .*Received: weight_initializer="),
        ({"dilation": 2**31}, ValueError, r"kernel_extent must be at most 2147483647 \(int32\)"),
        ({"bias": 1}, TypeError, "bias must be True or False. Received: bias=1"),
        ({"jit_compile": None}, TypeError, "jit_compile must be True, False or 'auto'. Received: jit_compile=None"),
        ({"data_format": "NCW"}, ValueError, "data_format must be one of 'channels_first', 'channels_last'.*'NCW'"),
        (
            {"lowering": "fast"},
            ValueError,
            "lowering must be one of 'auto', 'conv2d_transpose', 'fast_fir', 'overlap_add', 'polyphase'.*'fast'",
        ),
        ({"device": 0}, TypeError, "device must be a string or None. Received: device=0"),
        ({"device": "disk"}, ValueError, 'device must be like "cpu", "gpu:0".*Received: device=.disk.'),
        ({"device": "cpu:9"}, ValueError, "device must be one of this machine's.*Received: device='cpu:9'"),
    ],
)
def test_the_constructor(arguments, error, message):
    with pytest.raises(error, match=message):
        lk.ConvTranspose1d(**{"in_channels": 4, "out_channels": 4, "kernel_size": 3, **arguments})


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.zeros((4,), "float32"), ValueError, r"Expected 2D \(unbatched\) or 3D \(batched\) input.*size: \[4\]"),
        (np.zeros((1, 1, 4, 5), "float32"), ValueError, "Expected 2D.*Received: an input of rank 4"),
        (
            np.zeros((2, 3, 5), "float32"),
            ValueError,
            r"Given transposed=1, weight of size \[4, 3, 3\], expected input\[2, 3, 5\] to have 4 channels, "
            "but got 3 channels instead",
        ),
        (np.zeros((2, 4, 0), "float32"), ValueError, "at least one position. Received: input length=0"),
        (np.zeros((2, 4, 5), "int32"), TypeError, "must be floating point. Received: an input of dtype int32"),
    ],
)
def test_the_input(x, error, message, jit_compile):
    with pytest.raises(error, match=message):
        lk.ConvTranspose1d(4, 3, 3, jit_compile=jit_compile)(x)


def test_the_input_of_a_model():
    with pytest.raises(ValueError, match="to have 4 channels, but got 5 channels instead"):
        lk.ConvTranspose1d(4, 3, 3)(keras.Input((5, 8)))
    with pytest.raises(ValueError, match=r"to have 4 channels, but got 8 channels.*data_format='channels_last'"):
        lk.ConvTranspose1d(4, 3, 3, data_format="channels_last")(keras.Input((4, 8)))


def test_lengths():
    with pytest.raises(ValueError, match=r"must not be negative. Received: input length=5, giving -3"):
        lk.conv_transpose1d(X, WEIGHT, padding=5)
    with pytest.raises(ValueError, match=r"at most 2147483647 \(int32\). Received: input length=5, giving 4\d+"):
        lk.conv_transpose1d(X, WEIGHT, stride=2**30)


@pytest.mark.parametrize(
    ("output_size", "error", "message"),
    [
        (9, ValueError, "requested an output size of 9, but valid sizes range from 11 to 12.*Received: output_size=9"),
        ([13], ValueError, "requested an output size of 13, but valid sizes range from 11 to 12"),
        ([2, 11], ValueError, r"for 3D input, output_size must have 1 or 3 elements \(got 2\)"),
        ("11", TypeError, "output_size must be an int or a tuple of one int. Received: output_size='11'"),
    ],
)
def test_output_size(output_size, error, message):
    layer = lk.ConvTranspose1d(4, 3, 3, stride=2)
    with pytest.raises(error, match=message):
        layer(X, output_size=output_size)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"weight": np.zeros((4, 3), "float32")}, ValueError, r"weight must have the static shape.*shape \[4, 3\]"),
        ({"bias": np.zeros(4, "float32")}, ValueError, r"\[out_channels\] = \[3\]. Received: bias of shape \[4\]"),
        ({"weight": WEIGHT.astype("float64")}, TypeError, "the weight must have one dtype.*weight of dtype float64"),
        ({"bias": np.zeros(3, "float16")}, TypeError, "the bias must have one dtype.*bias of dtype float16"),
        ({"groups": 3}, ValueError, "in_channels must be divisible by groups"),
        ({"groups": 2.0}, TypeError, "groups must be an int"),
        ({"data_format": None}, ValueError, "data_format must be one of"),
    ],
)
def test_the_operation(arguments, error, message):
    with pytest.raises(error, match=message):
        lk.conv_transpose1d(**{"x": X, "weight": WEIGHT, **arguments})


def test_an_unknown_rank():
    run = tf.function(lambda x: lk.conv_transpose1d(x, WEIGHT), input_signature=[tf.TensorSpec(None)], autograph=False)
    with pytest.raises(ValueError, match="rank must be known"):
        run(X)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_fft": 0}, "n_fft must be at least 1. Received: n_fft=0"),
        ({"n_fft": 16, "hop_length": -4}, "hop_length must be at least 1. Received: hop_length=-4"),
        ({"n_fft": 16, "hop_length": 2**30}, "hop_length must be at most win_length.*Received: hop_length=1073741824"),
        ({"n_fft": 2**20}, "weight must hold at most 2147483647 numbers"),
        ({"n_fft": 16, "win_length": 20}, "win_length must be at most n_fft. Received: win_length=20, n_fft=16"),
        ({"n_fft": 16, "window": [1.0, 2.0]}, "window must hold win_length=16 finite numbers. Received: 2 numbers"),
        ({"n_fft": 16, "window": "kaiser"}, "window must be one of 'hann', 'hamming', 'rectangular'"),
        ({"n_fft": 16, "hop_length": 16}, "leave no sample uncovered.*Received: 0 at sample 8 .* hop_length=16"),
        (
            {"n_fft": 16, "hop_length": 2**40},
            "at most 2147483647.*Received: hop_length=1099511627776",
        ),
        ({"n_fft": 16, "padding": "valid"}, "padding must be one of 'center', 'same'. Received: padding='valid'"),
        ({"n_fft": 16, "padding": "same", "center": False}, "Received: padding='same', center=False"),
        ({"n_fft": 16, "hop_length": 20, "window": "rectangular"}, "or samples are left uncovered"),
    ],
)
def test_istft(arguments, message):
    with pytest.raises(ValueError, match=message):
        lk.ISTFT(**arguments)


def two_inputs():
    opened, closed = keras.Input((4, None), name="opened"), keras.Input((4, 20), name="closed")
    return keras.Model([opened, closed], [lk.ConvTranspose1d(4, 2, 3)(opened), keras.layers.Identity()(closed)])


def test_a_length_is_that_of_the_open_inputs():
    for length in (40, np.int64(40), {"opened": 40}, {"opened": np.int32(40)}):
        (made,) = signatures(two_inputs(), length, batch=1)
        assert {name: spec.shape[2] for name, spec in made.inputs.items()} == {"opened": 40, "closed": 20}


@pytest.mark.parametrize(
    ("length", "error", "message"),
    [
        ({"opened": 40, "typo": 5}, ValueError, "where the model leaves it open. Received: .*'typo': 5"),
        ({"opened": 40, "closed": 20}, ValueError, r"where the model leaves it open. .* open inputs are \['opened'\]"),
        ({}, ValueError, "must be given where the model leaves it open"),
        ({"opened": 2**31}, ValueError, r"length must be at most 2147483647 \(int32\). Received: length=2147483648"),
        (40.0, TypeError, "length must be an int, .* Received: length=40.0"),
        ([True], TypeError, "length must be an int, .* Received: length=True"),
    ],
)
def test_lengths_of_an_export(length, error, message):
    with pytest.raises(error, match=message):
        signatures(two_inputs(), length, batch=1)


def test_a_length_of_a_closed_model_is_not_ignored():
    model = keras.Sequential([keras.Input((8, 5)), lk.ConvTranspose1d(8, 2, 3)])
    for length in (8, 5, "dynamic"):
        with pytest.raises(ValueError, match=r"length can only be given .* the open inputs are none"):
            signatures(model, length, batch=1)


def test_another_backend_is_one_clear_import_error():
    """Keras on PyTorch stands for every backend that is not TensorFlow."""
    result = subprocess.run(
        [sys.executable, "-c", "import lucid_keras"],
        env={**os.environ, "KERAS_BACKEND": "torch"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    rule = "lucid_keras needs Keras on its TensorFlow backend; set KERAS_BACKEND=tensorflow before keras is imported."
    assert last == f"ImportError: {rule} Received: Keras on the 'torch' backend"
