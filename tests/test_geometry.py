"""The geometry against the definition, tap by tap, and what it accepts."""

import dataclasses

import numpy as np
import pytest
from cases import CASES, random_case

from lucid_keras._geometry import ConvTranspose1dGeometry
from lucid_keras._lowering.phases import phase_plan


def geometry_of(case):
    arguments = case.layer_arguments
    del arguments["bias"]
    return ConvTranspose1dGeometry(**arguments)


def landings_by_definition(case):
    """`{(l, k, t)}`: which input reaches which output through which tap."""
    return {
        (position, tap, position * case.stride + tap * case.dilation - case.padding)
        for position in range(case.length)
        for tap in range(case.kernel_size)
        if 0 <= position * case.stride + tap * case.dilation - case.padding < case.output_length
    }


def landings_by_plan(case):
    """The same set, as the polyphase plan walks it: for each convolution pad and convolve, then interleave and crop."""
    plan = phase_plan(geometry_of(case))
    found, counts = set(), set()
    for kernels in plan.kernels:
        before, after = kernels.pad
        padded = [None] * max(before, 0) + list(range(case.length)) + [None] * max(after, 0)
        padded = padded[max(-before, 0) : len(padded) - max(-after, 0)]
        blocks = len(padded) - (kernels.taps - 1) * plan.spacing
        counts.add(blocks)
        for block in range(blocks):
            for number, phase in enumerate(kernels.phases, start=kernels.first):
                output = block * case.stride + phase - plan.crop[0]
                if not 0 <= output < blocks * case.stride - sum(plan.crop):
                    continue
                for tap in range(kernels.taps):
                    position = padded[block + (kernels.taps - 1 - tap) * plan.spacing]
                    true_tap = number + tap * plan.phase_count - plan.shift
                    if position is not None and 0 <= true_tap < case.kernel_size:
                        found.add((position, true_tap, output))
    (blocks,) = counts
    assert blocks * case.stride - sum(plan.crop) == case.output_length
    return found


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_plan_reaches_what_the_definition_says(case):
    assert geometry_of(case).output_length(case.length) == case.output_length
    assert landings_by_plan(case) == landings_by_definition(case)


def test_the_plan_over_the_whole_legal_space():
    rng = np.random.default_rng(1)
    for _ in range(1000):
        case = random_case(rng)
        assert landings_by_plan(case) == landings_by_definition(case), case


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_plan_multiplies_no_zeros_beyond_whole_blocks(case):
    geometry = geometry_of(case)
    plan = phase_plan(geometry)
    taps = sum(kernels.taps * len(kernels.phases) for kernels in plan.kernels)
    allowed = 2 * case.stride if geometry.depthwise else max(case.stride, plan.phase_count)
    assert taps - case.kernel_size < allowed
    assert len(plan.kernels) <= plan.spacing


@pytest.mark.parametrize(
    ("parameters", "shift", "crop"),
    [
        (
            {"kernel_size": 25, "stride": 4, "padding": 11, "output_padding": 1},
            1,
            (0, 0),
        ),  # WaveGAN's: free
        ({"kernel_size": 25, "stride": 4, "padding": 11}, 0, (3, 2)),  # a crop would remain
        ({"kernel_size": 16, "stride": 8, "padding": 4}, 0, (4, 4)),  # a third tap for each phase
        ({"kernel_size": 12, "stride": 2, "padding": 5, "groups": 4}, 1, (0, 0)),  # depthwise: the copy costs more
        ({"kernel_size": 12, "stride": 2, "padding": 5, "groups": 2}, 0, (1, 1)),
        ({"kernel_size": 5, "stride": 2, "padding": 2, "output_padding": 1, "dilation": 3}, 0, (0, 0)),
    ],
)
def test_the_output_begins_with_a_block_where_that_is_free(parameters, shift, crop):
    plan = phase_plan(ConvTranspose1dGeometry(4, 4, **parameters))
    assert (plan.shift, plan.crop) == (shift, crop)


@pytest.mark.parametrize("value", [3, (3,), [3], np.int64(3)], ids=["int", "tuple", "list", "numpy"])
def test_integers_and_one_tuples(value):
    geometry = ConvTranspose1dGeometry(2, 2, value, stride=value, padding=value, dilation=value)
    assert geometry == ConvTranspose1dGeometry(2, 2, 3, stride=3, padding=3, dilation=3)
    assert all(type(getattr(geometry, field.name)) is int for field in dataclasses.fields(geometry))


@pytest.mark.parametrize(("output_size", "output_padding"), [(13, 0), (14, 1), (15, 2)])
def test_output_size_is_output_padding_by_another_name(output_size, output_padding):
    geometry = ConvTranspose1dGeometry(1, 1, 5, stride=3, padding=2, output_padding=1)
    assert geometry.for_output_size(5, output_size).output_padding == output_padding
    assert geometry.output_shape((2, 1, 5), "channels_first", output_size) == (2, 1, output_size)
    assert geometry.output_shape((2, 5, 1), "channels_last", (2, output_size, 1)) == (2, output_size, 1)
    assert geometry.output_shape((1, None), "channels_first", [output_size]) == (1, output_size)
