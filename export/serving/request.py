"""Send an array to a served model over REST or gRPC and save what comes back.

python request.py INPUT.npy OUTPUT.npy [--grpc] [--model vocoder] [--input mel] [--server http://localhost:8501]

REST needs NumPy alone, gRPC `pip install tensorflow-serving-api`.
"""

import argparse
import json
import sys
import urllib.request

import numpy as np


def over_rest(server, model, name, array):
    """The model's one output for its one input, a batch `[batch, ...]`."""
    body = json.dumps({"instances": array.tolist()}).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{server}/v1/models/{model}:predict", data=body, headers=headers)
    with urllib.request.urlopen(request, timeout=60) as response:
        return np.asarray(json.load(response)["predictions"], array.dtype)


def over_grpc(server, model, name, array):
    """As `over_rest`, to the input called `name`."""
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = "serving_default"
    request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
    with grpc.insecure_channel(server, options=[("grpc.max_receive_message_length", -1)]) as channel:
        try:
            response = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=60)
        except grpc.RpcError as error:
            raise OSError(error.details()) from None
    return tf.make_ndarray(next(iter(response.outputs.values())))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("array", help="the .npy file of the input")
    parser.add_argument("output")
    parser.add_argument("--grpc", action="store_true", help="gRPC in REST's place")
    parser.add_argument("--model", default="vocoder")
    parser.add_argument("--input", default="mel", help="the input's name in the signature, for gRPC")
    parser.add_argument("--server", help="default: http://localhost:8501, for gRPC localhost:8500")
    given = parser.parse_args()
    predict, server = (over_grpc, "localhost:8500") if given.grpc else (over_rest, "http://localhost:8501")
    try:
        np.save(given.output, predict(given.server or server, given.model, given.input, np.load(given.array)))
    except (ImportError, OSError, ValueError) as error:
        sys.exit(f"request: {error}")


if __name__ == "__main__":
    main()
