"""What Keras, TensorFlow and PyTorch users may expect of the layer beside its numbers."""

import copy
import math
import pickle

import arrays
import keras
import numpy as np
import pytest
import reference
import tensorflow as tf
from cases import CASES

import lucid_keras as lk
from lucid_keras import ops

JITTED = ["hifigan_up", "grouped_dilated", "bigvgan_up", "common_factor", "empty_batch"]


def layer_with(case, data, **arguments):
    layer = lk.ConvTranspose1d(**case.layer_arguments, **arguments)
    layer.weight.assign(data.weight)
    if case.bias:
        layer.bias.assign(data.bias)
    return layer


def decoder(**arguments):
    return keras.Sequential(
        [
            keras.Input((6, None)),
            lk.ConvTranspose1d(6, 4, 4, stride=2, padding=1, **arguments),
            keras.layers.ELU(),
            lk.ConvTranspose1d(4, 2, 5, stride=3, groups=2, dilation=2, **arguments),
        ]
    )


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_layer_computes_the_operation(case, rng):
    data = arrays.integers(case, rng)
    layer = layer_with(case, data)
    want = reference.conv_transpose1d(data.x, data.weight, data.bias, **case.parameters)
    y = layer(data.x)
    np.testing.assert_array_equal(y.numpy(), want)
    assert layer.compute_output_shape(data.x.shape) == tuple(y.shape)
    spec = layer.compute_output_spec(keras.KerasTensor(data.x.shape))
    assert (spec.shape, spec.dtype) == (tuple(y.shape), "float32")
    np.testing.assert_array_equal(layer.forward(data.x).numpy(), want)


@pytest.mark.parametrize("name", JITTED)
def test_the_jitted_layer_computes_the_operation(name, rng):
    case = CASES[name]
    data = arrays.integers(case, rng)
    layer = layer_with(case, data, jit_compile=True)
    want = reference.conv_transpose1d(data.x, data.weight, data.bias, **case.parameters)
    np.testing.assert_array_equal(layer(data.x).numpy(), want)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(data.x) * data.dy)
    wanted = reference.gradients(data.x, data.weight, data.dy, **case.parameters)[1:]
    for gradient, expected in zip(tape.gradient(loss, layer.trainable_variables), wanted, strict=False):
        np.testing.assert_array_equal(gradient.numpy(), expected)


def must_compile(layer, shape):
    graph = tf.function(layer, autograph=False).get_concrete_function(tf.TensorSpec(shape)).graph
    return any("_XlaMustCompile" in function.attr for function in graph.as_graph_def().library.function)


def test_the_jitted_call_is_compiled(rng):
    case = CASES["hifigan_up"]
    data = arrays.integers(case, rng)
    jitted, plain = (layer_with(case, data, jit_compile=flag) for flag in (True, False))
    assert must_compile(jitted, data.x.shape)
    assert not must_compile(plain, data.x.shape)


@pytest.mark.parametrize("device", ["GPU", "TPU", "CPU"])
def test_auto_compiles_eager_calls_on_an_accelerator(device, monkeypatch, rng):
    """An accelerator that is only told of: what is compiled for it runs here all the same."""
    devices = [tf.config.LogicalDevice(f"/device:{name}:0", name) for name in dict.fromkeys(["CPU", device])]
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda *_: devices)
    case = CASES["hifigan_up"]
    data = arrays.integers(case, rng)
    layer = layer_with(case, data)
    assert layer.jit_compile == "auto"
    assert not must_compile(layer, data.x.shape), "the graph's own affair"
    asked, function = [], ops._function
    monkeypatch.setattr(ops, "_function", lambda jitted, *how: asked.append(jitted) or function(jitted, *how))
    want = reference.conv_transpose1d(data.x, data.weight, data.bias, **case.parameters)
    np.testing.assert_array_equal(layer(data.x).numpy(), want)
    assert asked == [device != "CPU"]


def test_weights_are_there_right_after_construction():
    layer = lk.ConvTranspose1d(6, 4, 5, groups=2)
    assert layer.built
    assert tuple(layer.weight.shape) == (6, 2, 5)
    assert tuple(layer.bias.shape) == (4,)
    assert [variable.name for variable in layer.weights] == ["weight", "bias"]
    assert lk.ConvTranspose1d(6, 4, 5, bias=False).bias is None


