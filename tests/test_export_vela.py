"""Arm's compiler takes the int8 files with every operator on the NPU; its absence is told."""

import shutil

import pytest
from test_export_registry import exportable, model_of

from lucid_keras.export import to_tflite
from lucid_keras.export.vela import ACCELERATORS, compile_for_ethos_u

needs_vela = pytest.mark.skipif(shutil.which("vela") is None, reason="Vela is not on the path")


def test_a_missing_compiler_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="pip install ethos-u-vela"):
        compile_for_ethos_u(tmp_path / "x.tflite", ACCELERATORS[0], vela="no-such-command")


@needs_vela
def test_a_foreign_file_is_refused(tmp_path):
    (tmp_path / "x.tflite").write_text("foreign")
    with pytest.raises(ValueError, match="Vela must compile the file"):
        compile_for_ethos_u(tmp_path / "x.tflite", ACCELERATORS[0])


@needs_vela
@pytest.mark.sweep
@pytest.mark.parametrize("quantization", ["int8", "int16x8"])
def test_every_case_is_on_the_npu(quantization, tmp_path, rng):
    model = model_of(exportable())
    data = {tensor.name: rng.uniform(-1, 1, [40, *tensor.shape[1:]]).astype("float32") for tensor in model.inputs}
    report = to_tflite(
        model, tmp_path / "all.tflite", quantization=quantization, calibration_data=data, integer_io=True,
        floor_db=-1000, timing_seconds=0,
    )  # fmt: skip
    for accelerator in ACCELERATORS:
        assert compile_for_ethos_u(report.path, accelerator).cpu_names == ()
