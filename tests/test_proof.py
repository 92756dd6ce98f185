"""What the proof must not be fooled by, whole models: each of these was once written without a word."""

import ast
import pathlib
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

import lucid_keras as lk
from lucid_keras.export import tflite as tflite_module
from lucid_keras.export import to_saved_model, to_stablehlo, to_tflite
from lucid_keras.export.float64 import in_float64
from lucid_keras.export.layer_accuracy import layer_accuracies, observed_layers
from lucid_keras.runtimes import LiteRT, SavedModel

PACKAGE = pathlib.Path(lk.__file__).parent
EXPORTERS = {
    *(
        "to_tflite",
        "smallest_tflite",
        "to_saved_model",
        "to_stablehlo",
        "streaming_to_tflite",
        "streaming_to_saved_model",
    )
}
WHOLE = [to_tflite, to_saved_model, to_stablehlo]


def upsampling(length=8, channels=4, **arguments):
    layer = lk.ConvTranspose1d(channels, 2, 4, stride=2, padding=1, name="up", **arguments)
    return keras.Sequential([keras.Input((channels, length), name="mel"), layer])


def exported(to, model, folder, **options):
    return to(model, folder / ("a.tflite" if to is to_tflite else "a"), timing_seconds=0, **options)


def callers_of(name):
    """The functions of the package that call a function of this name."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef):
                calls = (node.func for node in ast.walk(function) if isinstance(node, ast.Call))
                if any(isinstance(called, ast.Name) and called.id == name for called in calls):
                    found.add(function.name)
    return found


def test_every_export_goes_through_the_one_proof():
    assert callers_of("prove") == {"proven", "tried", "verified_everywhere"}
    proving = {"prove_and_write", "proven_saved_model", "to_stablehlo"}
    assert callers_of("proven") == proving
    assert callers_of("Attempt") | callers_of("proven_saved_model") | {"to_stablehlo"} == EXPORTERS
    assert set(lk.export.__all__) >= EXPORTERS
    written = callers_of("write_atomically") | callers_of("folder_atomically")
    assert written <= proving | {"save_json", "save_html"}


# ---- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("to", WHOLE)
@pytest.mark.parametrize("names", [("left-x", "left_x"), ("a.b", "a b"), ("1", "input_1")])
def test_two_inputs_whose_names_become_one_are_refused(to, names, tmp_path):
    inputs = [keras.Input((8,), name=name) for name in names]
    model = keras.Model(inputs, keras.layers.Subtract()(inputs))
    with pytest.raises(ValueError, match=rf"must differ.* Received: '{names[0]}' and '{names[1]}', both "):
        exported(to, model, tmp_path)
    assert not list(tmp_path.iterdir())


# ---- numbers that say nothing ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("to", WHOLE)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused_by_name(to, value, tmp_path):
    model = upsampling()
    weight = model.get_layer("up").weight
    weight.assign(np.where(np.arange(4 * 2 * 4).reshape(4, 2, 4) == 3, value, weight.numpy()))
    with pytest.raises(ValueError, match=r"weights must be finite. Received: NaN or infinity in '.*up/weight'"):
        exported(to, model, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("to", WHOLE)
def test_outputs_that_are_not_finite_are_refused(to, tmp_path):
    x = keras.Input((8,), name="x")
    model = keras.Model(x, keras.layers.Lambda(lambda x: keras.ops.log(x), name="log", output_shape=(8,))(x))
    with pytest.raises(ValueError, match=r"must be finite where it is verified. .*'log'"):
        exported(to, model, tmp_path)


@pytest.mark.parametrize("to", WHOLE)
def test_a_model_that_is_silent_on_everything_is_refused(to, tmp_path):
    model = upsampling(bias=False)
    model.get_layer("up").weight.assign(np.zeros((4, 2, 4)))
    with pytest.raises(ValueError, match=r"must not be silent on everything .* the output 'up' .*0 throughout"):
        exported(to, model, tmp_path)


DATA = np.random.default_rng(5).standard_normal((20, 4, 8)).astype("float32")
USELESS = {
    "nan": (np.where(np.arange(8) == 3, np.nan, DATA), "must be finite. Received: NaN or infinity"),
    "infinity": (np.where(np.arange(8) == 3, np.inf, DATA), "must be finite. Received: NaN or infinity"),
    "silent": (0 * DATA, "must vary: .*'mel' is 0 throughout"),
    "constant": (np.full_like(DATA, 0.5), "must vary: .*'mel' is 0.5 throughout"),
    "empty": (DATA[:0], "at least one sample"),
    "too short": (DATA[:, :, :5], "must be of shape"),
}


@pytest.mark.parametrize("kind", USELESS)
@pytest.mark.parametrize("argument", ["calibration_data", "verification_data"])
def test_data_that_say_nothing_are_refused(argument, kind, tmp_path):
    data, message = USELESS[kind]
    options = {"calibration_data": DATA} | {argument: data}
    with pytest.raises(ValueError, match=message):
        exported(to_tflite, upsampling(), tmp_path, quantization="int8", **options)
    assert not list(tmp_path.iterdir())


def test_samples_held_out_of_silence_are_refused(tmp_path):
    """Each fifth is verified on; here the model answers the others alone."""
    data = np.where(np.arange(20)[:, np.newaxis, np.newaxis] % 5 == 4, 0, DATA)
    with pytest.raises(ValueError, match=r"must not be silent on everything .* Give verification_data"):
        exported(to_tflite, upsampling(bias=False), tmp_path, quantization="int8", calibration_data=data)


def test_one_constant_input_among_others_is_told(tmp_path):
    x, speed = keras.Input((4, 8), name="x"), keras.Input((1,), name="speed")
    scaled = keras.layers.Multiply()([x, keras.layers.Reshape((1, 1))(speed)])
    model = keras.Model([x, speed], lk.ConvTranspose1d(4, 2, 4, name="up")(scaled))
    data = {"x": DATA, "speed": np.ones((20, 1), "float32")}
    report = exported(to_tflite, model, tmp_path, quantization="int8", calibration_data=data, floor_db=15)
    assert "calibration: the input 'speed' is 1 in all samples" in report.warnings


def test_integer_inputs_are_drawn_from_the_whole_vocabulary_and_called_so(tmp_path, monkeypatch):
    codes = keras.Input((64,), dtype="int32", name="codes")
    inner = keras.Sequential([keras.Input((64,), dtype="int32"), keras.layers.Embedding(1000, 6)])
    up = lk.ConvTranspose1d(6, 2, 4, stride=2, data_format="channels_last")
    seen = []
    run = LiteRT.run
    monkeypatch.setattr(LiteRT, "run", lambda self, name, x: seen.append(x["codes"]) or run(self, name, x))
    report = exported(to_tflite, keras.Model(codes, up(inner(codes))), tmp_path)
    assert report.verified_on == "synthetic samples (codes: integers below 1,000)"
    assert 900 < np.max(seen) < 1000
    assert np.min(seen) < 100


# ---- floors ----------------------------------------------------------------------------------------------------------


def two_channels(loud=1e4, quiet=1e-2):
    model = upsampling(bias=False)
    weight = model.get_layer("up").weight
    weight.assign(weight.numpy() * np.array([loud, quiet])[:, np.newaxis])
    return model


def test_a_quiet_channel_that_is_dead_behind_a_loud_one_is_told(tmp_path):
    """Per tensor, int8 gives the quiet channel no step of its own: 38 dB in all, 0 of it there."""
    report = exported(to_tflite, two_channels(), tmp_path, quantization="int8", calibration_data=DATA)
    (one,) = report.outputs
    assert one.snr_db > 20
    assert (one.channel, one.channel_db) == (1, pytest.approx(0, abs=1))
    assert any(warning.startswith("channel 1 of the output 'up'") for warning in report.warnings)
    assert "channel 1" in str(report)
    balanced = exported(to_tflite, two_channels(1, 1), tmp_path, quantization="int8", calibration_data=DATA)
    assert balanced.outputs[0].channel_db > 20
    assert not any("channel" in warning for warning in balanced.warnings)


@keras.saving.register_keras_serializable(package="tests")
class Cancelling(keras.layers.Layer):
    """Adds what it takes away again: in float32 the sum's rounding is a large part of what is left."""

    def __init__(self, far=3e4, fixed=False, **kwargs):
        super().__init__(**kwargs)
        self.far, self.fixed = far, fixed

    def call(self, x):
        if self.fixed:
            x = tf.cast(x, tf.float32)
        return tf.cos(tf.sin(x) * self.far)

    def get_config(self):
        return {**super().get_config(), "far": self.far, "fixed": self.fixed}