def test_initialisation_is_kaiming_uniform_and_reproducible():
    keras.utils.set_random_seed(3)
    layer = lk.ConvTranspose1d(64, 32, 16, groups=2)
    bound = 1 / math.sqrt(32 // 2 * 16)
    weight, bias = layer.weight.numpy(), layer.bias.numpy()
    assert 0.99 * bound < abs(weight).max() <= bound
    assert abs(bias).max() <= bound
    assert abs(weight.std() / (bound / math.sqrt(3)) - 1) < 0.02
    assert abs(weight.mean()) < 0.02 * bound
    assert not np.array_equal(weight.ravel()[:32], bias)
    keras.utils.set_random_seed(3)
    np.testing.assert_array_equal(lk.ConvTranspose1d(64, 32, 16, groups=2).weight.numpy(), weight)


def test_repr():
    layer = lk.ConvTranspose1d(16, 16, 4, stride=2, padding=1)
    assert repr(layer) == "ConvTranspose1d(16, 16, kernel_size=4, stride=2, padding=1)"
    assert layer.extra_repr() in repr(layer)
    shown = repr(lk.ConvTranspose1d(4, 4, 3, 2, 0, 1, 2, False, 3, data_format="channels_last"))
    assert shown == (
        "ConvTranspose1d(4, 4, kernel_size=3, stride=2, padding=0, output_padding=1, groups=2, bias=False, dilation=3, "
        "data_format='channels_last')"
    )


def test_output_size(rng):
    case = CASES["stride_not_dividing_kernel"]
    data = arrays.integers(case, rng)
    layer = layer_with(case, data)
    parameters = case.parameters
    for extra in range(3):
        parameters["output_padding"] = extra
        want = reference.conv_transpose1d(data.x, data.weight, data.bias, **parameters)
        for size in (want.shape[2], [want.shape[2]], want.shape):
            np.testing.assert_array_equal(layer(data.x, output_size=size).numpy(), want)
        run = tf.function(
            lambda x, size=want.shape[2]: layer(x, output_size=size),
            input_signature=[tf.TensorSpec([None, case.in_channels, None])],
            autograph=False,
        )
        np.testing.assert_array_equal(run(data.x).numpy(), want)
        with pytest.raises(tf.errors.InvalidArgumentError, match="requested an output size of"):
            run(data.x[:, :, :-1])


def test_config_round_trip():
    layer = lk.ConvTranspose1d(
        4,
        6,
        (3,),
        stride=(2,),
        padding=1,
        output_padding=2,
        groups=2,
        bias=True,
        dilation=3,
        device="cpu",
        dtype="float64",
        data_format="channels_last",
        lowering="conv2d_transpose",
        jit_compile=True,
        weight_initializer="ones",
        bias_initializer=keras.initializers.RandomNormal(seed=1),
        weight_regularizer=keras.regularizers.L2(0.1),
        bias_regularizer="l1",
        weight_constraint=keras.constraints.MaxNorm(2),
        bias_constraint="non_neg",
        name="up",
        trainable=False,
    )
    clone = lk.ConvTranspose1d.from_config(layer.get_config())
    assert clone.get_config() == layer.get_config()
    assert repr(clone) == repr(layer)
    assert clone.name == "up"
    assert not clone.trainable
    assert layer.get_config()["kernel_size"] == 3


def test_a_device_that_is_missing_when_loading_is_left_out_aloud():
    config = lk.ConvTranspose1d(2, 2, 3, device="cpu").get_config()
    with pytest.warns(UserWarning, match="default device"):
        layer = lk.ConvTranspose1d.from_config({**config, "device": "gpu:7"})
    assert layer.device is None


@pytest.mark.parametrize("device", ["cpu", "CPU:0", "cpu:0", "/CPU:0", "/device:CPU:0"])
def test_device_places_the_variables(device):
    layer = lk.ConvTranspose1d(2, 2, 3, device=device)
    assert all(variable.value.device.endswith("/device:CPU:0") for variable in layer.weights)


@pytest.mark.parametrize("suffix", ["keras", "weights.h5", "pickle", "deepcopy", "clone"])
def test_a_model_comes_back_the_same(suffix, tmp_path, rng):
    model = decoder()
    x = rng.standard_normal((2, 6, 9)).astype("float32")
    want = model(x).numpy()
    path = tmp_path / f"model.{suffix}"
    if suffix == "keras":
        model.save(path)
        again = keras.saving.load_model(path)
    elif suffix == "pickle":
        again = pickle.loads(pickle.dumps(model))
    elif suffix == "deepcopy":
        again = copy.deepcopy(model)
    elif suffix == "weights.h5":
        model.save_weights(path)
        again = decoder()
        assert not np.array_equal(again(x).numpy(), want)
        again.load_weights(path)
    else:
        again = keras.models.clone_model(model)
        again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again(x).numpy(), want)


