"""`from_torch`: every operation against PyTorch, decoders of other people's, and what it refuses."""

import pathlib
import pickle
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
from torch import nn
from torch_decoders import DECODERS, Snake
from torch_operations import OPERATIONS, Applied, apart, attended, seen

import lucid_keras as lk
from lucid_keras.cli import main
from lucid_keras.interop import from_torch
from lucid_keras.interop.translation.operations import TABLE

SEEDS, MANY = range(3), range(3, 43)


def relative_error(y, expected):
    y, expected = np.asarray(y, np.float64), expected.detach().double().numpy()
    assert y.shape == expected.shape
    return np.abs(y - expected).max(initial=0) / (np.abs(expected).max(initial=0) or 1)


def at_another_length(inputs, model):
    """Three examples of numbers of their own, half as long again where the model leaves the length open."""
    drawn = []
    for one, spec in zip(inputs, model.inputs, strict=True):
        shape = [
            3,
            *(size if held else size + size // 2 for size, held in zip(one.shape[1:], spec.shape[1:], strict=True)),
        ]
        drawn.append(torch.randn(shape) if one.is_floating_point() else torch.randint(0, 7, shape))
    return drawn


def check(name, seed):
    """An operation with random arguments gives what PyTorch gives, in another batch and at another length."""
    torch.manual_seed(seed)
    module, inputs = OPERATIONS[name](np.random.default_rng(seed))
    model = from_torch(module.eval(), inputs)
    assert any(None in one.shape[1:] for one in model.inputs), "the length is open"
    drawn = at_another_length(inputs, model)
    with torch.no_grad():
        expected = module(*drawn)
    given = model([one.numpy() for one in drawn] if len(drawn) > 1 else drawn[0].numpy())
    for y, other in zip(
        keras.tree.flatten(given), expected if isinstance(expected, tuple) else [expected], strict=True
    ):
        assert relative_error(y, other) < 2e-5, (name, seed)


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations(name):
    for seed in SEEDS:
        check(name, seed)


@pytest.mark.sweep
@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_in_the_sweep(name):
    for seed in MANY:
        check(name, seed)
        keras.utils.clear_session()


# Decoders of other people's ------------------------------------------------------------------------------------------

# What has no translation yet, and what does not stream, by what is said of it.
REFUSED = {"UnivNet": "unfold"}
FILTERS = {"upsample", "downsample"}  # BigVGAN's, which no state dict has and nothing trains
NOT_LIVE = {
    "EnCodec 24 kHz": "reflect",
    "EnCodec 48 kHz": "reflect",
    "HTDemucs's decoder": "differ in rate",  # its skips come at a rate of their own
}


@pytest.fixture(params=[name for name in DECODERS if name not in REFUSED], scope="module")
def imported(request):
    """A small decoder, its module, the inputs, and the Keras model, channels last."""
    torch.manual_seed(0)
    module, inputs = DECODERS[request.param].example()
    return request.param, module, inputs, from_torch(module, inputs, data_format="channels_last")


def channels_last(tensors, model):
    """PyTorch's tensors as the model takes them: the length second."""
    turned = [one if len(one.shape) < 3 or (spec.shape[1:2] == (None,) and one.shape[2] == spec.shape[2]) else one.mT
              for one, spec in zip(tensors, model.inputs, strict=True)]  # fmt: skip
    arrays = [one.numpy() for one in turned]
    return arrays[0] if len(arrays) == 1 else arrays


def test_decoders(imported, tmp_path):
    """A decoder's state dict fills it again, the file loads without its module, and exports at its floor."""
    name, module, inputs, model = imported
    with torch.no_grad():
        expected = module(*inputs)
    x = channels_last(inputs, model)
    expected = expected.reshape(tuple(model(x).shape)) if name == "BigVGAN" else expected  # which drops a batch of one
    assert relative_error(model(x), expected.mT if expected.ndim == 3 else expected) < 2e-5
    model.save(tmp_path / "decoder.keras")
    loaded = keras.models.load_model(tmp_path / "decoder.keras")
    np.testing.assert_array_equal(loaded(x), model(x))
    if name != "Mimi, from codes":  # whose codebooks are computed from sums and counts
        for variable in loaded.trainable_variables:
            variable.assign(keras.ops.zeros_like(variable))
        report = lk.interop.load_state_dict(loaded, module.state_dict(), strict=False)
        assert {one.rpartition(".")[0].rpartition(".")[2] for one in report.missing} <= FILTERS
        np.testing.assert_allclose(loaded(x), model(x), rtol=0, atol=1e-5 * np.abs(model(x)).max())  # weight norm
    lengths = {one.name: given.shape[1] for one, given in zip(model.inputs, keras.tree.flatten(x), strict=True)}
    report = lk.export.to_tflite(model, tmp_path / "decoder.tflite", length=lengths, timing_seconds=0)
    assert report.snr_db >= report.floor_db


def test_decoders_live(imported):
    """What streams is the whole decode; what does not says why."""
    name, _, inputs, model = imported
    if name in NOT_LIVE:
        with pytest.raises(ValueError, match=NOT_LIVE[name]):
            lk.StreamingModel(model)
        return
    live = lk.StreamingModel(model)
    x = channels_last(inputs, model)
    pieces = list(
        live.stream(x[:, start : start + live.granularity] for start in range(0, x.shape[1], live.granularity))
    )
    whole = np.asarray(model(x))
    assert np.abs(np.concatenate(pieces, axis=1) - whole).max() <= 1e-5 * np.abs(whole).max()


@pytest.mark.parametrize("name", REFUSED)
def test_decoders_that_are_refused(name):
    module, inputs = DECODERS[name].example()
    with pytest.raises(ValueError, match=REFUSED[name]):
        from_torch(module, inputs)


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
import keras, numpy as np, lucid_keras
model = keras.models.load_model(sys.argv[1])
np.testing.assert_array_equal(model(np.load(sys.argv[2])), np.load(sys.argv[3]))
assert not [name for name in sys.modules if "translation" in name and "lucid_keras" in name]
"""


def test_a_model_runs_where_torch_is_not(tmp_path):
    """With Snakes, parameters of their own, repeated ends and a transformer over a window."""
    torch.manual_seed(0)
    size = 8
    parts = {"snake": Snake(size, True), **{name: nn.Linear(size, size) for name in ("q", "k", "v", "o")}}

    def apply(m, x):
        x = m.snake(nn.functional.pad(x, (2, 1), mode="replicate")) * m.scale
        return attended(m, x.mT, heads=2, window=5, base=100.0).mT

    module = Applied(apply, scale=nn.Parameter(torch.randn(size, 1)), **parts)
    model = from_torch(module, torch.randn(1, size, 9))
    x = np.random.default_rng(0).standard_normal((2, size, 17)).astype("float32")
    model.save(tmp_path / "m.keras")
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", model(x))
    files = [str(tmp_path / name) for name in ("m.keras", "x.npy", "y.npy")]
    subprocess.run([sys.executable, "-c", WITHOUT_TORCH, *files], check=True)


def test_integers_after_a_layer_scale_stay_in_the_delegate(tmp_path):
    """The converter takes the product into the linear layer, whose bias XNNPACK wants with one axis."""
    torch.manual_seed(0)
    module = Applied(lambda m, x: m.linear(x) * m.gamma, linear=nn.Linear(8, 8), gamma=nn.Parameter(torch.rand(8)))
    model = from_torch(module, torch.randn(1, 9, 8))
    data = np.random.default_rng(0).standard_normal((64, 9, 8)).astype("float32")
    options = {"length": 9, "quantization": "int8", "calibration_data": data, "timing_seconds": 0}
    report = lk.export.to_tflite(model, tmp_path / "scaled.tflite", **options)
    assert (report.total, report.partitions) == (report.delegated, 1)


def test_training():
    """Its gradients are PyTorch's."""
    torch.manual_seed(0)
    module, inputs = DECODERS["SNAC"].example()
    model = from_torch(module, inputs)
    weights = [one for one in model.trainable_variables if one.name == "alpha"]
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(inputs[0].numpy()) ** 2)
    ours = tape.gradient(loss, [one.value for one in weights])
    module(*inputs).square().sum().backward()
    theirs = {name: one.grad for name, one in module.named_parameters() if name.endswith("alpha")}
    assert {one.path.replace("/", ".") for one in weights} == theirs.keys()
    for weight, gradient in zip(weights, ours, strict=True):
        assert relative_error(gradient, theirs[weight.path.replace("/", ".")]) < 1e-4


