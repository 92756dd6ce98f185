"""A guest: a `.tflite` file under LiteRT's interpreter, or under TensorFlow Lite's before it had that name."""

import importlib.metadata

from channel import median, serve

try:
    from ai_edge_litert.interpreter import Interpreter

    VERSION = importlib.metadata.version("ai-edge-litert")
except ImportError:
    from tflite_runtime.interpreter import Interpreter

    VERSION = importlib.metadata.version("tflite-runtime")


class Opened:
    """The file's signatures, its nodes and the names of its tensors."""

    version = VERSION
    device = None

    def __init__(self, path, options):
        self._interpreter = Interpreter(model_path=path, num_threads=options["threads"])
        self._interpreter.allocate_tensors()

    def run(self, signature, inputs):
        return self._interpreter.get_signature_runner(signature)(**inputs)

    def milliseconds(self, signature, seconds, inputs):
        runner = self._interpreter.get_signature_runner(signature)
        return median(lambda: runner(**inputs), seconds)

    def found(self):
        tensors = {one["index"]: one["name"] for one in self._interpreter.get_tensor_details()}
        return {"nodes": [_told(node) for node in self._interpreter._get_ops_details()], "tensors": tensors}


def _told(node):
    ends = {key: [int(one) for one in node[key]] for key in ("inputs", "outputs")}
    return {"index": node["index"], "op_name": node["op_name"]} | ends


serve(Opened)
