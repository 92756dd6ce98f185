"""Streaming layers and models under LiteRT and in a SavedModel: the whole signal's output, every operator delegated."""

import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.compiled_model import CompiledModel, HardwareAccelerator
from cases import Case
from decoders import DECODERS, time_axis
from hypothesis import given, settings
from hypothesis import strategies as st
from live import litert_signatures, saved_signatures, streamed
from streams import DATA_FORMATS, Stream, cut, in_layout, integer_layer, integers, streams, whole_output
from tolerances import SNR_FLOOR, relative_tolerance

import lucid_keras as lk
from lucid_keras._lowering.target import lowering_for
from lucid_keras.export.convert import unquantized_traced
from lucid_keras.export.flatbuffer import read
from lucid_keras.export.recipes import RECIPES
from lucid_keras.export.signatures import without_variables
from lucid_keras.export.streaming_signatures import stream_signatures
from lucid_keras.runtimes.litert import LiteRT

ENCODEC = Stream(Case(4, 3, 10, stride=5, batch=1), (1, 1, 1, 1), 5, "channels_last")


def to_file(model, path, **options):
    """The path of the file."""
    return lk.export.streaming_to_tflite(model, path, timing_seconds=0, **options).path


def to_folder(model, path, **options):
    """The path of the SavedModel."""
    return lk.export.streaming_to_saved_model(model, path, timing_seconds=0, **options).path


def distinct(chunks):
    """The lengths of chunks, each once, in order."""
    return tuple(dict.fromkeys(chunks))


def assert_file_equals_whole(batch_of_streams):
    """Many layers' signatures in one file, which converts in a fraction of the time of many files."""
    signatures, prepared = {}, []
    with lowering_for("litert"):
        for number, stream in enumerate(batch_of_streams):
            layer, x = integer_layer(stream)
            streaming = lk.StreamingConvTranspose1d(layer, trim=stream.trim)
            own = stream_signatures(streaming, distinct(stream.chunks), stream.case.batch)
            signatures |= {f"layer{number}_{name}": without_variables(signature) for name, signature in own.items()}
            prepared.append((stream, layer, x, streaming, f"layer{number}_"))
    runners = litert_signatures(unquantized_traced(streaming, signatures, RECIPES["float32"]))
    for stream, layer, x, streaming, prefix in prepared:
        own = {name.removeprefix(prefix): runner for name, runner in runners.items() if name.startswith(prefix)}
        y = streamed(own, cut(x, stream), streaming.latency, time_axis(stream.data_format))
        np.testing.assert_array_equal(y, whole_output(stream, layer, x))


SHORT = {"longest_chunk": 3, "most_chunks": 4, "fewest": 1}  # a file holds no empty tensor


@settings(max_examples=1)
@given(st.lists(streams(**SHORT), min_size=12, max_size=12))
def test_any_stream_is_the_whole_signal_in_litert(batch_of_streams):
    assert_file_equals_whole(batch_of_streams)


@pytest.mark.sweep
@pytest.mark.parametrize("data_format", DATA_FORMATS)
@pytest.mark.parametrize("groups", [1, 2, 3])
def test_two_thousand_streams_in_litert(groups, data_format):
    """14 files of 25 layers for each of the six."""
    some = streams(**SHORT, groups=[groups], data_formats=[data_format])

    @settings(max_examples=14)
    @given(st.lists(some, min_size=25, max_size=25))
    def in_litert(batch_of_streams):
        assert_file_equals_whole(batch_of_streams)

    in_litert()


def step_coverage(model, path, chunk=1):
    """The coverage of a file's first signature, `step`."""
    return LiteRT(to_file(model, path, chunk=chunk)).coverage()


@pytest.mark.parametrize(("name", "chunk"), [(name, 1) for name in DECODERS] + [("encodec", 6)])
def test_every_operator_of_a_step_is_delegated(name, chunk, tmp_path):
    taken = step_coverage(lk.StreamingModel(DECODERS[name]()), tmp_path / "step.tflite", chunk)
    assert {"CONV_2D", "FULLY_CONNECTED"} & set(taken.ops)
    assert taken.delegated == len(taken.ops)
    assert taken.partitions == 1


