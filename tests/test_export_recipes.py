"""The runnable recipes in export/: each says what it does, and those that need no other package run."""

import http.server
import importlib.util
import json
import pathlib
import sys
import threading

import numpy as np
import pytest

from lucid_keras.cli import main
from lucid_keras.runtimes import SavedModel

ROOT = pathlib.Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "saved_models" / "golden" / "whole"


@pytest.fixture
def recipe(monkeypatch):
    """Runs the main function of a recipe with the arguments of a command line."""

    def run(name, *arguments):
        spec = importlib.util.spec_from_file_location("recipe", ROOT / "export" / name)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        module.main()

    return run


def test_the_readme_names_every_recipe():
    text = (ROOT / "export" / "README.md").read_text()
    assert [path.name for path in sorted((ROOT / "export").glob("*.py")) if f"`{path.name}`" not in text] == []


def test_the_command_makes_the_folder_that_the_server_watches(tmp_path):
    path = tmp_path / "served" / "vocoder" / "3"
    assert main(["export", str(GOLDEN / "decoder.keras"), str(path)]) == 0
    assert (path / "saved_model.pb").exists()


class Server(http.server.BaseHTTPRequestHandler):
    """TensorFlow Serving's predict method over REST, as documented, for the golden SavedModel."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        mel = np.asarray(body["instances"], np.float32)
        wave = SavedModel(GOLDEN / "saved_model").run("serving_default", {"mel": mel})["wave"]
        content = json.dumps(
            {"predictions": wave.tolist()} if self.path == "/v1/models/golden:predict" else {}
        ).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        """Quiet."""


@pytest.fixture
def address():
    server = http.server.ThreadingHTTPServer(("localhost", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_request_fails_in_one_line(recipe, tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match=r"request: .*nothing.npy"):
        recipe("serving/request.py", tmp_path / "nothing.npy", tmp_path / "wave.npy")
    np.save(tmp_path / "mel.npy", np.zeros(3))
    monkeypatch.setitem(sys.modules, "tensorflow_serving", None)
    with pytest.raises(SystemExit, match=r"request: .*tensorflow_serving"):
        recipe("serving/request.py", tmp_path / "mel.npy", tmp_path / "wave.npy", "--grpc")


def test_the_rest_request_speaks_the_servers_language(recipe, address, tmp_path):
    outputs = np.load(GOLDEN / "outputs.npz")
    np.save(tmp_path / "mel.npy", outputs["mel"])
    arguments = (tmp_path / "mel.npy", tmp_path / "wave.npy", "--model", "golden", "--server", address)
    recipe("serving/request.py", *arguments)
    np.testing.assert_allclose(np.load(tmp_path / "wave.npy"), outputs["keras"], atol=1e-5)
