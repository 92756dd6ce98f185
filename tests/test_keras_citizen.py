"""What Keras does with layers beside training: wrapping, cloning, drawing, quantizing; and switching from its own."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
from tolerances import SNR_FLOOR, relative_tolerance

import lucid_keras as lk

WEIGHT = np.arange(24, dtype="float32").reshape(4, 2, 3) % 5 - 2
BIAS = np.array([1, -2], "float32")


def reloaded(model, tmp_path):
    model.save(tmp_path / "model.keras")
    return keras.models.load_model(tmp_path / "model.keras")


# ---- from_keras -----------------------------------------------------------------------------------------------------


def keras_layers(kernel_sizes, strides, dilations):
    """Arguments of Keras's layer in every combination that it does not refuse by itself."""
    for taps, stride, dilation, padding in itertools.product(kernel_sizes, strides, dilations, ("valid", "same")):
        if stride == 1 or dilation == 1:
            for output_padding in (None, *range(stride)):
                yield {
                    "kernel_size": taps,
                    "strides": stride,
                    "dilation_rate": dilation,
                    "padding": padding,
                    "output_padding": output_padding,
                }


def compared(arguments, rng):
    """Whether Keras could run its layer, whose numbers are then those of ours, in both layouts."""
    x = rng.integers(-3, 4, (2, 5, 3)).astype("float32")
    kinds = {"channels_last": x.shape, "channels_first": (2, 3, 5)}
    try:
        last, first = (keras.layers.Conv1DTranspose(2, **arguments, data_format=kind) for kind in kinds)
        for layer, shape in zip((last, first), kinds.values(), strict=True):
            layer.build(shape)
        for variable, other in zip(last.weights, first.weights, strict=True):
            variable.assign(rng.integers(-3, 4, variable.shape))
            other.assign(variable)
        want = last(x).numpy()
    except (ValueError, tf.errors.OpError):  # an output_padding that its padding="same" or its version cannot have
        return False
    np.testing.assert_array_equal(lk.from_keras(last)(x), want, str(arguments))
    # Keras's channels first is not run: it adds the bias along the wrong axis where length and filters are one number.
    ours = lk.from_keras(first)(x.transpose(0, 2, 1))
    np.testing.assert_array_equal(ours, want.transpose(0, 2, 1), str(arguments))
    return True


def test_from_keras_computes_what_keras_computes(rng):
    assert sum(compared(arguments, rng) for arguments in keras_layers((1, 2, 3, 4), (1, 2, 3), (1, 2))) > 50


@pytest.mark.sweep
def test_from_keras_over_all_of_keras(rng):
    assert sum(compared(arguments, rng) for arguments in keras_layers(range(1, 13), range(1, 7), range(1, 5))) > 500


def axis_minded(kernel_constraint):
    """A layer of Keras whose kernel's initial values and constraint depend on the axes; its cut is odd."""
    layer = keras.layers.Conv1DTranspose(
        2,
        3,
        strides=2,
        padding="same",
        kernel_initializer=keras.initializers.GlorotUniform(seed=1),
        bias_initializer="ones",
        kernel_regularizer=keras.regularizers.L2(0.1),
        kernel_constraint=kernel_constraint,
        bias_constraint="non_neg",
        name="up",
    )
    layer.build((None, None, 4))
    return layer


@pytest.mark.parametrize("constraint", [None, keras.constraints.MaxNorm(0.5, axis=[0, 1])], ids=["free", "bound"])
def test_from_keras_keeps_what_makes_and_trains_the_weights(constraint, tmp_path, rng):
    theirs = axis_minded(constraint)
    ours = lk.from_keras(theirs)
    assert (ours.name, ours.kernel_size, ours.padding, ours.output_padding) == ("up", 4, 1, 0)
    anew = lk.ConvTranspose1d.from_config(ours.get_config())
    np.testing.assert_array_equal(anew.weight, ours.weight)  # from the seed
    np.testing.assert_array_equal(anew.bias, ours.bias)
    np.testing.assert_allclose(sum(ours.losses), sum(theirs.losses), rtol=relative_tolerance("float32", 24))

    x, y = rng.normal(size=(8, 6, 4)).astype("float32"), rng.normal(size=(8, 12, 2)).astype("float32")
    models = [keras.Sequential([keras.Input((None, 4)), layer]) for layer in (theirs, ours)]
    models[1] = reloaded(models[1], tmp_path)
    for model in models:
        model.compile("adam", "mse")
        model.fit(x, y, batch_size=2, epochs=2, shuffle=False, verbose=0)
    ours = models[1].layers[0]
    np.testing.assert_array_equal(ours.weight[:, :, 0], 0)
    trained = np.transpose(ours.weight[:, :, 1:], (2, 1, 0))
    np.testing.assert_allclose(trained, theirs.kernel, atol=relative_tolerance("float32", 24))
    np.testing.assert_allclose(ours.bias, theirs.bias, atol=relative_tolerance("float32", 24))


