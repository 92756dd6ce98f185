"""Every case of the registry in every recipe: many are the outputs of one model, exported and compared at once."""

import itertools

import keras
import pytest
from cases import CASES, Case
from tolerances import SNR_FLOOR

import lucid_keras as lk
from lucid_keras.export import to_saved_model, to_tflite
from lucid_keras.export.recipes import RECIPES

CALIBRATED = ("int8", "int16x8")
# What other converters compute wrongly without a word, and each form of the contraction.
SUBSET = (
    "grouped_dilated",
    "dilated_strided",
    "k3s2p1",
    "kokoro_pool",
    "k4s2p1op1",
    "k3d2s3p1",
    "odd_stride_padding",
    "wavegan_up",
    "grouped",
    "common_factor",
)


def model_of(cases):
    """One model with an input and an output for each case, named after it."""
    inputs, outputs = {}, {}
    for name, case in cases.items():
        inputs[name] = keras.Input((case.in_channels, case.length), name=f"in_{name}")
        outputs[name] = lk.ConvTranspose1d(**case.layer_arguments, name=name)(inputs[name])
    return keras.Model(list(inputs.values()), outputs)


def report_of(cases, quantization, path, rng):
    """The report of an export of all cases; uniform numbers, because calibration can know their range."""
    model = model_of(cases)
    data = {tensor.name: rng.uniform(-1, 1, [120, *tensor.shape[1:]]).astype("float32") for tensor in model.inputs}
    if quantization in CALIBRATED:
        options = {"calibration_data": data}
    else:
        options = {"verification_data": {name: array[:4] for name, array in data.items()}}
    return to_tflite(model, path, quantization=quantization, floor_db=-1000, timing_seconds=0, **options)


def check(report, cases, floor_db):
    below = {one.name: one.snr_db for one in report.outputs if one.snr_db < floor_db}
    assert not below
    assert {one.name for one in report.outputs} == set(cases)
    assert "TRANSPOSE_CONV" not in report.ops


def floor_of(quantization):
    return SNR_FLOOR[quantization]


def exportable():
    return {name: case for name, case in CASES.items() if name != "empty_output"}


def test_single_layers_are_held_to_more_than_trained_voices_reach():
    assert SNR_FLOOR.keys() == RECIPES.keys()
    assert all(RECIPES[name].floor_db <= floor for name, floor in SNR_FLOOR.items())


def test_every_case_in_float32(tmp_path, rng):
    cases = exportable()
    check(report_of(cases, "float32", tmp_path / "all.tflite", rng), cases, floor_of("float32"))


@pytest.mark.parametrize("quantization", [name for name in RECIPES if name != "float32"])
def test_the_hard_cases_in_every_other_recipe(quantization, tmp_path, rng):
    cases = {name: CASES[name] for name in SUBSET}
    report = report_of(cases, quantization, tmp_path / "hard.tflite", rng)
    check(report, cases, floor_of(quantization))
    if quantization in ("dynamic_int8", "weight_only_int8", *CALIBRATED):
        assert report.snr_db < 90  # it is quantized indeed


def test_the_hard_cases_as_a_saved_model(tmp_path):
    cases = {name: CASES[name] for name in (*SUBSET, "empty_output")}
    report = to_saved_model(model_of(cases), tmp_path / "all", timing_seconds=0)
    assert {one.name for one in report.outputs} == set(cases)
    assert report.snr_db >= 110


def test_an_output_without_elements_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"must have at least one element. Received: .*'empty_output'"):
        to_tflite(model_of({"empty_output": CASES["empty_output"]}), tmp_path / "empty.tflite")
    assert not list(tmp_path.iterdir())


def test_a_crop_that_leaves_the_bias_alone_is_right_in_int16(tmp_path, rng):
    """A range of the zeros that remain of the input would hold no bias."""
    case = CASES["one_tap_dilated"]
    model = model_of({"constant": case})
    data = rng.uniform(-1, 1, [20, case.in_channels, case.length]).astype("float32")
    to_tflite(model, tmp_path / "constant.tflite", quantization="int16x8", calibration_data=data, floor_db=35)


@pytest.mark.sweep
@pytest.mark.parametrize("quantization", RECIPES)
def test_every_case_in_every_recipe(quantization, tmp_path, rng):
    cases = exportable()
    check(report_of(cases, quantization, tmp_path / "all.tflite", rng), cases, floor_of(quantization))


@pytest.mark.sweep
def test_every_case_as_a_saved_model(tmp_path):
    report = to_saved_model(model_of(CASES), tmp_path / "all", timing_seconds=0)
    assert {one.name for one in report.outputs} == set(CASES)
    assert report.snr_db >= 110


def grid():
    """At least 500 configurations: kernel, stride, dilation, padding, groups and output padding against each other."""
    parameters = itertools.product((1, 2, 3, 4, 7), (1, 2, 3, 5), (1, 2, 3), (0, 1, 3), (1, 2, 4))
    for index, (taps, stride, dilation, padding, groups) in enumerate(parameters):
        output_padding = index % max(stride, dilation)
        length = 6 + 2 * padding
        case = Case(4, 8 if groups == 4 else 4, taps, stride, padding, output_padding, groups, dilation, length)
        yield f"k{taps}s{stride}d{dilation}p{padding}g{groups}op{output_padding}", case


@pytest.mark.sweep
@pytest.mark.parametrize("part", range(12))
def test_the_grid_in_float32(part, tmp_path, rng):
    configurations = list(grid())
    assert len(configurations) >= 500
    cases = dict(configurations[part::12])
    check(report_of(cases, "float32", tmp_path / "grid.tflite", rng), cases, floor_of("float32"))