def badly_conditioned(**arguments):
    return keras.Sequential([keras.Input((64,), name="x"), keras.layers.Dense(64), Cancelling(name="far", **arguments)])


def test_a_floor_that_float32_cannot_reach_yields_and_the_report_says_so(tmp_path):
    report = exported(to_tflite, badly_conditioned(), tmp_path)
    assert 30 < report.snr_db < 110
    (told,) = (warning for warning in report.warnings if "own precision" in warning)
    assert told.startswith("the floor of 110 dB is beyond the model's own precision: against float64 the output 'far'")
    assert told in str(report).replace("\n", "")


def test_a_floor_that_the_user_asks_for_does_not_yield(tmp_path):
    with pytest.raises(ValueError, match=r"must reach 110 dB against the Keras model; nothing was written."):
        exported(to_tflite, badly_conditioned(), tmp_path, floor_db=110)


def test_a_file_worse_than_rounding_is_refused_though_keras_misses_the_floor_too(tmp_path, monkeypatch):
    """Noise 6 dB above Keras's own rounding: the file is more than 3 dB further from float64 than Keras."""
    model, run = badly_conditioned(), LiteRT.run
    twin = in_float64(model)

    def noisy(self, signature, sample):
        rounding = model(sample["x"]).numpy() - twin(sample["x"]).numpy()
        return {name: array + 2 * rounding for name, array in run(self, signature, sample).items()}

    monkeypatch.setattr(LiteRT, "run", noisy)
    with pytest.raises(ValueError, match=r"against float64 Keras has \d\d\.\d dB, this has \d\d\.\d"):
        exported(to_tflite, model, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("times", "proven"), [(1, True), (3, False)])
