"""Send an array to a served model over REST and save what comes back.

python rest_request.py INPUT.npy OUTPUT.npy [--model vocoder] [--server http://localhost:8501]
"""

import argparse
import json
import sys
import urllib.error
import urllib.request

import numpy as np


def predict(server, model, array):
    """The model's one output for its one input, a batch `[batch, ...]`."""
    body = json.dumps({"instances": array.tolist()}).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{server}/v1/models/{model}:predict", data=body, headers=headers)
    with urllib.request.urlopen(request, timeout=60) as response:
        return np.asarray(json.load(response)["predictions"], array.dtype)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("input")
    parser.add_argument("output")
    parser.add_argument("--model", default="vocoder")
    parser.add_argument("--server", default="http://localhost:8501")
    arguments = parser.parse_args()
    try:
        np.save(arguments.output, predict(arguments.server, arguments.model, np.load(arguments.input)))
    except (urllib.error.URLError, OSError, ValueError) as error:
        sys.exit(f"rest_request: {error}")


if __name__ == "__main__":
    main()
