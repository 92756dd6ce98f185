"""The SavedModel: loaded by a fresh process of plain TensorFlow, without this package, Keras or XLA."""

import json
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.tools import saved_model_cli

import lucid_keras as lk
from lucid_keras.export import to_saved_model
from lucid_keras.runtimes import SavedModel

PLAIN_TENSORFLOW = """
import sys
sys.modules["keras"] = sys.modules["lucid_keras"] = None  # whoever imports them fails
import numpy as np, tensorflow as tf
loaded = tf.saved_model.load(sys.argv[1])
data = np.load(sys.argv[2])
np.save(sys.argv[3], loaded.signatures["serving_default"](mel=tf.constant(data))["up"].numpy())
"""


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(1)
    layer = lk.ConvTranspose1d(32, 16, 16, stride=8, padding=4, name="up", jit_compile=True)
    return keras.Sequential([keras.Input((32, None), name="mel"), layer])


@pytest.fixture(scope="module")
def report(model, tmp_path_factory):
    return to_saved_model(model, tmp_path_factory.mktemp("saved") / "up", timing_seconds=0)


def protobuf(report):
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((pathlib.Path(report) / "saved_model.pb").read_bytes())
    return saved.meta_graphs[0].graph_def


def test_plain_tensorflow_loads_and_runs_it(model, report, tmp_path, rng):
    x = rng.standard_normal((3, 32, 21)).astype("float32")
    np.save(tmp_path / "x.npy", x)
    command = [
        sys.executable,
        "-c",
        PLAIN_TENSORFLOW,
        str(report.path),
        str(tmp_path / "x.npy"),
        str(tmp_path / "y.npy"),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=100)
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), model(x).numpy(), rtol=1e-5, atol=1e-6)


def test_batch_and_length_are_open_and_named(report):
    assert report.signatures == {
        "serving_default": {"inputs": ("mel: float32[None, 32, None]",), "outputs": ("up: float32[None, 16, None]",)}
    }


def test_nothing_must_be_compiled_and_nothing_is_python(report):
    graph = protobuf(report)
    attributes = {name for function in graph.library.function for name in function.attr}
    assert not {"_XlaMustCompile", "_noinline"} & attributes
    operations = {node.op for function in graph.library.function for node in function.node_def}
    assert "Conv2D" in operations
    assert not {"PyFunc", "EagerPyFunc", "VarHandleOp", "ReadVariableOp", "XlaLaunch"} & operations


def test_the_weights_are_there_once_in_the_kernels_layout(model, report):
    nodes = [node for function in protobuf(report).library.function for node in function.node_def]
    nbytes = model.layers[0].weight.numpy().nbytes
    large = [node for node in nodes if node.op == "Const" and node.ByteSize() > nbytes // 2]
    assert [len(node.attr["value"].tensor.tensor_shape.dim) for node in large] == [4]


def test_tensorflows_command_line_tool_shows_and_runs_it(report, tmp_path, capsys):
    np.save(tmp_path / "mel.npy", np.ones((2, 32, 5), "float32"))
    chosen = ["--dir", str(report.path), "--tag_set", "serve", "--signature_def", "serving_default"]
    for arguments in (["show", *chosen], ["run", *chosen, "--inputs", f"mel={tmp_path / 'mel.npy'}"]):
        parsed = saved_model_cli.create_parser().parse_args(arguments)
        parsed.func()
    text = capsys.readouterr().out
    assert "inputs['mel'] tensor_info" in text
    assert "Result for output key up" in text


def test_a_path_that_exists_is_refused_and_untouched(model, tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").write_text("mine")
    with pytest.raises(ValueError, match="must not be an existing path"):
        to_saved_model(model, tmp_path / "there")
    assert (tmp_path / "there" / "file").read_text() == "mine"


def test_below_the_floor_no_folder_is_left(model, tmp_path, monkeypatch):
    run = SavedModel.run

    def halved(self, signature, sample):
        share = 2 if signature == "length_9" else 1.9  # the worst is named, whatever the rounding
        return {name: array / share for name, array in run(self, signature, sample).items()}

    monkeypatch.setattr(SavedModel, "run", halved)
    with pytest.raises(ValueError, match=r"must reach 110 dB.*Received: 6.0 dB .*at the output 'up' of 'length_9'"):
        to_saved_model(model, tmp_path / "up", length=[9, 10])
    assert not list(tmp_path.iterdir())


def test_the_report_of_a_folder_is_json(report):
    loaded = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert loaded["kind"] == "saved_model"
    assert "Conv2D" in loaded["ops"]
