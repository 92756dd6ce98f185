"""Three products for four: within rounding on any signal, and taken where it was measured to pay."""

import arrays
import numpy as np
import pytest
import reference
import tensorflow as tf
from cases import CASES
from tolerances import relative_tolerance

from lucid_keras import conv_transpose1d
from lucid_keras._geometry import ConvTranspose1dGeometry
from lucid_keras._lowering.choice import choose_lowering, has_two_taps
from lucid_keras._lowering.target import Target

CPU = Target("tensorflow", trained_on_cpu=True, platform="cpu")
HIFIGAN = {"stride": 8, "padding": 4}


def geometry(in_channels=512, out_channels=256, kernel_size=16, **parameters):
    return ConvTranspose1dGeometry(in_channels, out_channels, kernel_size, **(HIFIGAN | parameters))


def assert_close(result, exact, terms):
    """Within what a float32 sum of so many products may lose, of the largest."""
    error = np.abs(result.numpy().astype(np.float64) - exact).max() / np.abs(exact).max()
    assert error < relative_tolerance("float32", terms)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("length", [63, 64])
def test_the_error_is_that_of_rounding(length, jit_compile, rng):
    """Of the output and of each gradient, on signals and gradients of the output that differences hold badly."""
    channels, out_channels = 48, 24
    weight = rng.standard_normal((channels, out_channels, 16)).astype("float32")
    bias = rng.standard_normal(out_channels).astype("float32")

    def compute(x, weight, bias, dy):
        with tf.GradientTape() as tape:
            tape.watch([x, weight, bias])
            y = conv_transpose1d(x, weight, bias, **HIFIGAN, lowering="fast_fir")
            loss = tf.reduce_sum(y * dy)
        return y, *tape.gradient(loss, [x, weight, bias])

    run = tf.function(compute, jit_compile=jit_compile, autograph=False)
    signals = arrays.hard_to_subtract(rng, length, channels)
    backwards = arrays.hard_to_subtract(rng, length, out_channels * HIFIGAN["stride"])
    for x, blocks in zip(signals, backwards, strict=True):
        x = np.swapaxes(x, 1, 2).astype("float32")
        dy = np.swapaxes(blocks.reshape(1, -1, out_channels), 1, 2).astype("float32")
        y, dx, dweight, dbias = run(*map(tf.constant, (x, weight, bias, dy)))
        given = {**HIFIGAN, "output_padding": 0, "groups": 1, "dilation": 1}
        wide = [one.astype(np.float64) for one in (x, weight, bias, dy)]
        assert_close(y, reference.conv_transpose1d(*wide[:3], **given), 2 * channels)
        by_input, by_weight, by_bias = reference.gradients(wide[0], wide[1], wide[3], **given)
        assert_close(dx, by_input, 16 * out_channels)
        assert_close(dweight, by_weight, length)
        assert_close(dbias, by_bias, dy.shape[2])


@pytest.mark.parametrize("name", ["hifigan_up", "encodec_up", "demucs_up", "k4s2p1op1", "k3s2p1"])
def test_two_taps_a_phase_have_fewer_products(name):
    """A guard of the tests of this lowering: it computes these cases itself."""
    case = CASES[name]
    assert has_two_taps(ConvTranspose1dGeometry.of_weight(case.weight_shape, **case.parameters))


@pytest.mark.parametrize("name", ["wavegan_up", "bigvgan_up", "dilated", "stride_1"])
def test_other_kernels_have_not(name):
    case = CASES[name]
    assert not has_two_taps(ConvTranspose1dGeometry.of_weight(case.weight_shape, **case.parameters))


@pytest.mark.parametrize("name", ["tensorflow", "xla"])
@pytest.mark.parametrize(("batch", "length"), [(8, 100), (1, 800), (None, 800)])
def test_auto_takes_it_where_signal_and_weight_are_large(name, batch, length):
    assert choose_lowering(geometry(), Target(name, platform="cpu"), batch, length, "float32") == "fast_fir"


@pytest.mark.parametrize(
    ("changed", "signal"),
    [
        ({"in_channels": 128}, (8, 800, "float32")),
        ({"out_channels": 32}, (8, 800, "float32")),
        ({"kernel_size": 24}, (8, 800, "float32")),
        ({"groups": 2}, (8, 800, "float32")),
        ({}, (1, 500, "float32")),
        ({}, (None, 100, "float32")),
        ({}, (8, None, "float32")),
        ({}, (8, 800, "float64")),
        ({}, (8, 800, "bfloat16")),
    ],
    ids=str,
)
def test_auto_keeps_all_products_elsewhere(changed, signal):
    assert choose_lowering(geometry(**changed), CPU, *signal) in ("overlap_add", "polyphase")


@pytest.mark.parametrize("target", [Target("tensorflow", platform="cuda"), Target("xla"), Target("litert")], ids=str)
def test_auto_keeps_all_products_where_nothing_was_measured(target):
    assert choose_lowering(geometry(), target, 8, 800, "float32") == "polyphase"


def test_an_eager_call_does_not_depend_on_those_before_it(rng):
    """A second length relaxes the graph that all calls share; the lowering, and so each rounding, stays."""
    weight = rng.standard_normal((512, 256, 16)).astype("float32")
    first, second = (rng.standard_normal((1, 512, length)).astype("float32") for length in (600, 701))
    before = conv_transpose1d(first, weight, **HIFIGAN)
    conv_transpose1d(second, weight, **HIFIGAN)
    conv_transpose1d(second[..., :650], weight, **HIFIGAN)
    np.testing.assert_array_equal(conv_transpose1d(first, weight, **HIFIGAN), before)
