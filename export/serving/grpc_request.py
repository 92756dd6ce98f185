"""Send an array to a served model over gRPC and save what comes back. Needs `pip install tensorflow-serving-api`.

python grpc_request.py INPUT.npy OUTPUT.npy [--model vocoder] [--input mel] [--server localhost:8500]
"""

import argparse
import sys

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc


def predict(server, model, name, array):
    """The model's outputs by name for its one input, a batch `[batch, ...]`."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = "serving_default"
    request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
    with grpc.insecure_channel(server, options=[("grpc.max_receive_message_length", -1)]) as channel:
        response = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=60)
    return {key: tf.make_ndarray(value) for key, value in response.outputs.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("array", help="the .npy file of the input")
    parser.add_argument("output")
    parser.add_argument("--model", default="vocoder")
    parser.add_argument("--input", default="mel", help="the input's name in the signature")
    parser.add_argument("--server", default="localhost:8500")
    arguments = parser.parse_args()
    try:
        outputs = predict(arguments.server, arguments.model, arguments.input, np.load(arguments.array))
    except (grpc.RpcError, OSError, ValueError) as error:
        sys.exit(f"grpc_request: {error}")
    np.save(arguments.output, next(iter(outputs.values())))


if __name__ == "__main__":
    main()
