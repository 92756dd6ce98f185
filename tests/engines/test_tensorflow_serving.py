"""TensorFlow Serving's protocol: the recipe's requests, over gRPC and REST, to a server that speaks as it does.

Its binary cannot be had where this runs; messages and service are its own, of `tensorflow-serving-api`.
"""

import concurrent.futures
import http.server
import json
import runpy
import sys
import threading

import grpc
import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT, drawn
from google.protobuf import text_format
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
from tensorflow_serving.config import model_server_config_pb2

REQUEST = ROOT / "export/serving/request.py"


class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
    """`Predict` of the models by name, each the default signature of a SavedModel."""

    def __init__(self, models):
        self.models = models

    def Predict(self, request, context):  # noqa: N802, as the service has it
        if request.model_spec.name not in self.models:
            context.abort(
                grpc.StatusCode.NOT_FOUND, f"Servable not found for request: Latest({request.model_spec.name})"
            )
        function = self.models[request.model_spec.name].signatures[request.model_spec.signature_name]
        outputs = function(**{name: tf.constant(tf.make_ndarray(proto)) for name, proto in request.inputs.items()})
        response = predict_pb2.PredictResponse()
        for name, tensor in outputs.items():
            response.outputs[name].CopyFrom(tf.make_tensor_proto(tensor))
        return response


def rest(models):
    """`POST /v1/models/NAME:predict` of rows, as its REST interface has it."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            name = self.path.removeprefix("/v1/models/").removesuffix(":predict")
            given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            function = models[name].signatures["serving_default"]
            (x,) = function.structured_input_signature[1]
            (y,) = function(**{x: tf.constant(given["instances"], tf.float32)}).values()
            body = json.dumps({"predictions": y.numpy().tolist()}).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    return http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)


@pytest.fixture(scope="module")
def servers(served):
    """The addresses over gRPC and REST."""
    models = {"upsampler": tf.saved_model.load(str(served.saved_model))}
    over_grpc = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Service(models), over_grpc)
    port = over_grpc.add_insecure_port("127.0.0.1:0")
    over_grpc.start()
    over_rest = rest(models)
    threading.Thread(target=over_rest.serve_forever, daemon=True).start()
    yield {"--grpc": f"127.0.0.1:{port}", None: f"http://127.0.0.1:{over_rest.server_port}"}
    over_grpc.stop(0)
    over_rest.shutdown()


def request(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", [str(REQUEST), *map(str, arguments)])
    runpy.run_path(str(REQUEST), run_name="__main__")


@pytest.mark.parametrize("way", ["--grpc", None])
def test_a_request(way, served, servers, tmp_path, monkeypatch):
    x = np.stack(drawn([50, 50]))
    np.save(tmp_path / "x.npy", x)
    name = served.model.inputs[0].name
    options = ["--model", "upsampler", "--input", name, "--server", servers[way]]
    request(monkeypatch, tmp_path / "x.npy", tmp_path / "y.npy", *options, *([way] if way else []))
    y = np.load(tmp_path / "y.npy")
    assert all(served.is_right(*pair) for pair in zip(x, y, strict=True))


def test_a_model_that_is_not_served_is_one_line(servers, tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", np.stack(drawn([50])))
    options = "--model", "another", "--server", servers["--grpc"], "--grpc"
    with pytest.raises(SystemExit, match=r"request: .*Servable not found"):
        request(monkeypatch, tmp_path / "x.npy", tmp_path / "y.npy", *options)


def test_the_configuration_is_the_servers_own():
    """Parsed by its own message."""
    text = (ROOT / "export/serving/models.config").read_text()
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    (model,) = config.model_config_list.config
    assert (model.model_platform, model.base_path) == ("tensorflow", f"/models/{model.name}")
