"""What must hold for every geometry, whatever the numbers: adjointness, linearity, shift, groups as blocks."""

import numpy as np
import tensorflow as tf
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lucid_keras import conv_transpose1d
from lucid_keras._lowering.lowerings import LOWER

LOWERINGS = st.sampled_from(list(LOWER))


@st.composite
def problems(draw):
    groups, stride, dilation = draw(st.integers(1, 3)), draw(st.integers(1, 6)), draw(st.integers(1, 5))
    shape = (groups * draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 7)))
    parameters = {
        "stride": stride,
        "padding": draw(st.integers(0, 6)),
        "output_padding": draw(st.integers(0, max(stride, dilation) - 1)),
        "groups": groups,
        "dilation": dilation,
    }
    length = draw(st.integers(1, 8))
    reach = dilation * (shape[2] - 1) + parameters["output_padding"] + 1
    assume((length - 1) * stride - 2 * parameters["padding"] + reach > 0)
    return shape, parameters, length, np.random.default_rng(draw(st.integers(0, 2**32)))


def integers(rng, *shape):
    return rng.integers(-4, 5, shape).astype("float64")


@given(problems(), LOWERINGS)
@settings(max_examples=60)
def test_it_is_the_adjoint_of_the_strided_convolution(problem, lowering):
    """`<conv_transpose1d(x), v> == <x, conv1d(v)>`, with TensorFlow's own convolution, group by group."""
    shape, parameters, length, rng = problem
    x, weight = integers(rng, 2, shape[0], length), integers(rng, *shape)
    y = conv_transpose1d(x, weight, **parameters, lowering=lowering).numpy()
    v = integers(rng, *y.shape)
    groups, padding, extent = parameters["groups"], parameters["padding"], parameters["dilation"] * (shape[2] - 1) + 1
    spread = np.zeros((*shape[:2], extent))
    spread[:, :, :: parameters["dilation"]] = weight
    padded = np.pad(v, ((0, 0), (0, 0), (padding, padding + extent + parameters["stride"])))
    back = []
    for group in range(groups):
        targets = padded[:, group * shape[1] : (group + 1) * shape[1]]
        windows = np.lib.stride_tricks.sliding_window_view(targets, extent, axis=2)[:, :, :: parameters["stride"]]
        kernel = spread[group * shape[0] // groups : (group + 1) * shape[0] // groups]
        back.append(np.einsum("nolk,iok->nil", windows[:, :, :length], kernel))
    assert (y * v).sum() == (x * np.concatenate(back, 1)).sum()


@given(problems(), LOWERINGS)
@settings(max_examples=30)
def test_it_is_linear_in_the_input(problem, lowering):
    shape, parameters, length, rng = problem
    a, b = integers(rng, 1, shape[0], length), integers(rng, 1, shape[0], length)
    weight = integers(rng, *shape)
    apply = lambda x: conv_transpose1d(x, weight, **parameters, lowering=lowering).numpy()  # noqa: E731
    np.testing.assert_array_equal(apply(2 * a - 3 * b), 2 * apply(a) - 3 * apply(b))


@given(problems(), LOWERINGS)
@settings(max_examples=30)
def test_one_input_position_later_is_stride_output_positions_later(problem, lowering):
    shape, parameters, length, rng = problem
    parameters = {**parameters, "padding": 0}
    x, weight = integers(rng, 1, shape[0], length), integers(rng, *shape)
    later = np.pad(x, ((0, 0), (0, 0), (1, 0)))
    apply = lambda x: conv_transpose1d(x, weight, **parameters, lowering=lowering).numpy()  # noqa: E731
    np.testing.assert_array_equal(apply(later)[:, :, parameters["stride"] :], apply(x))


@given(problems(), LOWERINGS)
@settings(max_examples=30)
def test_groups_are_a_block_diagonal_dense_kernel(problem, lowering):
    shape, parameters, length, rng = problem
    groups = parameters["groups"]
    x, weight = integers(rng, 2, shape[0], length), integers(rng, *shape)
    dense = np.zeros((shape[0], groups * shape[1], shape[2]))
    for group in range(groups):
        ins = slice(group * shape[0] // groups, (group + 1) * shape[0] // groups)
        dense[ins, group * shape[1] : (group + 1) * shape[1]] = weight[ins]
    grouped = conv_transpose1d(x, weight, **parameters, lowering=lowering)
    alone = conv_transpose1d(x, dense, **{**parameters, "groups": 1}, lowering=lowering)
    np.testing.assert_array_equal(grouped.numpy(), alone.numpy())
    assert isinstance(grouped, tf.Tensor)
