"""Loading PyTorch's weights: every layer computes what PyTorch's does, and goes back; what does not fit is refused."""

import ast
import copy

import keras
import numpy as np
import pytest
import torch
from cases import CASES
from lucid_writer import Tensor, lucid_bytes
from tolerances import relative_tolerance

from lucid_keras import ISTFT, ConvTranspose1d
from lucid_keras.interop import fold_weight_norm, load_state_dict, to_state_dict


def _state(module):
    return {name: tensor.numpy() for name, tensor in module.state_dict().items()}


def _randomized(module):
    """The module with every parameter and statistic random, so that nothing is right by default."""
    generator = torch.Generator().manual_seed(3)
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + (0.5 if "var" in name else -0.5))
    return module.eval()


def _close(ours, theirs, terms):
    theirs = theirs.detach().numpy()
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= relative_tolerance("float32", terms) * np.abs(theirs).max()


# Each: the PyTorch module, the Keras layer, the input's shape [batch, length, channels], and how PyTorch wants it.
def _channels_first(module, x):
    return module(x.movedim(-1, 1)).movedim(1, -1)


def _as_it_is(module, x):
    return module(x)


def _sequence(module, x):
    return module(x)[0]


nn, layers = torch.nn, keras.layers
LAYERS = {
    "conv": (nn.Conv1d(6, 4, 3), layers.Conv1D(4, 3), (2, 9, 6), _channels_first),
    "conv_grouped": (nn.Conv1d(6, 4, 3, groups=2), layers.Conv1D(4, 3, groups=2), (2, 9, 6), _channels_first),
    "conv_no_bias": (nn.Conv1d(6, 4, 3, bias=False), layers.Conv1D(4, 3, use_bias=False), (2, 9, 6), _channels_first),
    "conv_2d": (nn.Conv2d(3, 4, (2, 3)), layers.Conv2D(4, (2, 3)), (2, 5, 6, 3), _channels_first),
    "conv_3d": (nn.Conv3d(3, 4, (2, 3, 1)), layers.Conv3D(4, (2, 3, 1)), (2, 5, 6, 4, 3), _channels_first),
    "transposed": (
        nn.ConvTranspose1d(5, 3, 4, stride=2),
        layers.Conv1DTranspose(3, 4, strides=2),
        (2, 7, 5),
        _channels_first,
    ),
    "transposed_2d": (
        nn.ConvTranspose2d(5, 3, (4, 2), stride=2),
        layers.Conv2DTranspose(3, (4, 2), strides=2),
        (2, 4, 3, 5),
        _channels_first,
    ),
    "depthwise": (
        nn.Conv1d(4, 12, 3, groups=4),
        layers.DepthwiseConv1D(3, depth_multiplier=3),
        (2, 9, 4),
        _channels_first,
    ),
    "depthwise_2d": (
        nn.Conv2d(4, 8, (3, 2), groups=4),
        layers.DepthwiseConv2D((3, 2), depth_multiplier=2),
        (2, 5, 6, 4),
        _channels_first,
    ),
    "dense": (nn.Linear(6, 4), layers.Dense(4), (2, 9, 6), _as_it_is),
    "dense_by_time": (nn.Linear(6, 4), layers.TimeDistributed(layers.Dense(4)), (2, 9, 6), _as_it_is),
    "lstm": (nn.LSTM(6, 4, batch_first=True), layers.LSTM(4, return_sequences=True), (2, 9, 6), _sequence),
    "lstm_no_bias": (
        nn.LSTM(6, 4, batch_first=True, bias=False),
        layers.LSTM(4, return_sequences=True, use_bias=False),
        (2, 9, 6),
        _sequence,
    ),
    "gru": (nn.GRU(6, 4, batch_first=True), layers.GRU(4, return_sequences=True), (2, 9, 6), _sequence),
    "rnn": (nn.RNN(6, 4, batch_first=True), layers.SimpleRNN(4, return_sequences=True), (2, 9, 6), _sequence),
    "lstm_both_ways": (
        nn.LSTM(6, 4, batch_first=True, bidirectional=True),
        layers.Bidirectional(layers.LSTM(4, return_sequences=True)),
        (2, 9, 6),
        _sequence,
    ),
    "gru_both_ways": (
        nn.GRU(6, 4, batch_first=True, bidirectional=True),
        layers.Bidirectional(layers.GRU(4, return_sequences=True)),
        (2, 9, 6),
        _sequence,
    ),
    "layer_norm": (nn.LayerNorm(6), layers.LayerNormalization(epsilon=1e-5), (2, 9, 6), _as_it_is),
    "layer_norm_no_bias": (
        nn.LayerNorm(6, bias=False),
        layers.LayerNormalization(epsilon=1e-5, center=False),
        (2, 9, 6),
        _as_it_is,
    ),
    "rms_norm": (nn.RMSNorm(6, eps=1e-5), layers.RMSNormalization(epsilon=1e-5), (2, 9, 6), _as_it_is),
    "group_norm": (nn.GroupNorm(2, 6), layers.GroupNormalization(2, epsilon=1e-5), (2, 9, 6), _channels_first),
    "batch_norm": (nn.BatchNorm1d(6), layers.BatchNormalization(epsilon=1e-5), (2, 9, 6), _channels_first),
    "prelu": (nn.PReLU(6), layers.PReLU(shared_axes=[1]), (2, 9, 6), _channels_first),
    "prelu_shared": (nn.PReLU(), layers.PReLU(shared_axes=[1, 2]), (2, 9, 6), _channels_first),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_keras_layer_computes_what_pytorch_does(name, rng):
    module, layer, shape, call = LAYERS[name]
    layer = layer.from_config(layer.get_config())
    module = _randomized(module)
    x = rng.standard_normal(shape).astype("float32")
    layer.build(shape)
    report = load_state_dict(layer, _state(module))
    assert not report.missing
    assert not report.unexpected
    _close(np.asarray(layer(x)), call(module, torch.from_numpy(x)), terms=100)


@pytest.mark.parametrize("name", LAYERS)
def test_pytorch_loads_what_a_keras_layer_gives(name, rng):
    module, layer, shape, call = LAYERS[name]
    layer = layer.from_config(layer.get_config())
    layer.build(shape)
    for variable in layer.variables:
        variable.assign(rng.uniform(0.1, 1, variable.shape))
    state = {key: torch.from_numpy(array) for key, array in to_state_dict(layer).items()}
    module.load_state_dict(state, strict=True)
    x = rng.standard_normal(shape).astype("float32")
    _close(np.asarray(layer(x)), call(module.eval(), torch.from_numpy(x)), terms=100)


def test_an_embedding(rng):
    module, layer = _randomized(nn.Embedding(7, 3)), layers.Embedding(7, 3)
    layer.build((None, 4))
    load_state_dict(layer, _state(module))
    np.testing.assert_array_equal(np.asarray(layer(np.array([[6, 0]]))), module(torch.tensor([[6, 0]])).detach())
    np.testing.assert_array_equal(to_state_dict(layer)["weight"], module.weight.detach())


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.batch])
def test_conv_transpose1d_takes_pytorchs_weights(name, rng):
    case = CASES[name]
    module = _randomized(nn.ConvTranspose1d(**case.layer_arguments))
    layer = ConvTranspose1d(**case.layer_arguments)
    load_state_dict(layer, _state(module))
    for key, array in _state(module).items():
        np.testing.assert_array_equal(to_state_dict(layer)[key], array)


