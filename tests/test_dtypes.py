"""Every floating dtype and Keras policy, within the rounding of that dtype."""

import dataclasses

import arrays
import keras
import numpy as np
import pytest
import reference
import tensorflow as tf
from cases import CASES, Case
from sweep import MODES, value_and_gradients
from test_lowerings import assert_exact
from tolerances import EPSILON, relative_tolerance

import lucid_keras as lk
from lucid_keras._lowering.choice import LOWERINGS
from lucid_keras._lowering.lowerings import LOWER

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


LONG = {
    "dense": Case(2, 2, 2, stride=2),
    "dilated": Case(2, 2, 3, stride=2, dilation=3),
    "grouped": Case(4, 4, 2, stride=2, groups=2),
    "depthwise": Case(2, 2, 2, stride=2, groups=2),
    "depthwise_many_taps": Case(2, 2, 9, groups=2),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("policy", ["bfloat16", "mixed_float16"])
@pytest.mark.parametrize("name", LONG)
def test_long_sums_do_not_stop_growing(name, policy, mode):
    """In bfloat16 a sum of ones stops at 256, in float16 at 2,048; what is summed in float32 is rounded once."""
    case, policy = dataclasses.replace(LONG[name], length=40_000, batch=1), keras.DTypePolicy(policy)
    dtype = policy.compute_dtype
    data = arrays.ones(case, dtype, scale=1 if dtype == "bfloat16" else 1 / 32)  # 80,000 overflows float16
    want = [reference.conv_transpose1d(data.x, data.weight, data.bias, **case.parameters)]
    want += reference.gradients(data.x, data.weight, data.dy, **case.parameters)
    for lowering in LOWER if mode == "eager" else ["polyphase"]:
        y, gradients = value_and_gradients(case, data, lowering, policy, MODES[mode])
        for got, exact in zip([y, *gradients], want, strict=True):
            assert relative_error(tf.cast(got, tf.float64), exact) <= EPSILON[dtype], lowering


SHORTER_THAN_THE_STRIDE = [
    Case(5, 5, 16, stride=33, groups=5, length=1, batch=1),
    Case(1, 1, 2, stride=5, length=1, batch=2),
    Case(16, 1, 1, stride=2, output_padding=1, length=1, batch=2),
    Case(3, 1, 3, stride=33, padding=2, dilation=2, output_padding=30, length=1, batch=3),
]


@pytest.mark.parametrize("case", SHORTER_THAN_THE_STRIDE)
def test_a_kernel_shorter_than_the_stride_a_hundred_times(case, rng):
    """TensorFlow's gradient by it reads foreign memory in bfloat16, where there is one channel and one position."""
    policy = keras.DTypePolicy("bfloat16")
    data = arrays.integers(case, rng, "bfloat16")
    shapes = [[None, case.in_channels, None], [None, case.out_channels, None]]
    specs = [tf.TensorSpec(shape, tf.bfloat16) for shape in shapes]
    for mode in (MODES["eager"], lambda compute: tf.function(compute, input_signature=specs, autograph=False)):
        again = value_and_gradients(case, data, "conv2d_transpose", policy, lambda c, mode=mode: repeated(mode(c), 100))
        for result in again:
            assert_exact(case, data, result)


def repeated(compute, times):
    """Its results one after the other, with NaN left in the memory between them."""

    def results(*tensors):
        for _ in range(times):
            yield compute(*tensors)
            for size in (8, 16, 32, 64, 128, 512):
                tf.fill([size], tf.constant(np.nan, tf.bfloat16))

    return results


@pytest.mark.parametrize("lowering", LOWER)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("value", [np.nan, np.inf, 60_000])
def test_what_is_not_finite_stays_so(value, dtype, lowering):
    """Whatever a NaN, an infinity or an overflow reaches; it may reach further, through the zeros of a kernel."""
    case = CASES["hifigan_up"]
    x = np.ones((1, case.in_channels, 20), "float32")
    x[0, 2, 10] = value
    inputs = [tf.cast(array, dtype) for array in (x, np.full(case.weight_shape, 4.0), np.ones(case.out_channels))]
    y = lk.conv_transpose1d(*inputs, **case.parameters, lowering=lowering)
    with np.errstate(invalid="ignore", over="ignore"):
        exact = [tf.cast(tensor, tf.float64).numpy() for tensor in inputs]
        want = reference.conv_transpose1d(*exact, **case.parameters).astype(y.dtype.as_numpy_dtype)
    lost = ~np.isfinite(want.astype("float32"))
    assert lost.any() == (dtype == "float16" or not np.isfinite(value))
    got = y.numpy().astype("float32")
    assert not np.isfinite(got[lost]).any()
    assert np.isfinite(got[..., : case.stride]).all()
    assert np.isfinite(got[..., -case.stride :]).all()


@pytest.mark.parametrize("lowering", LOWER)
@pytest.mark.parametrize("policy", ["bfloat16", "float16", "float64", "mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("name", ["empty_batch", "grouped", "bigvgan_up"])
def test_an_empty_batch(name, policy, lowering, rng):
    case, policy = dataclasses.replace(CASES[name], batch=0), keras.DTypePolicy(policy)
    data = arrays.integers(case, rng, policy.compute_dtype)
    assert_exact(case, data, value_and_gradients(case, data, lowering, policy, MODES["eager"]))