@pytest.mark.parametrize(
    "case",
    [
        ENCODEC.case,
        Case(4, 4, 16, stride=8, padding=4),
        Case(8, 8, 8, stride=4, groups=4),
        Case(6, 6, 4, stride=2, groups=6),
        Case(4, 3, 5, stride=2, dilation=3),
    ],
)
def test_every_operator_of_a_layers_step_is_delegated(case, tmp_path):
    layer = lk.ConvTranspose1d(**case.layer_arguments, data_format="channels_last")
    taken = step_coverage(lk.StreamingConvTranspose1d(layer), tmp_path / "step.tflite")
    assert taken.delegated == len(taken.ops)
    assert taken.partitions == 1


@pytest.mark.parametrize(("chunk", "contraction"), [(1, "FULLY_CONNECTED"), (2, "CONV_2D")])
def test_one_position_is_one_matrix_product(chunk, contraction, tmp_path):
    """A convolution would pad the position, and read the weight once for each block that the taps reach."""
    streaming = lk.StreamingConvTranspose1d(integer_layer(ENCODEC)[0], trim=5)
    ops = step_coverage(streaming, tmp_path / "step.tflite", chunk).ops
    assert [op for op in ops if op in ("FULLY_CONNECTED", "CONV_2D")] == [contraction]


@pytest.mark.parametrize("name", DECODERS)
def test_a_decoders_file_streams_the_whole_output(name, rng, tmp_path):
    decoder = DECODERS[name]()
    streaming = lk.StreamingModel(decoder)
    axes = time_axis(streaming.data_format), time_axis(streaming.output_data_format)
    x = in_layout(rng.standard_normal((1, 8, 7)).astype("float32"), streaming.data_format)
    whole = decoder(x).numpy()
    path = to_file(streaming, tmp_path / "decoder.tflite", chunk=(1, 3))
    y = streamed(litert_signatures(path.read_bytes()), np.split(x, [1, 4], axes[0]), streaming.latency, *axes)
    assert y.shape == whole.shape
    assert np.abs(y - whole).max() <= relative_tolerance("float32", 1000) * np.abs(whole).max()


@pytest.mark.parametrize("quantization", ["float16", "dynamic_int8", "weight_only_int8", "int8"])
@pytest.mark.parametrize("name", ["encodec", "channels_first"])
def test_a_quantized_stream_is_close_to_the_whole_output(name, quantization, rng, tmp_path):
    decoder = DECODERS[name]()
    streaming = lk.StreamingModel(decoder)
    axis = time_axis(streaming.data_format)
    x, typical = rng.standard_normal((1, 8, 24)).astype("float32"), rng.standard_normal((4, 8, 24)).astype("float32")
    x, typical = in_layout(x, streaming.data_format), in_layout(typical, streaming.data_format)
    whole = decoder(x).numpy()
    content = to_file(
        streaming,
        tmp_path / "decoder.tflite",
        quantization=quantization,
        calibration_data=typical if quantization == "int8" else None,
    ).read_bytes()
    y = streamed(litert_signatures(content), np.split(x, 24, axis), 0, axis)
    snr = lk.export.snr_db(whole, y)
    assert snr >= SNR_FLOOR[quantization]
    taken = LiteRT(content).coverage()
    if (name, quantization) != ("channels_first", "int8"):  # no delegate takes an int8 LayerNormalization's operators
        assert taken.delegated == len(taken.ops)
        assert taken.partitions == 1


def test_a_layer_with_a_flush_streams_in_int8(rng, tmp_path):
    layer = lk.ConvTranspose1d(4, 3, 8, stride=2, padding=1)
    streaming = lk.StreamingConvTranspose1d(layer)
    x, typical = rng.uniform(-1, 1, (1, 4, 20)).astype("float32"), rng.uniform(-1, 1, (6, 4, 20)).astype("float32")
    path = to_file(streaming, tmp_path / "layer.tflite", chunk=2, quantization="int8", calibration_data=typical)
    y = streamed(litert_signatures(path.read_bytes()), np.split(x, 10, axis=2), streaming.latency, 2)
    whole = layer(x).numpy()
    snr = lk.export.snr_db(whole, y)
    assert snr >= SNR_FLOOR["int8"]


