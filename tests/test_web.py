"""The page that decodes live: built, served to this machine alone, and looked at in a browser."""

import contextlib
import http.client
import importlib.util
import json
import pathlib
import signal
import subprocess
import sys
import threading

import keras
import numpy as np
import pytest

import lucid_keras as lk
from lucid_keras.export.recipes import RECIPES
from lucid_keras.runtimes.browser import Browser, chromium

ROOT = pathlib.Path(__file__).resolve().parent.parent
WEB = ROOT / "export" / "web"
GOLDEN = ROOT / "saved_models" / "golden" / "live"
SOFTWARE_GPU = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan"]


def program(name):
    spec = importlib.util.spec_from_file_location(f"web_{name}", WEB / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def page(tmp_path):
    """A folder that could be the page."""
    (tmp_path / "page").mkdir()
    for name in ("index.html", "page.js", "page.css", "decoder.tflite", "litert.wasm"):
        (tmp_path / "page" / name).write_text(name)
    (tmp_path / "secret").write_text("not for the page")
    return tmp_path / "page"


@contextlib.contextmanager
def served(folder):
    with program("serve").server(folder, 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def answer(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    response = connection.getresponse()
    return response.status, response.headers, response.read()


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/page.js", "text/javascript; charset=utf-8"),
        ("/page.css", "text/css; charset=utf-8"),
        ("/litert.wasm", "application/wasm"),
        ("/decoder.tflite", "application/octet-stream"),
    ],
)
def test_each_file_is_served_as_what_it_is(path, kind, page):
    with served(page) as port:
        status, headers, content = answer(port, path)
    assert (status, headers["Content-Type"]) == (200, kind)
    assert content.decode() == (path.removeprefix("/") or "index.html")
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    assert headers["Content-Security-Policy"].startswith("default-src 'self';")


@pytest.mark.parametrize("path", ["/../secret", "/%2e%2e/secret", "/nothing", "/folder/"])
def test_nothing_else_is_served(path, page):
    (page / "folder").mkdir()
    with served(page) as port:
        assert answer(port, path)[0] == 404


def test_the_server_is_this_machines_alone(page):
    with program("serve").server(page, 0) as server:
        assert server.server_address[0] == "127.0.0.1"


def test_a_port_in_use_and_a_missing_page_are_one_line(page, tmp_path):
    serve = program("serve")
    with served(page) as port, pytest.raises(SystemExit, match=rf"^serve: The port must be a free one.*: {port}: "):
        serve.main([str(page), "--port", str(port)])
    with pytest.raises(SystemExit, match=r"^serve: The port must be a free one.*Received: 70000: "):
        serve.main([str(page), "--port", "70000"])
    with pytest.raises(SystemExit, match=r"^serve: The folder must hold the page: python export/web/build.py"):
        serve.main([str(tmp_path)])


def test_the_server_ends_by_control_c(page):
    command = [sys.executable, str(WEB / "serve.py"), str(page), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as serving:
        assert serving.stdout.readline().startswith("http://127.0.0.1:")
        try:
            serving.send_signal(signal.SIGINT)
            assert serving.wait(20) == 0
            assert serving.stderr.read() == ""
        finally:
            serving.kill()  # what a shell's background job starts ignores the signal, and would be waited for


def test_the_builder_says_what_is_missing_and_leaves_what_is_there(page, tmp_path, capsys):
    build = program("build")
    with pytest.raises(SystemExit, match=r"^build: LiteRT.js must be there: lucid-keras runtimes install browser"):
        build.main([str(tmp_path / "web"), "--packages", str(tmp_path)])
    assert not (tmp_path / "web").exists()
    build.main([str(page), "--packages", str(tmp_path)])
    assert capsys.readouterr().out == f"{page} stays as it is\n"


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    """The page with a decoder that was hardly trained."""
    if lacking := Browser.lacking():
        pytest.skip(lacking)
    folder = tmp_path_factory.mktemp("built") / "web"
    program("build").main([str(folder), "--filters", "2", "--steps", "20"])
    return folder


def browsed(folder, **request):
    with served(folder) as port:
        command = [*Browser.command(), str(ROOT / "tests/browse.py"), f"http://127.0.0.1:{port}/", chromium()]
        done = subprocess.run(command, input=json.dumps(request), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.runtimes
@pytest.mark.parametrize(
    ("checked", "width", "flags"),
    [(("wasm", "live"), 1280, []), (("wasm", "fast"), 390, []), (("webgpu", "fast"), 390, SOFTWARE_GPU)],
)
def test_the_page_decodes_the_whole_stream(checked, width, flags, web):
    told = browsed(web, checked=checked, width=width, flags=flags)
    assert told["state"] == "done", told["status"]
    assert told["progress"] == 1
    assert decibels(told) > RECIPES["float32"].floor_db
    assert float(told["numbers"]["factor"]) > 0
    times = [float(told["numbers"][name].removesuffix(" ms")) for name in ("p50", "p95", "p99")]
    assert 0 < times[0] <= times[1] <= times[2]
    assert int(told["numbers"]["gaps"]) >= 0  # there was sound
    assert told["drawn"] == [True, True, True]
    assert told["too_wide"] <= 0
    assert told["errors"] == []
    assert told["elsewhere"] == []


def decibels(told):
    return float(told["numbers"]["decibels"].removesuffix(" dB"))


@pytest.fixture
def own(tmp_path):
    """A user's own files, two channels and a latency among them, by the fields that take them."""
    outputs = np.load(GOLDEN / "outputs.npz")
    np.save(tmp_path / "input.npy", outputs["codes"])
    np.save(tmp_path / "expected.npy", outputs["keras"])
    return {"input": str(tmp_path / "input.npy"), "expected": str(tmp_path / "expected.npy")}


@pytest.mark.runtimes
@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("golden/live/variables.tflite", "Received: Element type BOOL is not supported."),
        ("golden/live/explicit.tflite", "Received: no recurrence_cell from `initial_state`"),
        ("golden/whole/float32.tflite", "Received: a file without a signature `step`, which live ones have"),
        ("golden/live/manifest.json", "Received: Failed to load model from buffer"),
    ],
)
def test_a_file_that_is_not_for_the_page_is_one_line(file, said, own, web):
    told = browsed(web, width=390, files={"file": str(ROOT / "saved_models" / file), **own})
    assert told["state"] == "failed"
    assert told["status"].endswith(said)


@pytest.mark.runtimes
@pytest.mark.parametrize("states", ["explicit", "variables"])
def test_a_decoder_of_ones_own(states, own, web, tmp_path):
    streaming = lk.StreamingModel(keras.models.load_model(GOLDEN / "decoder.keras"))
    report = lk.export.streaming_to_tflite(streaming, tmp_path / "live.tflite", states=states, timing_seconds=0)
    own["file"] = str(report.path)
    told = browsed(web, width=390, files=own)
    assert told["state"] == "done", told["status"]
    assert decibels(told) > RECIPES["float32"].floor_db
    assert told["errors"] == []