def test_from_keras_keeps_the_activation_and_the_rest():
    theirs = keras.layers.Conv1DTranspose(
        2,
        4,
        strides=2,
        kernel_initializer=None,
        use_bias=False,
        activation="softmax",
        activity_regularizer="l2",
        dtype="mixed_float16",
        name="up",
    )
    theirs.trainable = False
    x = np.ones((1, 5, 3), "float32")
    want, ours = theirs(x), lk.from_keras(theirs)
    y = ours(x)
    assert y.dtype == want.dtype
    np.testing.assert_allclose(y, want, atol=relative_tolerance("float16", 12))
    np.testing.assert_allclose(sum(ours.losses), sum(theirs.losses), rtol=relative_tolerance("float16", 20))
    assert (ours.name, ours.layers[0].name) == ("up", "up")
    assert ours.layers[0].dtype_policy == theirs.dtype_policy
    assert ours.layers[0].bias is None
    assert not ours.trainable_variables


def test_from_keras_refuses():
    class Own(keras.layers.Conv1DTranspose):
        pass

    with pytest.raises(ValueError, match=r"must be built.*Received: the unbuilt layer 'up'"):
        lk.from_keras(keras.layers.Conv1DTranspose(2, 3, name="up"))
    for other in (Own(2, 3), keras.layers.Conv1D(2, 3), lk.ConvTranspose1d(3, 2, 3)):
        with pytest.raises(TypeError, match=r"must be a keras.layers.Conv1DTranspose. Received: layer of type"):
            lk.from_keras(other)


# ---- conv_transpose1d in a functional model -------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_the_operation_in_a_functional_model(dtype, tmp_path, rng):
    x, weight = rng.integers(-3, 4, (2, 4, 7)).astype("float32"), tf.cast(WEIGHT, dtype)
    arguments = {"stride": np.int64(2), "padding": (1,), "lowering": "overlap_add"}
    start = keras.Input((4, None), dtype=dtype)
    y = lk.conv_transpose1d(start, weight, **arguments)
    assert isinstance(y, keras.KerasTensor)
    assert (y.shape, y.dtype) == ((None, 2, None), dtype)
    assert lk.conv_transpose1d(keras.Input((4, 7), dtype=dtype), weight, **arguments).shape == (None, 2, 13)
    model = keras.Model(start, y)
    want = lk.conv_transpose1d(tf.cast(x, dtype), weight, **arguments).numpy()
    for one in (model, keras.models.clone_model(model), reloaded(model, tmp_path)):
        np.testing.assert_array_equal(one(tf.cast(x, dtype)).numpy(), want)


def test_every_tensor_of_the_operation_may_be_symbolic(tmp_path, rng):
    x = rng.integers(-3, 4, (2, 4, 7)).astype("float32")
    weight, bias = keras.Input(batch_shape=WEIGHT.shape, name="weight"), keras.Input(batch_shape=(2,), name="bias")
    start = keras.Input((4, 7), name="x")
    want = lk.conv_transpose1d(x, WEIGHT, BIAS)
    all_three = keras.Model([start, weight, bias], lk.conv_transpose1d(start, weight, bias))
    np.testing.assert_array_equal(reloaded(all_three, tmp_path)([x, WEIGHT, BIAS]), want)
    made = keras.Model([weight, bias], lk.conv_transpose1d(x, weight, bias))
    np.testing.assert_array_equal(made([WEIGHT, BIAS]), want)


def test_the_operation_is_exported_with_its_proof(tmp_path):
    start = keras.Input((4, 8), name="x")
    model = keras.Model(start, keras.layers.ELU()(lk.conv_transpose1d(start, WEIGHT, BIAS, stride=2)))
    assert lk.export.to_tflite(model, tmp_path / "up.tflite", timing_seconds=0).snr_db > SNR_FLOOR["float32"]
    with pytest.raises(ValueError, match=r"'conv_transpose1d_operation.*' cannot stream"):
        lk.StreamingModel(model)


@pytest.mark.parametrize("variable", [keras.Variable, tf.Variable])
def test_a_functional_model_takes_no_variable(variable):
    start = keras.Input((4, 8))
    for name, given in (("weight", (variable(WEIGHT), BIAS)), ("bias", (WEIGHT, variable(BIAS)))):
        with pytest.raises(TypeError, match=rf"{name} must be no variable.*ConvTranspose1d. Received: {name} of type"):
            lk.conv_transpose1d(start, *given)


