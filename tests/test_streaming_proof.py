"""What the proof of a live artefact catches, and what its report says."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from decoders import DECODERS, upsampling

import lucid_keras as lk
from lucid_keras.export import streaming as streaming_module
from lucid_keras.export import streaming_signatures, streaming_to_saved_model, streaming_to_tflite
from lucid_keras.export.verify import verified
from lucid_keras.runtimes import LiteRT

BOTH = [streaming_to_tflite, streaming_to_saved_model]


def live(kernel_size=7, **arguments):
    """A causal convolution and an upsampling with a latency and a flush."""
    return keras.Sequential(
        [
            keras.Input((None, 8)),
            keras.layers.Conv1D(6, 3, padding="causal", name="causal"),
            upsampling(kernel_size, 3, **arguments, name="up"),
        ]
    )


def exported(to, streaming, folder, **options):
    return to(streaming, folder / ("live.tflite" if to is streaming_to_tflite else "live"), timing_seconds=0, **options)


@pytest.mark.parametrize("to", BOTH)
def test_whole_signals_and_streams_begun_anew_are_compared(to, tmp_path):
    streaming = lk.StreamingModel(live(padding=2))
    report = exported(to, streaming, tmp_path, chunk=(2, 3), batch=3)
    stream, anew, going_on = report.outputs
    assert (stream.signature, stream.name, stream.lengths) == ("stream", "y", (5, 20, 65))
    assert (anew.signature, anew.name, going_on.name) == ("reset", "begun anew", "going on")
    assert report.snr_db > 110
    assert "step: float32[3, 2, 8] to float32[3, 6, 6]; step_3: float32[3, 3, 8] to float32[3, 9, 6]" in report.stream
    assert "2 states in and out" in report.stream
    assert f"flush: float32[3, {streaming.flush_length}, 6]" in report.stream
    assert "stream" in str(report)
    assert [one.snr_db for one in verified(report.path, streaming).outputs] == [one.snr_db for one in report.outputs]


def broken(monkeypatch, name, change):
    """`stream_signatures` with one signature that is wrong."""
    right = streaming_signatures.stream_signatures

    def wrong(*arguments):
        made = right(*arguments)
        concrete = made[name]

        def apply(**inputs):
            return change(concrete(**inputs), inputs)

        given, specs = concrete.structured_input_signature
        specs = dict(zip(["x"], given, strict=False)) | specs
        return made | {name: tf.function(apply, autograph=False).get_concrete_function(**specs)}

    monkeypatch.setattr(streaming_module, "stream_signatures", wrong)


@pytest.mark.parametrize("to", BOTH)
@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("flush", lambda outputs, _: {"y": 0.9 * outputs["y"]}),
        ("step_3", lambda outputs, _: outputs | {"up_overlap": 0 * outputs["up_overlap"]}),
        ("step", lambda outputs, given: outputs | {"causal_history": given["causal_history"]}),
        ("initial_state", lambda outputs, _: {key: state + 1 for key, state in outputs.items()}),
    ],
)
def test_a_wrong_signature_is_found(to, name, change, tmp_path, monkeypatch):
    broken(monkeypatch, name, change)
    with pytest.raises(
        ValueError, match=r"must reach 110 dB .*; nothing was written. Received: .* of '(stream|reset)'"
    ):
        exported(to, lk.StreamingModel(live(padding=2)), tmp_path, chunk=(1, 3))
    assert not list(tmp_path.iterdir())


def test_a_reset_that_forgets_a_state_is_found(tmp_path, monkeypatch):
    right = streaming_signatures.reset_rows

    def forgetful(states, rows):
        return right(states, rows) | {name: state for name, state in states.items() if name == "causal_history"}

    monkeypatch.setattr(streaming_signatures, "reset_rows", forgetful)
    with pytest.raises(ValueError, match=r"must reach 110 dB .*the output '(begun anew|y)' of '(reset|stream)'"):
        exported(streaming_to_tflite, lk.StreamingModel(live()), tmp_path, states="variables", batch=2)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("to", BOTH)
def test_weights_that_are_not_finite_are_refused(to, tmp_path):
    decoder = live()
    decoder.get_layer("causal").kernel.assign(np.full((3, 8, 6), np.nan))
    with pytest.raises(ValueError, match=r"weights must be finite. Received: NaN or infinity in '.*causal/kernel'"):
        exported(to, lk.StreamingModel(decoder), tmp_path)


@pytest.mark.parametrize("to", BOTH)
@pytest.mark.parametrize(("batch", "error"), [(0, ValueError), (-2, ValueError), (1.0, TypeError), (True, TypeError)])
def test_a_batch_is_at_least_one_stream(to, batch, error, tmp_path):
    with pytest.raises(error, match=rf"batch must be .* Received: batch={batch}"):
        exported(to, lk.StreamingModel(live()), tmp_path, batch=batch)


DATA = np.random.default_rng(2).standard_normal((10, 24, 8)).astype("float32")
USELESS = {
    "nan": (np.where(np.arange(8) == 3, np.nan, DATA), "must be finite. Received: NaN"),
    "silent": (0 * DATA, "must vary: .*'x' is 0 throughout"),
    "constant": (np.full_like(DATA, 2), "must vary: .*'x' is 2 throughout"),
    "none": (DATA[:0], "at least one sample"),
    "shorter than a chunk": (DATA[:, :7], r"at least 9 positions, so that each chunk .* Received: .* at most 7"),
    "other channels": (DATA[:, :, :7], "must be of shape"),
}


@pytest.mark.parametrize("kind", USELESS)
@pytest.mark.parametrize("argument", ["calibration_data", "verification_data"])
def test_data_that_say_nothing_are_refused(argument, kind, tmp_path):
    data, message = USELESS[kind]
    options = {"calibration_data": DATA} | {argument: data}
    with pytest.raises(ValueError, match=message):
        exported(streaming_to_tflite, lk.StreamingModel(live()), tmp_path, quantization="int8", chunk=(1, 8), **options)
    assert not list(tmp_path.iterdir())


def test_calibration_a_hundred_times_too_quiet_is_found_on_real_signals(tmp_path):
    options = {"quantization": "int8", "calibration_data": 0.01 * DATA, "verification_data": DATA}
    with pytest.raises(ValueError, match=r"must reach 20 dB .* in int8 at the output .*; the layer '(up|causal)'"):
        exported(streaming_to_tflite, lk.StreamingModel(live()), tmp_path, **options)


def test_the_report_of_a_calibrated_stream(tmp_path):
    report = exported(
        streaming_to_tflite,
        lk.StreamingModel(live()),
        tmp_path,
        quantization="int8",
        calibration_data=DATA,
        compare_layers=True,
    )
    assert report.verified_on == "2 samples held out of 10"
    assert [one.name for one in report.layers] == ["causal", "up"]
    assert all(20 < one.snr_db <= one.own_snr_db + 1 for one in report.layers)
    assert report.quantization == "int8"
    assert report.delegated == report.total


def test_layers_of_a_channels_first_decoder_are_compared_in_its_layout(tmp_path):
    """Latencies and turns between: what each layer gave live is what it gives whole."""
    for name in ("channels_first", "first_to_last", "nested", "tail"):
        streaming = lk.StreamingModel(DECODERS[name]())
        report = exported(streaming_to_tflite, streaming, tmp_path, compare_layers=True)
        assert report.layers
        assert min(one.snr_db for one in report.layers) > 110
        assert min(one.own_snr_db for one in report.layers) > 110


def test_layers_where_branches_meet_that_wait_unequally_are_compared(tmp_path):
    x = keras.Input((None, 6))
    y = keras.layers.Conv1D(6, 7, padding="same")(x)
    y = keras.layers.Add(name="sum")([x, y, keras.layers.Conv1D(6, 3, padding="same")(x)])
    streaming = lk.StreamingModel(keras.Model(x, upsampling(4, 2, padding=1)(y + keras.layers.ReLU()(y))))
    report = exported(streaming_to_tflite, streaming, tmp_path, compare_layers=True)
    assert "sum" in [one.name for one in report.layers]
    assert min(one.own_snr_db for one in report.layers) > 110


def test_indices_of_a_vocabulary_stream_as_integers(tmp_path):
    decoder = keras.Sequential(
        [keras.Input((None,), dtype="int32"), keras.layers.Embedding(300, 6), upsampling(4, 2), keras.layers.Dense(1)]
    )
    report = exported(streaming_to_tflite, lk.StreamingModel(decoder), tmp_path)
    assert report.verified_on == "synthetic samples (x: integers below 300)"
    assert LiteRT(report.path).signatures["step"].inputs["x"].dtype == "int32"
    assert report.snr_db > 110


def test_another_decoders_live_file_does_not_verify(tmp_path):
    report = exported(streaming_to_tflite, lk.StreamingModel(live()), tmp_path)
    assert min(one.snr_db for one in verified(report.path, live()).outputs) < 20
    other = keras.Sequential([keras.Input((None, 5)), keras.layers.Conv1D(5, 3, padding="causal")])
    with pytest.raises(ValueError, match=r"must take the decoder's chunks, .* Received: \[1, 1, 8\]"):
        verified(report.path, other)