def test_a_file_at_its_floor_against_float64_is_proven_though_it_differs_from_keras(
    times, proven, tmp_path, monkeypatch
):
    """Its error is Keras's own, the other way: each is at 112 dB, and they differ by twice as much, 106."""
    model, run = badly_conditioned(far=20.0), LiteRT.run
    twin = in_float64(model)

    def opposite(self, signature, sample):
        ideal = twin(sample["x"]).numpy()
        rounding = model(sample["x"]).numpy() - ideal
        return dict.fromkeys(run(self, signature, sample), ideal - times * rounding)

    monkeypatch.setattr(LiteRT, "run", opposite)
    if proven:
        report = exported(to_tflite, model, tmp_path)
        assert 104 < report.snr_db < 110
        assert any("two roundings differ by more than the floor of 110 dB" in warning for warning in report.warnings)
    else:
        with pytest.raises(ValueError, match=r"against float64 Keras has 11\d\.\d dB, this has 10\d\.\d"):
            exported(to_tflite, model, tmp_path)


def test_without_a_float64_self_the_floor_stays_and_the_reason_is_told(tmp_path):
    model = badly_conditioned()
    model.layers[-1].get_config = lambda: (_ for _ in ()).throw(NotImplementedError("no configuration"))
    with pytest.raises(ValueError, match=r"110 dB .*no float64 self that could excuse it \(.*no configuration"):
        exported(to_tflite, model, tmp_path)