def test_two_streams_in_one_batch(tmp_path):
    layer, _ = integer_layer(ENCODEC)
    streaming = lk.StreamingConvTranspose1d(layer, trim=5)
    path = to_file(streaming, tmp_path / "two.tflite", batch=2)
    x = integers(9, 2, 3, 4)
    y = streamed(litert_signatures(path.read_bytes()), np.split(x, 3, axis=1), 0, 1)
    np.testing.assert_array_equal(y, layer(x)[:, :15])


def test_a_saved_model_streams_the_whole_output(rng, tmp_path):
    decoder = DECODERS["lagging"]()
    x = rng.standard_normal((2, 5, 8)).astype("float32")
    streaming = lk.StreamingModel(decoder)
    path = to_folder(streaming, tmp_path / "saved", chunk=(1, 2), batch=2)
    y = streamed(saved_signatures(path), np.split(x, [1, 3], axis=1), streaming.latency, 1)
    np.testing.assert_allclose(y, decoder(x), atol=1e-5)


def dotted():
    """Names as `load_state_dict` recommends them, in a recurrence, a convolution and a layer with a latency."""
    x = keras.Input((None, 8), name="mel.frames")
    y = keras.layers.Conv1D(6, 3, padding="causal", name="decoder.0.conv")(x)
    y = keras.layers.LSTM(6, return_sequences=True, name="decoder.1.lstm")(y)
    y = lk.ConvTranspose1d(6, 2, 8, stride=4, padding=2, data_format="channels_last", name="decoder.2")(y)
    return keras.Model(x, y)


@pytest.mark.parametrize("export", ["tflite", "variables", "saved_model"])
def test_dotted_names_stream_the_whole_output(export, rng, tmp_path):
    decoder = dotted()
    streaming, chunks = (
        lk.StreamingModel(decoder),
        np.split(rng.standard_normal((1, 7, 8)).astype("float32"), 7, axis=1),
    )
    whole = decoder(np.concatenate(chunks, axis=1)).numpy()
    if export == "saved_model":
        path = to_folder(streaming, tmp_path / "saved")
        y = streamed(saved_signatures(path), chunks, streaming.latency, 1)
    else:
        states = "variables" if export == "variables" else "explicit"
        content = to_file(streaming, tmp_path / "live.tflite", states=states).read_bytes()
        if export == "variables":
            y = remembered(content, chunks, (1, 1))[:, streaming.latency :]
        else:
            y = streamed(litert_signatures(content), chunks, streaming.latency, 1)
    assert y.shape == whole.shape
    assert np.abs(y - whole).max() <= relative_tolerance("float32", 1000) * np.abs(whole).max()


def test_a_saved_model_is_whole_or_not_there(tmp_path, monkeypatch):
    streaming = lk.StreamingConvTranspose1d(integer_layer(ENCODEC)[0])
    there = tmp_path / "there"
    there.mkdir()
    with pytest.raises(ValueError, match="path must not be an existing path"):
        to_folder(streaming, there)

    def fail(module, folder, **_):
        (pathlib.Path(folder) / "half").write_text("")
        raise RuntimeError("disk full")

    monkeypatch.setattr(tf.saved_model, "save", fail)
    with pytest.raises(RuntimeError, match="disk full"):
        to_folder(streaming, tmp_path / "saved")
    assert list(tmp_path.iterdir()) == [there]


def test_signatures_that_would_give_nothing_are_left_out():
    causal, open_ended = lk.StreamingConvTranspose1d(integer_layer(ENCODEC)[0], trim=5), DECODERS["tail"]()
    assert sorted(stream_signatures(causal, (1,), 1)) == ["initial_state", "step"]
    assert sorted(stream_signatures(lk.StreamingModel(open_ended), (1,), 1)) == ["flush", "initial_state", "step"]