def _weight_normed(module, spelling):
    if spelling == "parametrizations":
        return nn.utils.parametrizations.weight_norm(module)
    with pytest.warns(FutureWarning, match="weight_norm"):
        return nn.utils.weight_norm(module)


@pytest.mark.parametrize("spelling", ["weight_g", "parametrizations"])
@pytest.mark.parametrize(
    "module",
    [
        nn.ConvTranspose1d(6, 4, 5, stride=2),
        nn.ConvTranspose1d(6, 4, 5, groups=2),
        nn.ConvTranspose1d(1, 4, 5),
        nn.Conv1d(4, 6, 3),
        nn.Linear(4, 3),
    ],
    ids=str,
)
def test_weight_norm_is_folded(module, spelling):
    module = _weight_normed(copy.deepcopy(module), spelling)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.rand(parameter.shape))
        module(torch.ones(1, 4) if isinstance(module, nn.Linear) else torch.ones(1, module.in_channels, 9))
    state = fold_weight_norm(_state(module))
    assert sorted(state) == ["bias", "weight"]
    _close(state["weight"], module.weight, terms=30)


@pytest.mark.parametrize("dim", [0, 1, 2, None])
def test_weight_norm_over_any_axis(dim):
    module = nn.utils.parametrizations.weight_norm(nn.ConvTranspose1d(3, 4, 5), dim=dim)
    with torch.no_grad():
        module.parametrizations.weight.original0.mul_(1 + torch.rand(module.parametrizations.weight.original0.shape))
    _close(fold_weight_norm(_state(module))["weight"], module.weight, terms=60)


