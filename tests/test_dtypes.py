"""Every floating dtype and Keras policy, within the rounding of that dtype."""

import arrays
import keras
import numpy as np
import pytest
import reference
import tensorflow as tf
from cases import CASES
from tolerances import relative_tolerance

import lucid_keras as lk
from lucid_keras._lowering.choice import LOWERINGS

DTYPES = ["float16", "bfloat16", "float32", "float64"]
NAMES = ["hifigan_up", "grouped", "bigvgan_up", "dilated_strided", "stride_1"]


def relative_error(got, want):
    return abs(np.asarray(got, np.float64) - want).max() / abs(want).max()


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_forward_and_gradients(name, dtype, jit_compile, rng):
    case = CASES[name]
    data = arrays.normals(case, rng)
    names = ["x", "weight", "bias"] if case.bias else ["x", "weight"]
    inputs = {name: tf.cast(getattr(data, name), dtype) for name in names}
    dy = tf.cast(abs(data.dy), dtype)  # of one sign: else the sum over all positions is what happens to be left
    exact = {name: tf.cast(tensor, tf.float64).numpy() for name, tensor in inputs.items()}
    want = {"y": reference.conv_transpose1d(**{"bias": None} | exact, **case.parameters)}
    gradients = reference.gradients(exact["x"], exact["weight"], tf.cast(dy, tf.float64), **case.parameters)
    want |= {f"d{name}": gradient for name, gradient in zip(names, gradients, strict=False)}
    terms = {
        "y": case.kernel_size * case.in_channels // case.groups,
        "dx": case.kernel_size * case.out_channels // case.groups,
        "dweight": case.batch * case.length,
        "dbias": case.batch * case.output_length,
    }
    for lowering in LOWERINGS:

        def compute(inputs, lowering=lowering):
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                y = lk.conv_transpose1d(**inputs, **case.parameters, lowering=lowering)
                loss = tf.reduce_sum(y * dy)
            return {"y": y, **{f"d{name}": gradient for name, gradient in tape.gradient(loss, inputs).items()}}

        results = tf.function(compute, jit_compile=jit_compile, autograph=False)(inputs)
        assert results.keys() == want.keys()
        for what, got in results.items():
            assert got.dtype.name == dtype
            assert relative_error(got, want[what]) < relative_tolerance(dtype, terms[what]), (what, lowering)


@pytest.mark.parametrize("policy", ["float16", "bfloat16", "float64", "mixed_float16", "mixed_bfloat16"])
def test_policies(policy, rng):
    case = CASES["hifigan_up"]
    data = arrays.normals(case, rng)
    layer = lk.ConvTranspose1d(**case.layer_arguments, dtype=keras.DTypePolicy(policy))
    y = layer(data.x)
    compute, variable = layer.compute_dtype, layer.variable_dtype
    assert (y.dtype.name, layer.weight.dtype) == (compute, variable)
    assert (variable == "float32") == policy.startswith("mixed")
    want = reference.conv_transpose1d(data.x, layer.weight.numpy(), layer.bias.numpy(), **case.parameters)
    # the input and the kernel are rounded too, so every term carries up to three roundings
    assert relative_error(tf.cast(y, tf.float64), want) < 3 * relative_tolerance(compute, case.kernel_size * 6)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(data.x))
    assert all(gradient.dtype == variable for gradient in tape.gradient(loss, layer.trainable_variables))


@pytest.mark.parametrize("dtype", ["float16", tf.float16, np.float16, "mixed_float16", keras.DTypePolicy("float16")])
def test_dtype_takes_what_keras_and_tensorflow_take(dtype):
    assert lk.ConvTranspose1d(2, 2, 3, dtype=dtype).compute_dtype == "float16"
