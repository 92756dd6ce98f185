"""Keras's own ways out of a model, and TensorFlow's converter by hand: right files without an exporter of ours.

Each format is asked for many cases of the registry at once, in both layouts, as inputs and outputs of one model.
"""

import sys

import keras
import numpy as np
import openvino
import pytest
import tensorflow as tf
from cases import CASES
from tolerances import SNR_FLOOR

import lucid_keras as lk
from lucid_keras.export import to_saved_model
from lucid_keras.export.accuracy import snr_db
from lucid_keras.ops import DATA_FORMATS
from lucid_keras.runtimes.litert import LiteRT

# One of each form that a converter could stumble over; the long sweeps take every case.
QUICK = (
    "stride_1",
    "wavegan_up",
    "istft",
    "grouped",
    "kokoro_pool",
    "dilated_strided",
    "grouped_dilated",
    "depthwise_dilated",
    "common_factor",
)
# LiteRT allocates no tensor without elements, and tf2onnx takes the 0 of a shape for "as before".
WITH_ELEMENTS = [name for name in CASES if name != "empty_output"]


def each_length(quick, whole):
    """`cases` and `length`: the quick ones in the tests, the whole registry in the long sweeps."""
    choices = [(cases, length) for cases in (quick, whole) for length in ("fixed", "open")]
    marks = [() if cases is quick else pytest.mark.sweep for cases, _ in choices]
    names = [f"{'quick' if cases is quick else 'every_case'}-{length}" for cases, length in choices]
    values = [pytest.param(*choice, marks=mark) for choice, mark in zip(choices, marks, strict=True)]
    return pytest.mark.parametrize(("cases", "length"), values, ids=names)


def model_of(cases, length):
    """One model with an input and an output for each case in each layout."""
    inputs, outputs = {}, {}
    for data_format in DATA_FORMATS:
        for case_name in cases:
            case = CASES[case_name]
            name, positions = f"{case_name}_{data_format}", case.length if length == "fixed" else None
            shape = (case.in_channels, positions) if data_format == "channels_first" else (positions, case.in_channels)
            inputs[name] = keras.Input(shape, name=f"in_{name}")
            outputs[name] = lk.ConvTranspose1d(**case.layer_arguments, data_format=data_format, name=name)(inputs[name])
    return keras.Model(list(inputs.values()), outputs)


def data_of(model, rng, batch):
    """Samples by the names of the inputs; an open extent is the case's length."""
    data = {}
    for tensor in model.inputs:
        case = CASES[tensor.name.removeprefix("in_").rsplit("_channels", 1)[0]]
        shape = [case.length if extent is None else extent for extent in tensor.shape[1:]]
        data[tensor.name] = rng.uniform(-1, 1, [batch, *shape]).astype("float32")
    return data


def check(model, data, got):
    want = model(list(data.values()))
    assert set(got) == set(want)
    for name, array in got.items():
        assert tuple(array.shape) == tuple(want[name].shape), name
        assert snr_db(np.asarray(want[name]), np.asarray(array)) >= SNR_FLOOR["float32"], name


def check_file(model, data, content, length):
    """The numbers of a `.tflite` file; builtin operators alone, of fixed lengths all of them in one partition."""
    litert = LiteRT(content)
    ((name, _),) = litert.signatures.items()
    check(model, data, litert.run(name, data))
    coverage = litert.coverage()
    assert not [op for op in coverage.ops if op.startswith("Flex") or op == "CUSTOM"]
    if length == "fixed":
        assert (coverage.outside, coverage.partitions) == ((), 1)


@each_length(QUICK, WITH_ELEMENTS)
def test_litert(cases, length, tmp_path, rng):
    model = model_of(cases, length)
    model.export(str(tmp_path / "model.tflite"), format="litert", verbose=False)
    check_file(model, data_of(model, rng, 1), (tmp_path / "model.tflite").read_bytes(), length)


@each_length(QUICK, CASES)
def test_tf_saved_model(cases, length, tmp_path, rng):
    model = model_of(cases, length)
    model.export(tmp_path / "saved", format="tf_saved_model", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "saved")
    for batch in (2, 0):
        data = data_of(model, rng, batch)
        check(model, data, loaded.serve(list(data.values())))


@each_length(QUICK, WITH_ELEMENTS)
def test_onnx(cases, length, tmp_path, rng):
    onnxruntime = pytest.importorskip("onnxruntime")  # no wheel for every platform
    model = model_of(cases, length)
    data = data_of(model, rng, 2)
    model(list(data.values()))  # Keras exports to ONNX what was called alone
    model.export(tmp_path / "model.onnx", format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    names = [output.name for output in session.get_outputs()]
    check(model, data, dict(zip(names, session.run(None, data), strict=True)))


# OpenVINO finds TensorFlow by exec("import tensorflow") and exec("del tensorflow") in a function; since PEP 667 the
# second finds nothing there: no model of any layer is exported on Python 3.13.
@pytest.mark.xfail(sys.version_info >= (3, 13), raises=NameError, strict=True, reason="OpenVINO on Python 3.13")
@each_length(QUICK, CASES)
def test_openvino(cases, length, tmp_path, rng):
    model = model_of(cases, length)
    model.export(str(tmp_path / "model.xml"), format="openvino", verbose=False)
    in_full = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(tmp_path / "model.xml", "CPU", in_full)
    data = data_of(model, rng, 2)
    results = {(output.names & set(model.output_names)).pop(): array for output, array in compiled(data).items()}
    check(model, data, results)


def traced(model):
    """The model as a concrete function of named inputs."""
    specs = {tensor.name: tf.TensorSpec(tensor.shape, name=tensor.name) for tensor in model.inputs}
    function = tf.function(lambda **inputs: model([inputs[name] for name in specs]), autograph=False)
    return function.get_concrete_function(**specs)


def tracked(model):
    """What TensorFlow must be given in place of a Keras 3 model, in which it finds no variable to save (2.21)."""
    module = tf.Module()
    module.kept = [variable.value for variable in model.variables]
    return module


def from_keras_model(model, _):
    return tf.lite.TFLiteConverter.from_keras_model(model)


def from_concrete_functions(model, _):
    return tf.lite.TFLiteConverter.from_concrete_functions([traced(model)], tracked(model))


def from_saved_model(model, folder):
    tf.saved_model.save(tracked(model), folder, signatures=traced(model))
    return tf.lite.TFLiteConverter.from_saved_model(str(folder))


def from_our_saved_model(model, folder):
    to_saved_model(model, folder, timing_seconds=0)
    return tf.lite.TFLiteConverter.from_saved_model(str(folder))


BY_HAND = (from_keras_model, from_concrete_functions, from_saved_model, from_our_saved_model)


@pytest.mark.parametrize("converter_of", BY_HAND)
def test_the_converter_by_hand(converter_of, tmp_path, rng):
    model = model_of(QUICK, "fixed")
    content = converter_of(model, tmp_path / "saved").convert()
    # Our SavedModel can be differentiated without oneDNN, at the price of two operators around a dilated depthwise one.
    check_file(model, data_of(model, rng, 1), content, "open" if converter_of is from_our_saved_model else "fixed")