G, V = np.ones((3, 1, 1), "float32"), np.ones((3, 2, 4), "float32")


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"a.weight_g": G}, r"a magnitude and a direction\. Received: a\.weight_g but no a\.weight_v"),
        ({"a.parametrizations.weight.original1": V}, r"Received: .*original1 but no a\.parametrizations\.weight\.ori"),
        ({"weight_g": G[:2], "weight_v": V}, r"weight_g of shape \[2, 1, 1\], weight_v of shape \[3, 2, 4\]"),
        ({"weight_g": G, "weight_v": 0 * V}, r"must not be zero\. Received: weight_v"),
        ({"weight_g": G, "weight_v": V, "weight": V}, r"stored once\. Received: weight beside weight_g"),
        (
            _state(nn.utils.spectral_norm(nn.Linear(2, 3))),
            r"spectral_norm cannot be folded.*remove_spectral_norm.*Received: weight_orig",
        ),
        (
            _state(nn.utils.parametrizations.spectral_norm(nn.Linear(2, 3))),
            r"only parametrization that can be folded is weight_norm.*Received: parametrizations\.weight\.",
        ),
    ],
)
def test_what_cannot_be_folded(state, message):
    with pytest.raises(ValueError, match=message):
        fold_weight_norm(state)


# ---- whole models ---------------------------------------------------------------------------------------------------


class Decoder(keras.Model):
    """Layers in attributes, a list, a dict, and within each other."""

    def __init__(self):
        super().__init__()
        self.pre = layers.Conv1D(4, 3, padding="same")
        self.blocks = [
            keras.Sequential([layers.Conv1D(4, 1, name="0"), layers.BatchNormalization(epsilon=1e-5, name="1")]),
            ConvTranspose1d(4, 2, kernel_size=4, stride=2, padding=1, data_format="channels_last"),
        ]
        self.heads = {"wave": layers.Dense(1)}
        self.dropout = layers.Dropout(0.5)

    def call(self, x):
        x = self.pre(x)
        for block in self.blocks:
            x = block(x)
        return self.heads["wave"](self.dropout(x))


class TorchDecoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.pre = nn.Conv1d(3, 4, 3, padding=1)
        self.blocks = nn.ModuleList(
            [nn.Sequential(nn.Conv1d(4, 4, 1), nn.BatchNorm1d(4)), nn.ConvTranspose1d(4, 2, 4, stride=2, padding=1)]
        )
        self.heads = nn.ModuleDict({"wave": nn.Linear(2, 1)})

    def forward(self, x):
        x = self.pre(x.mT)
        for block in self.blocks:
            x = block(x)
        return self.heads["wave"](x.mT)


@pytest.fixture
def decoder():
    model = Decoder()
    model(np.zeros((1, 5, 3), "float32"))
    return model