def test_refuses_an_unknown_quantization(tmp_path):
    streaming = lk.StreamingConvTranspose1d(integer_layer(ENCODEC)[0])
    with pytest.raises(ValueError, match=r"quantization must be one of 'float32', .*'int8'. Received: .*'int4'"):
        to_file(streaming, tmp_path / "x.tflite", quantization="int4")


def test_int8_needs_calibration_data(tmp_path):
    streaming = lk.StreamingConvTranspose1d(integer_layer(ENCODEC)[0])
    with pytest.raises(ValueError, match=r"needs calibration_data, samples of what .* Received: calibration_data=None"):
        to_file(streaming, tmp_path / "x.tflite", quantization="int8")


def remembered(content, chunks, axes):
    """A stream's output from a file that keeps its states, the flush included."""
    signatures = litert_signatures(content)
    pieces = [signatures.get(f"step_{chunk.shape[axes[0]]}", signatures["step"])(x=chunk)["y"] for chunk in chunks]
    if "flush" in signatures:
        pieces.append(signatures["flush"]()["y"])
    return np.concatenate(pieces, axes[1])


@pytest.mark.parametrize("name", ["tail", "channels_first", "first_to_last"])
def test_a_file_that_keeps_its_states_streams_the_whole_output(name, rng, tmp_path):
    decoder = DECODERS[name]()
    streaming = lk.StreamingModel(decoder)
    axes = time_axis(streaming.data_format), time_axis(streaming.output_data_format)
    x = in_layout(rng.standard_normal((1, 8, 7)).astype("float32"), streaming.data_format)
    whole = decoder(x).numpy()
    path = to_file(streaming, tmp_path / "decoder.tflite", chunk=(1, 3), states="variables")
    y = remembered(path.read_bytes(), np.split(x, [1, 4], axes[0]), axes)
    y = np.take(y, range(streaming.latency, y.shape[axes[1]]), axes[1])
    assert y.shape == whole.shape
    assert np.abs(y - whole).max() <= relative_tolerance("float32", 1000) * np.abs(whole).max()


def test_a_file_that_keeps_its_states_is_delegated(tmp_path):
    """In one partition: the states' reads and writes too. The variables' zeros alone come from outside, once."""
    explicit = step_coverage(lk.StreamingModel(DECODERS["encodec"]()), tmp_path / "explicit.tflite")
    path = to_file(lk.StreamingModel(DECODERS["encodec"]()), tmp_path / "step.tflite", states="variables")
    taken = LiteRT(path).coverage()
    assert taken.partitions == 1
    assert taken.ops.count("READ_VARIABLE") == taken.ops.count("ASSIGN_VARIABLE") == 9
    assert [name for name, _ in taken.outside] == ["CALL_ONCE"]
    assert taken.delegated >= explicit.delegated


def test_a_file_that_keeps_its_states_resets_rows(tmp_path):
    layer, _ = integer_layer(ENCODEC)
    streaming = lk.StreamingConvTranspose1d(layer, trim=5)
    path = to_file(streaming, tmp_path / "two.tflite", batch=2, states="variables")
    signatures = litert_signatures(path.read_bytes())
    assert sorted(signatures) == ["reset", "step"]
    x = integers(9, 2, 4, 4)
    chunks = np.split(x, 4, axis=1)
    for chunk in chunks[:2]:
        signatures["step"](x=chunk)
    assert signatures["reset"](rows=np.array([0, 1], "int32"))["streams"] == 1
    y = np.concatenate([signatures["step"](x=chunk)["y"] for chunk in chunks[2:]], axis=1)
    np.testing.assert_array_equal(y[0], layer(x)[0, 10:20])
    np.testing.assert_array_equal(y[1], layer(x[:, 2:])[1, :10])


def test_rows_are_integers_in_a_file(tmp_path):
    """Boolean ones make all of it unloadable in LiteRT.js."""
    streaming = lk.StreamingConvTranspose1d(integer_layer(ENCODEC)[0])
    described = read(to_file(streaming, tmp_path / "live.tflite", states="variables")).signatures
    assert str(described["reset"].inputs["rows"]) == "int32[1]"
    dtypes = [spec.dtype for one in described.values() for spec in (*one.inputs.values(), *one.outputs.values())]
    assert "bool" not in dtypes