def test_a_lone_layer_pickles_and_copies(rng):
    layer = lk.ConvTranspose1d(3, 2, 4, stride=2)
    x = rng.standard_normal((1, 3, 5)).astype("float32")
    for again in (pickle.loads(pickle.dumps(layer)), copy.deepcopy(layer)):
        np.testing.assert_array_equal(again(x).numpy(), layer(x).numpy())


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("functional", [False, True])
def test_training(functional, jit_compile, rng):
    model = decoder()
    if functional:
        inputs = keras.Input((6, 8))
        model = keras.Model(inputs, model(inputs))
    model.compile("adam", "mse", jit_compile=jit_compile)
    x = rng.standard_normal((4, 6, 8)).astype("float32")
    y = np.zeros(model.compute_output_shape((4, 6, 8)), "float32")
    before = model.get_weights()
    losses = model.fit(x, y, epochs=4, batch_size=2, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert not any(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    np.testing.assert_allclose(model.predict(x, verbose=0), model(x).numpy(), rtol=1e-5, atol=1e-6)


def test_regularizers_constraints_and_trainable(rng):
    layer = lk.ConvTranspose1d(2, 2, 3, weight_regularizer="l2", bias_constraint="non_neg", bias_initializer="ones")
    x = rng.standard_normal((1, 2, 4)).astype("float32")
    layer(x)
    np.testing.assert_allclose(layer.losses[0], 0.01 * (layer.weight.numpy() ** 2).sum(), rtol=1e-5)
    model = keras.Sequential([layer])
    model.compile(keras.optimizers.SGD(10.0), "mse")
    model.fit(x, -100 * np.ones((1, 2, 6), "float32"), verbose=0)
    assert layer.bias.numpy().min() >= 0
    layer.trainable = False
    assert layer.trainable_variables == []
    assert len(layer.non_trainable_variables) == 2


def test_summary_shows_shapes_and_counts(capsys):
    decoder().summary(print_fn=print)
    shown = capsys.readouterr().out
    assert "ConvTranspose1d" in shown
    assert "(None, 4, None)" in shown
    assert f"{6 * 4 * 4 + 4}" in shown


def test_mirrored_strategy_on_two_devices(rng):
    devices = tf.config.list_logical_devices("CPU")
    assert len(devices) == 2, "conftest.py splits the CPU in two"
    x = rng.standard_normal((8, 6, 5)).astype("float32")
    keras.utils.set_random_seed(1)
    alone = decoder()
    start = alone.get_weights()
    shape = alone.compute_output_shape(x.shape)
    with tf.distribute.MirroredStrategy([device.name for device in devices]).scope():
        mirrored = decoder(jit_compile=True)
        mirrored.set_weights(start)
    histories = []
    for model in (alone, mirrored):
        with tf.distribute.get_strategy().scope() if model is alone else mirrored.distribute_strategy.scope():
            model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
        histories.append(model.fit(x, np.ones(shape, "float32"), epochs=2, batch_size=8, verbose=0).history["loss"])
    np.testing.assert_allclose(histories[1], histories[0], rtol=1e-5)
    for one, other in zip(alone.get_weights(), mirrored.get_weights(), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-6)