# What is refused ----------------------------------------------------------------------------------------------------


def test_all_that_is_unknown_is_named_at_once():
    def unknown(m, x):
        return torch.cumsum(m.inner(x), 2) + torch.randn_like(x)

    inner = Applied(lambda m, x: torch.fft.rfft(x, n=16).abs()[..., :1] + x)
    with pytest.raises(ValueError, match="must be known to lucid_keras") as refusal:
        from_torch(Applied(unknown, inner=inner), torch.randn(1, 2, 9))
    said = str(refusal.value)
    assert "cumsum in the module itself" in said
    assert "fft_rfft in inner" in said
    assert "randn_like in the module itself: it draws random numbers" in said


@pytest.mark.parametrize(
    ("module", "inputs", "said"),
    [
        (Applied(lambda m, x: x * 2 if x.sum() > 0 else x), torch.ones(1, 2, 9), "no branch may depend"),
        (Applied(lambda m, x: torch.ones(3)), torch.ones(1, 2, 9), "must depend on its inputs"),
        (Applied(lambda m, x: x * torch.arange(x.shape[-1])), torch.ones(1, 2, 9), "computed from the length"),
        (nn.Conv1d(2, 2, 3).half(), torch.ones(1, 2, 9), "must be in float32"),
        (
            Applied(lambda m, x: x * m.gain, gain=nn.Parameter(torch.tensor([torch.nan]))),
            torch.ones(1, 2, 9),
            "in gain",
        ),
        (Applied(lambda m, x: (x.tanh(), (x - 99) ** 0.5)), torch.ones(1, 2, 9), "relative error nan"),
        (nn.Conv1d(2, 2, 3), torch.ones(2), "another axis at least"),
        (nn.Conv1d(2, 2, 3), "x", "must be a tensor or a tuple"),
        ("nothing.pt2", None, "nothing.pt2"),
        (3, torch.ones(1, 2, 9), "must be a torch.nn.Module"),
        (nn.LSTM(2, 3, proj_size=2, batch_first=True), torch.ones(1, 9, 2), "projects its state"),
        (Applied(lambda m, x: x.reshape(-1, 4)), torch.ones(2, 2, 8), "joins the batch"),
        (Applied(lambda m, x: nn.functional.conv1d(x, x[:1, :, :3])), torch.ones(2, 2, 8), "at its arguments"),
        (Applied(lambda m, x: x.clamp(m.low), low=nn.Parameter(torch.tensor(0.5))), torch.ones(2, 2, 8), "bound of it"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refusals(module, inputs, said):
    with pytest.raises((ValueError, TypeError, OSError), match=said):
        from_torch(module, inputs)


def test_the_first_operation_that_differs_is_named(monkeypatch):
    module = nn.Sequential(nn.Conv1d(2, 3, 3), nn.Tanh(), nn.Conv1d(3, 1, 3), nn.Sigmoid())
    monkeypatch.setitem(TABLE, "tanh", TABLE["sin"])
    with pytest.raises(ValueError, match=r"first operation that differs: 1 \(tanh\)"):
        from_torch(module, torch.randn(1, 2, 9))


def test_a_module_of_one_length():
    """Which it says itself: its model has that length."""
    module = Applied(lambda m, x: m.linear(x), linear=nn.Linear(9, 5))
    model = from_torch(Applied(lambda m, x: m.inner(x).view(x.shape[0], 10), inner=module), torch.randn(1, 2, 9))
    assert model.input_shape == (None, 2, 9)


def test_lengths_of_several_inputs():
    """Of which one is neither as long as the other nor a multiple."""
    up = nn.ConvTranspose1d(3, 2, 4, 2)
    module = Applied(lambda m, x, noise: m.up(x) + noise, up=up)
    inputs = [(torch.randn(1, 3, length), torch.randn(1, 2, 2 * length + 2)) for length in (9, 14)]
    assert from_torch(module, inputs[0]).input_shape == [(None, 3, 9), (None, 2, 20)]
    model = from_torch(module, inputs[0], other_inputs=inputs[1:])
    assert model.input_shape == [(None, 3, None), (None, 2, None)]


def test_windows_that_the_example_does_not_fill():
    """Of a mask in numbers, whose window is in none of its integers as it is; a parameter of one number is kept."""

    def apply(m, x):
        ones = torch.ones(x.shape[1], x.shape[1])
        mask = torch.where(ones.tril() * ones.triu(-40) > 0, 0.0, float("-inf"))
        q, k, v = (apart(layer(x), 2) for layer in (m.q, m.k, m.v))
        y = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return m.o(y.transpose(1, 2).reshape(x.shape)) * m.gain

    torch.manual_seed(0)
    parts = {name: nn.Linear(4, 4) for name in ("q", "k", "v", "o")} | {"gain": nn.Parameter(torch.tensor(2.0))}
    module, x = Applied(apply, **parts), torch.randn(2, 150, 4)
    model = from_torch(module, x[:, :6])
    with torch.no_grad():
        assert relative_error(model(x.numpy()), module(x)) < 2e-5
    assert "gain" in lk.interop.to_state_dict(model)


def test_a_mask_from_a_buffer():
    """Of which a short example does not show how far it lets see."""
    parts = {name: nn.Linear(4, 4) for name in ("q", "k", "v", "o")}
    module = Applied(
        lambda m, x: nn.functional.scaled_dot_product_attention(
            *(apart(layer(x), 2) for layer in (m.q, m.k, m.v)), attn_mask=m.mask[: x.shape[1], : x.shape[1]]
        ),
        **parts,
    )
    module.register_buffer("mask", seen(100, 40))
    with pytest.raises(ValueError, match="cut from a buffer"):
        from_torch(module, torch.randn(1, 6, 4))


def test_the_module_is_left_as_it_was():
    module = nn.Sequential(nn.BatchNorm1d(2), nn.Dropout())
    kinds, state = (
        [type(one) for one in module.modules()],
        {key: one.clone() for key, one in module.state_dict().items()},
    )
    from_torch(module, torch.randn(1, 2, 9))
    assert module.training
    assert [type(one) for one in module.modules()] == kinds
    assert all(torch.equal(one, state[key]) for key, one in module.state_dict().items())
    assert [*module.state_dict()] == [*state]


# Programs -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """A decoder's program with an open length, and the decoder."""
    torch.manual_seed(0)
    module, inputs = DECODERS["SNAC"].example()
    opened = torch.export.export(module, inputs, dynamic_shapes=({2: torch.export.Dim("length", min=2)},))
    path = tmp_path_factory.mktemp("program") / "decoder.pt2"
    torch.export.save(opened, path)
    return path, module, inputs


def test_a_program_by_the_command(program, tmp_path, capsys):
    path, module, inputs = program
    assert main(["import", str(path), str(tmp_path / "decoder.keras"), "--channels-last"]) == 0
    printed = capsys.readouterr().out
    assert "'any'" in printed
    assert printed.count("relative error") == 3
    model = keras.models.load_model(tmp_path / "decoder.keras")
    x = torch.randn(2, inputs[0].shape[1], 31)
    with torch.no_grad():
        assert relative_error(model(x.mT.numpy()), module(x).mT) < 2e-5
    assert not lk.interop.load_state_dict(model, module.state_dict()).missing


def test_a_program_of_one_length(program):
    _, module, inputs = program
    model = from_torch(torch.export.export(module, inputs))
    assert model.input_shape == (None, *inputs[0].shape[1:])


def rewritten(path, folder, change):
    """The archive with each member changed: `change` gives a name and the bytes, or None to leave it out."""
    target = folder / "changed.pt2"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            for member, content in change(name, old.read(name)):
                new.writestr(member, content)
    return target


def replaced(old, new):
    return lambda name, content: [(name, content.replace(old, new) if name.endswith(".json") else content)]


class Touching:
    """A pickle that makes a file where it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (replaced(b'"use_pickle": false', b'"use_pickle": true'), "use_pickle"),
        (replaced(b"torch.ops.aten.tanh.default", b"torch.hub.load"), "target"),
        (replaced(b"torch.ops.aten.tanh.default", b"torch.ops.aten.from_file.default"), "target"),
        (replaced(b'"expr_str": "', b'"expr_str": "__import__(\'os\').getcwd() + '), "expr_str"),
        (
            lambda name, content: [
                (name, content),
                *([("decoder/data/aotinductor/model/a.so", b"x")] if "/models/" in name else []),
            ],
            "compiled",
        ),
        (lambda name, content: [] if "/models/" in name else [(name, content)], "no model"),
        (lambda name, content: [(name, content[:50])], "torch.export.save writes"),
    ],
    ids=["pickle", "function", "file", "expression", "compiled", "no model", "cut off"],
)
def test_programs_that_would_execute_code(program, tmp_path, change, said):
    with pytest.raises(ValueError, match=said):
        from_torch(rewritten(program[0], tmp_path, change))


def test_inputs_that_would_execute_code(program, tmp_path):
    mark = tmp_path / "executed"

    def change(name, content):
        return [(name, pickle.dumps(Touching(mark)) if "sample_inputs" in name else content)]

    with pytest.raises(ValueError, match="without its own code"):
        from_torch(rewritten(program[0], tmp_path, change))
    assert not mark.exists()


def test_commands_that_are_refused(tmp_path, capsys):
    (tmp_path / "junk.pt2").write_bytes(b"PK\x03\x04 junk")
    for words in (["nothing.pt2", "x.keras"], [str(tmp_path / "junk.pt2"), "x.keras"], ["a.pt2", "x.h5"]):
        assert main(["import", *words]) == 1
        assert len(capsys.readouterr().err.splitlines()) == 1