def test_a_whole_model_by_its_attributes(decoder, tmp_path, rng):
    module = _randomized(TorchDecoder())
    path = tmp_path / "decoder.pt"
    torch.save({"state_dict": {f"module.{name}": tensor for name, tensor in module.state_dict().items()}}, path)
    report = load_state_dict(decoder, path, rename={r"^module\.": ""})
    assert (report.missing, report.unexpected) == ((), ())
    assert len(report.loaded) == len(decoder.weights) == len(module.state_dict()) - 1  # less num_batches_tracked
    x = rng.standard_normal((2, 9, 3)).astype("float32")
    _close(np.asarray(decoder(x)), module(torch.from_numpy(x)), terms=100)
    again = TorchDecoder()
    again.load_state_dict({name: torch.from_numpy(array) for name, array in to_state_dict(decoder).items()})
    for ours, theirs in zip(again.parameters(), module.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_functional_model_by_its_layers_names(tmp_path, rng):
    x = keras.Input((None, 3))
    y = layers.Conv1D(4, 3, padding="same", name="net.0")(x)
    y = ConvTranspose1d(4, 2, kernel_size=4, stride=2, padding=1, data_format="channels_last", name="net.1")(y)
    model = keras.Model(x, y)
    module = _randomized(nn.Sequential(nn.Conv1d(3, 4, 3, padding=1), nn.ConvTranspose1d(4, 2, 4, 2, 1)))
    tensors = {name: Tensor(array) for name, array in _state(module).items()}
    (tmp_path / "net.lucid").write_bytes(lucid_bytes(tensors))
    load_state_dict(model, tmp_path / "net.lucid", rename=lambda name: f"net.{name}")
    values = rng.standard_normal((2, 9, 3)).astype("float32")
    _close(np.asarray(model(values)), _channels_first(module, torch.from_numpy(values)), terms=100)


def test_what_a_window_decides_is_not_loaded():
    model = keras.Sequential([keras.Input((18, 10)), ConvTranspose1d(18, 18, 1, name="head"), ISTFT(16, 4)])
    assert sorted(to_state_dict(model)) == ["head.bias", "head.weight"]


def test_a_shared_layer_is_loaded_once():
    shared = layers.Dense(2, name="shared")
    model = keras.Sequential([keras.Input((2,)), shared, keras.Sequential([shared], name="again")])
    assert sorted(to_state_dict(model)) == ["shared.bias", "shared.weight"]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_precisions(dtype):
    layer = ConvTranspose1d(2, 2, 3, dtype=keras.DTypePolicy(dtype))
    weight = np.arange(12, dtype="float64").reshape(2, 2, 3) / 4  # exact in each
    load_state_dict(layer, {"weight": weight, "bias": np.ones(2)})
    np.testing.assert_array_equal(to_state_dict(layer)["weight"], weight)


# ---- what does not fit ----------------------------------------------------------------------------------------------


def test_everything_that_does_not_fit_is_reported_and_nothing_is_loaded(decoder):
    state = {name: array + 1 for name, array in to_state_dict(decoder).items()}
    state["blocks.1.weigth"] = state.pop("blocks.1.weight")
    state["heads.wave.weight"] = state["heads.wave.weight"].T
    state["pre.bias"] = state["pre.bias"][:3]
    state["discriminator.weight"] = np.zeros((9, 9), "float32")
    before = [variable.numpy() for variable in decoder.variables]
    with pytest.raises(ValueError, match=r"^the checkpoint must fit the target\. Received: ") as error:
        load_state_dict(decoder, state)
    assert str(error.value).splitlines()[1:] == [
        "missing from the checkpoint (1):",
        "  blocks.1.weight [4, 2, 4]   nearest: blocks.1.weigth [4, 2, 4]",
        "unexpected in the checkpoint (2):",
        "  blocks.1.weigth [4, 2, 4]   nearest: blocks.1.weight [4, 2, 4]",
        "  discriminator.weight [9, 9]",
        "of another shape (2):",
        "  heads.wave.weight: the target has [1, 2], not [2, 1]",
        "  pre.bias: the target has [4], not [3]",
    ]
    for variable, value in zip(decoder.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


@pytest.mark.parametrize(("ours", "theirs"), [("", "model.net."), ("net.", "")])
def test_a_prefix_is_guessed(ours, theirs):
    layer = ConvTranspose1d(2, 2, 3, name="net")
    target = keras.Sequential([keras.Input((2, 4)), layer]) if ours else layer
    state = {f"{theirs}{name}": array for name, array in to_state_dict(layer).items()}
    with pytest.raises(ValueError, match="Try rename=") as error:
        load_state_dict(target, state)
    rename = ast.literal_eval(str(error.value).rpartition("Try rename=")[2])
    assert load_state_dict(target, state, rename=rename).loaded == (f"{ours}weight", f"{ours}bias")


def test_long_lists_are_cut():
    state = {f"layer.{number}.weight": np.zeros(1, "float32") for number in range(500)}
    with pytest.raises(ValueError, match=r"unexpected in the checkpoint \(500\):(?s:.)*\.\.\. and 460 more"):
        load_state_dict(ConvTranspose1d(2, 2, 3), state)


def test_not_strict_loads_what_fits(decoder):
    state = to_state_dict(decoder)
    state["pre.weight"] = state["pre.weight"] + 1
    del state["pre.bias"]
    report = load_state_dict(decoder, state | {"other": np.zeros(1)}, strict=False)
    assert (report.missing, report.unexpected) == (("pre.bias",), ("other",))
    np.testing.assert_array_equal(to_state_dict(decoder)["pre.weight"], state["pre.weight"])
    wrong = state | {"pre.weight": np.zeros((1, 1, 1), "float32"), "heads.wave.bias": np.full(1, 5, "float32")}
    with pytest.raises(ValueError, match=r"pre\.weight: the target has \[4, 3, 3\], not \[1, 1, 1\]"):
        load_state_dict(decoder, wrong, strict=False)
    assert to_state_dict(decoder)["heads.wave.bias"] != 5


def test_an_lstm_with_one_bias_missing_keeps_its_bias():
    layer = layers.LSTM(2)
    layer.build((1, 3, 4))
    state = to_state_dict(layer)
    del state["bias_hh_l0"]
    state["bias_ih_l0"] = state["bias_ih_l0"] + 7
    report = load_state_dict(layer, state, strict=False)
    assert report.missing == ("bias_hh_l0",)
    assert "bias_ih_l0" not in report.loaded
    assert layer.cell.bias.numpy().max() == 1


def test_numbers_of_another_kind():
    layer = ConvTranspose1d(2, 2, 3)
    before = to_state_dict(layer)
    state = {"bias": np.ones(2, "float32"), "weight": np.ones((2, 2, 3), "int8")}
    with pytest.raises(TypeError, match=r"Received: weight of dtype int8 for a variable of dtype float32"):
        load_state_dict(layer, state)
    np.testing.assert_array_equal(to_state_dict(layer)["bias"], before["bias"])


def test_targets_that_are_not_ready():
    with pytest.raises(ValueError, match=r"must be built.*Received: the layer 'a', which is not"):
        load_state_dict(keras.Sequential([layers.Dense(2, name="a")]), {})
    with pytest.raises(ValueError, match=r"must be built and have variables\. Received: 'd'"):
        to_state_dict(layers.Dropout(0.1, name="d"))
    with pytest.raises(TypeError, match=r"target must be a keras\.Layer or keras\.Model\. Received: str"):
        load_state_dict("a", {})
    gru = layers.GRU(2, reset_after=False)
    gru.build((1, 2, 3))
    with pytest.raises(ValueError, match=r"reset_after=True.*Received: the layer 'gru.*' with reset_after=False"):
        to_state_dict(gru)


def test_names_that_meet():
    with pytest.raises(ValueError, match=r"rename must give different names\. Received: 'w' for 'b' and for another"):
        load_state_dict(ConvTranspose1d(1, 1, 1), {"a": G, "b": G}, rename=lambda name: "w")
    outer = keras.Sequential(
        [keras.Input((2,)), layers.Dense(2, name="a.b"), keras.Sequential([layers.Dense(2, name="b")], name="a")]
    )
    with pytest.raises(ValueError, match=r"a name of its own\. Received: a\.b\.bias, a\.b\.weight twice"):
        to_state_dict(outer)


def test_an_lstm_of_two_layers_is_two_layers(rng):
    module = _randomized(nn.LSTM(3, 4, num_layers=2, batch_first=True))
    stack = [layers.LSTM(4, return_sequences=True, name=f"lstm_{layer}") for layer in range(2)]
    model = keras.Sequential([keras.Input((None, 3)), *stack])
    load_state_dict(model, _state(module), rename={r"^(\w+)_l(\d)$": r"lstm_\2.\1_l0"})
    x = rng.standard_normal((2, 9, 3)).astype("float32")
    _close(np.asarray(model(x)), _sequence(module, torch.from_numpy(x)), terms=100)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_pytorch_state_dict_as_it_is(dtype):
    module, layer = nn.ConvTranspose1d(2, 3, 4).to(dtype), ConvTranspose1d(2, 3, 4)
    for tensors in (module.state_dict(), dict(module.named_parameters())):
        load_state_dict(layer, tensors)
        np.testing.assert_array_equal(to_state_dict(layer)["weight"], module.weight.detach().float())


def test_rename_drops(decoder):
    state = to_state_dict(decoder) | {"discriminator.weight_orig": G, "discriminator.weight_u": G}
    report = load_state_dict(decoder, state, rename={r"^discriminator\.": None})
    assert (report.missing, report.unexpected) == ((), ())