def test_a_float64_self_has_the_weights_and_computes_in_float64():
    x = keras.Input((None,), dtype="int32", name="codes")
    y = keras.layers.Embedding(9, 4)(x)
    y = keras.layers.Bidirectional(keras.layers.LSTM(3, return_sequences=True))(y) + 0.1
    block = keras.Sequential([keras.Input((None, 6)), keras.layers.Dense(4, activation="gelu")])
    model = keras.Model(x, lk.ISTFT(6, 2, data_format="channels_last", window="rectangular")(_spectrum(block(y))))
    twin = in_float64(model)
    codes = np.arange(9)[np.newaxis]
    exact, rounded = twin(codes).numpy(), model(codes).numpy()
    assert exact.dtype == np.float64
    assert 1e-9 < np.abs(exact - rounded).max() / np.abs(exact).max() < 1e-5
    for ours, theirs in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def _spectrum(y):
    return keras.layers.Concatenate()([y, y])


def test_a_layer_that_stays_in_float32_is_no_float64_self():
    class Fixed(keras.layers.Dense):
        def __init__(self, *arguments, **named):
            super().__init__(*arguments, **{**named, "dtype": "float32"})

    with pytest.raises(ValueError, match="the layer 'fixed' computes in float32 whatever it is told"):
        in_float64(keras.Sequential([keras.Input((4,)), Fixed(3, name="fixed")]))


@pytest.mark.parametrize("to", WHOLE)
def test_a_floor_is_a_number(to, tmp_path):
    with pytest.raises(ValueError, match=r"floor_db must be a number. Received: floor_db=nan"):
        exported(to, upsampling(), tmp_path, floor_db=float("nan"))
    with pytest.raises(TypeError, match=r"floor_db must be a number. Received: floor_db='60'"):
        exported(to, upsampling(), tmp_path, floor_db="60")


@pytest.mark.parametrize(("batch", "error"), [(0, ValueError), (-1, ValueError), (1.0, TypeError), (True, TypeError)])
def test_a_batch_is_at_least_one_sample(batch, error, tmp_path):
    with pytest.raises(error, match=rf"batch must be .* Received: batch={batch}"):
        to_stablehlo(upsampling(), tmp_path / "a", batch=batch)


# ---- before the work -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "quantization"), [("ai_edge_litert", "float32"), ("litert_quantizer", "dynamic_int8")]
)
def test_a_missing_extra_is_told_before_the_work(module, quantization, tmp_path, monkeypatch):
    for name in [name for name in __import__("sys").modules if name.split(".")[0] == module]:
        monkeypatch.setitem(__import__("sys").modules, name, None)
    monkeypatch.setitem(__import__("sys").modules, module, None)
    monkeypatch.setattr(tflite_module, "unquantized", lambda *_, **__: pytest.fail("converted"))
    with pytest.raises(ImportError, match=r"needs .*: pip install 'lucid_keras\[export\]'"):
        exported(to_tflite, upsampling(), tmp_path, quantization=quantization)


# ---- what a person must know -----------------------------------------------------------------------------------------


def test_operators_outside_the_delegate_are_told_with_their_layers(tmp_path):
    x = keras.Input((4, 16), name="x")
    padded = keras.layers.Lambda(lambda x: tf.pad(x, [[0, 0], [0, 0], [3, 3]], "REFLECT"), name="mirror")(x)
    model = keras.Model(x, lk.ConvTranspose1d(4, 2, 4, stride=2, name="up")(padded))
    report = exported(to_tflite, model, tmp_path)
    assert report.delegated < report.total
    (told,) = report.warnings
    assert f"{report.total - report.delegated} of {report.total} operators run outside XNNPACK" in told
    assert f"in {report.partitions} partition" in told
    assert "MIRROR_PAD in the layer 'mirror'" in told
    assert not exported(to_tflite, upsampling(), tmp_path).warnings


def test_places_outside_the_delegate_are_told_of_but_not_hundreds(tmp_path):
    x = y = keras.Input((4, 16), name="x")
    for number in range(12):
        mirrored = lambda x: tf.pad(x, [[0, 0], [0, 0], [1, 1]], "REFLECT")  # noqa: E731
        y = keras.layers.Lambda(mirrored, name=f"mirror_{number}")(y)
    (told,) = exported(to_tflite, keras.Model(x, y), tmp_path).warnings
    assert "12 of 12 operators run outside" in told
    assert told.count("MIRROR_PAD") == 9
    assert told.endswith("'mirror_8', and at 3 more places")