@pytest.mark.parametrize(
    ("shape", "weight", "arguments", "message"),
    [
        ((4, 8), WEIGHT, {"stride": 0}, "Received: stride=0"),
        ((4, 8), WEIGHT.astype("float64"), {}, "a weight of dtype float64"),
        ((4, 8), WEIGHT[0], {}, r"Received: weight of shape \[2, 3\]"),
        ((4, 8), WEIGHT, {"bias": WEIGHT}, "Received: bias of shape"),
        ((3, 8), WEIGHT, {}, "got 3 channels instead"),
        ((4, 1), WEIGHT, {"padding": 3}, "must not be negative. Received: input length=1"),
    ],
)
def test_a_functional_model_refuses_what_a_call_refuses(shape, weight, arguments, message):
    with pytest.raises((ValueError, TypeError), match=message):
        lk.conv_transpose1d(keras.Input(shape), weight, **arguments)


# ---- SpectralNormalization ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("groups", "data_format"), [(1, "channels_first"), (2, "channels_last")])
def test_spectral_normalization_divides_by_torchs_norm(groups, data_format, tmp_path, rng):
    layer = lk.ConvTranspose1d(6, 4, 3, stride=2, groups=groups, data_format=data_format)
    wrapped = keras.layers.SpectralNormalization(layer, power_iterations=3)
    model = keras.Sequential([keras.Input((6, None) if data_format == "channels_first" else (None, 6)), wrapped])
    theirs = torch.nn.ConvTranspose1d(6, 4, 3, stride=2, groups=groups)
    lk.interop.load_state_dict(layer, theirs.state_dict())
    theirs = torch.nn.utils.spectral_norm(theirs, n_power_iterations=3)
    wrapped.vector_u.assign(theirs.weight_u[None].numpy())
    x = rng.normal(size=(2, 6, 7)).astype("float32")
    want = theirs(torch.tensor(x)).detach().numpy()
    y = want if data_format == "channels_first" else want.transpose(0, 2, 1)
    x = x if data_format == "channels_first" else x.transpose(0, 2, 1)
    tolerance = relative_tolerance("float32", 18)
    np.testing.assert_allclose(wrapped(x, training=True), y, atol=tolerance)
    np.testing.assert_allclose(wrapped.vector_u, theirs.weight_u[None].numpy(), atol=tolerance)

    before = layer.weight.numpy()
    model.compile("sgd", "mse")
    model.fit(x, 0.5 * y, verbose=0)
    assert not np.array_equal(layer.weight, before)
    np.testing.assert_array_equal(reloaded(model, tmp_path)(x), model(x))
    report = lk.export.to_tflite(model, tmp_path / "up.tflite", length=7, timing_seconds=0)
    assert report.snr_db > SNR_FLOOR["float32"]


# ---- quantize -------------------------------------------------------------------------------------------------------


def test_quantizing_in_keras_names_each_layer_that_stays(rng):
    model = keras.Sequential(
        [
            keras.Input((5, 4)),
            keras.layers.Dense(4),
            keras.layers.Permute((2, 1)),
            lk.ConvTranspose1d(4, 4, 3, name="first"),
            lk.ConvTranspose1d(4, 18, 3, name="second"),
            lk.ISTFT(16),
        ]
    )
    with pytest.warns(UserWarning, match="of lucid_keras have no quantized form") as warned:
        model.quantize("int8")
    refused = [str(one.message) for one in warned if "lucid_keras.export.to_tflite" in str(one.message)]
    assert [text.rpartition("Received: ")[2] for text in refused] == [
        f"mode='int8' for the layer '{name}'" for name in ("first", "second", "synthesis")
    ]
    assert model.layers[0].quantization_mode == "int8"  # Keras's own goes on
    with pytest.raises(NotImplementedError, match="mode='float8' for the layer 'first'"):
        model.get_layer("first").quantize("float8")


@pytest.mark.parametrize(
    "make", [lambda dtype: lk.ConvTranspose1d(4, 2, 3, dtype=dtype), lambda dtype: lk.ISTFT(16, dtype=dtype)]
)
def test_a_quantized_policy_is_refused(make):
    with pytest.raises(ValueError, match=r"dtype must be no quantized policy.*to_tflite.*Received: dtype="):
        make("int8_from_float32")


# ---- plot_model -----------------------------------------------------------------------------------------------------


def test_the_layers_are_drawn_and_summed_up():
    """What `plot_model` hands to Graphviz, which itself is not needed here."""
    start = keras.Input((None, 4))
    y = lk.ConvTranspose1d(4, 18, 4, stride=2, name="up")(keras.layers.Permute((2, 1))(start))
    y = lk.ISTFT(16, 4)(lk.conv_transpose1d(y, np.ones((18, 18, 1), "float32")))
    model = keras.Model(start, y)
    options = ("show_shapes", "show_dtype", "show_layer_names", "show_layer_activations", "show_trainable")
    drawn = keras.utils.model_to_dot(model, **dict.fromkeys((*options, "expand_nested"), True)).to_string()
    for text in ("ConvTranspose1d", "ConvTranspose1dOperation", "ISTFT", "(None, 18, None)"):
        assert text in drawn
    lines = []
    model.summary(line_length=120, print_fn=lambda text, line_break=False: lines.append(text))
    assert "up (ConvTranspose1d)" in "\n".join(lines)