@pytest.mark.parametrize("quantization", ["float32", "dynamic_int8", "int8"])
def test_every_state_begins_under_its_name_in_a_compiled_model(quantization, rng, tmp_path):
    """Which knows one name alone of a tensor, as LiteRT.js does; equal zeros must therefore not be one."""
    streaming = lk.StreamingModel(DECODERS["encodec"]())
    data = rng.uniform(-1, 1, (8, 16, 8)).astype("float32") if quantization == "int8" else None
    path = to_file(streaming, tmp_path / "live.tflite", quantization=quantization, calibration_data=data)
    compiled = CompiledModel.from_file(str(path), hardware_accel=HardwareAccelerator.CPU)
    shapes = {name: shape for name, (_, *shape) in streaming.state_shapes.items()}
    buffers = {name: compiled.create_output_buffer_by_name("initial_state", name) for name in shapes}
    for name, buffer in buffers.items():
        buffer.write(np.ones(shapes[name], "float32"))
    compiled.run_by_name("initial_state", {}, buffers)
    for name, buffer in buffers.items():
        assert not buffer.read(int(np.prod(shapes[name])), np.float32).any(), name


def test_a_file_that_keeps_its_states_has_int8_weights(rng, tmp_path):
    decoder = DECODERS["encodec"]()
    x = rng.standard_normal((1, 24, 8)).astype("float32")
    path = to_file(
        lk.StreamingModel(decoder), tmp_path / "small.tflite", quantization="dynamic_int8", states="variables"
    )
    y = remembered(path.read_bytes(), np.split(x, 24, axis=1), (1, 1))
    whole = decoder(x).numpy()
    assert lk.export.snr_db(whole, y) >= SNR_FLOOR["dynamic_int8"]


@pytest.mark.parametrize("states", ["explicit", "variables"])
def test_an_activation_with_a_gradient_of_its_own(states, tmp_path):
    layers = [keras.Input((4, None)), lk.ConvTranspose1d(4, 4, 4, 2, name="up"), keras.layers.Activation("silu")]
    to_file(lk.StreamingModel(keras.Sequential(layers)), tmp_path / "silu.tflite", states=states)


def test_refuses_calibrated_variables(tmp_path):
    streaming = lk.StreamingConvTranspose1d(integer_layer(ENCODEC)[0])
    with pytest.raises(ValueError, match=r"cannot calibrate variables. Received: .*states='variables'"):
        to_file(
            streaming,
            tmp_path / "x.tflite",
            quantization="int8",
            states="variables",
            calibration_data=np.zeros((1, 4, 4), "float32"),
        )


def test_refuses_states_of_another_kind(tmp_path):
    streaming = lk.StreamingConvTranspose1d(integer_layer(ENCODEC)[0])
    with pytest.raises(ValueError, match=r"states must be one of 'explicit', 'variables'. Received: states='hidden'"):
        to_file(streaming, tmp_path / "x.tflite", states="hidden")


def test_names_the_layer_of_an_operator_that_is_not_builtin(tmp_path):
    class Spectral(keras.layers.Layer):
        def call(self, x):
            return tf.math.bessel_i0e(x)

    decoder = keras.Sequential([keras.Input((None, 4)), Spectral(name="spectral")])
    streaming = lk.StreamingModel(decoder, pointwise=[Spectral])
    with pytest.raises(ValueError, match=r"must be builtin in LiteRT.*Received: .* in the layer 'spectral'"):
        to_file(streaming, tmp_path / "x.tflite")


@pytest.mark.parametrize("chunk", [0, (), (1, 0)])
def test_refuses_empty_chunks(chunk, tmp_path):
    streaming = lk.StreamingConvTranspose1d(integer_layer(ENCODEC)[0])
    with pytest.raises(
        ValueError, match=r"chunk must be (at least 1 position|an int, or several that differ). Received: chunk="
    ):
        to_file(streaming, tmp_path / "x.tflite", chunk=chunk)