def test_copies_of_weights_are_told_of(tmp_path):
    """A recurrence that is written out reads its weights at each position, and XNNPACK keeps them for each."""
    recurrence = keras.layers.LSTM(512, return_sequences=True, unroll=True, name="recurrence")
    for length, copies in ((8, 0), (20, 18)):  # the first position has no state to multiply
        model = keras.Sequential([keras.Input((length, 32)), recurrence])
        told = [one for one in exported(to_tflite, model, tmp_path).warnings if one.startswith("weights: ")]
        assert [f"those of the layer 'recurrence' {copies};" in one for one in told] == [True] * bool(copies)


def test_an_open_length_and_signatures_beside_the_first_are_told(tmp_path):
    (told,) = exported(to_tflite, upsampling(None), tmp_path, length="dynamic").warnings[-1:]
    assert re.search(r"the length of mel is open: a call at another length .* takes [\d.e-]+ ms more", told)
    (told,) = exported(to_tflite, upsampling(None), tmp_path, length=[8, 16]).warnings
    assert told == "LiteRT's default delegate takes the signature 'length_8' alone, not length_16"


# ---- which layer -----------------------------------------------------------------------------------------------------


def blamed(model, changed):
    """The layer with the least ratio by itself where `changed(name, array)` is what a file makes of its output."""
    observed = observed_layers(model)
    x = np.random.default_rng(0).standard_normal((1, 16)).astype("float32")
    references = [{name: y.numpy() for name, y in observed({"x": x}).items()}]
    results = [changed(observed, x)]
    found = layer_accuracies(observed, [{"x": x}], references, results)
    return {one.name: one.own_snr_db for one in found}


def test_an_error_that_is_amplified_is_not_the_amplifiers():
    """The first layer is off by a thousandth; what follows multiplies it through `x + y` and a steep curve."""
    x = keras.Input((16,), name="x")
    first = keras.layers.Dense(16, name="first")(x)
    steep = keras.layers.Lambda(lambda x: keras.ops.sin(30 * x), name="steep")(first + x)
    model = keras.Model(x, keras.layers.Dense(3, name="last")(steep))
    outer = {name: model.get_layer(name) for name in ("first", "steep", "last")}

    def changed(observed, array):
        first = outer["first"](array).numpy() * 1.001
        steep = outer["steep"](first + array)
        return {"first": first, "steep": steep.numpy(), "last": outer["last"](steep).numpy()}

    own = blamed(model, changed)
    assert own["first"] == pytest.approx(60, abs=0.1)
    assert own["steep"] > 120
    assert own["last"] > 120


def test_a_float64_self_that_cannot_compute_is_none(tmp_path, monkeypatch):
    """TensorFlow's CPU kernels convolve channels first in float32 alone."""
    first = keras.layers.Conv1D(4, 3, data_format="channels_first", name="first")
    model = keras.Sequential([keras.Input((4, 16)), first, lk.ConvTranspose1d(4, 2, 4, name="up")])
    run = SavedModel.run
    louder = lambda self, name, x: {key: 1.001 * y for key, y in run(self, name, x).items()}  # noqa: E731
    monkeypatch.setattr(SavedModel, "run", louder)
    with pytest.raises(ValueError, match=r"Received: 60.0 dB .*no float64 self that could excuse it \(.*NHWC"):
        exported(to_saved_model, model, tmp_path)


def test_layers_of_several_inputs_are_compared_on_their_own(tmp_path):
    """Inputs whose order by name is not the model's."""
    z, a = keras.Input((4, 8), name="z"), keras.Input((4, 8), name="a")
    up = [lk.ConvTranspose1d(4, 2, 4, name=name)(x) for name, x in (("first", z), ("second", a))]
    report = exported(to_tflite, keras.Model([z, a], up[0] - 2 * up[1]), tmp_path, compare_layers=True)
    assert {one.name for one in report.layers} == {"first", "second"}
    assert min(one.snr_db for one in report.layers) > 110
    assert min(one.own_snr_db for one in report.layers) > 110
