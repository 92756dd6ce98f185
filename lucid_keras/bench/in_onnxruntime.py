"""A subject in ONNX Runtime: the ConvTranspose node that PyTorch's exporter writes."""

import onnx
import onnxruntime
from onnx import helper, numpy_helper

from lucid_keras.bench.prepared import Prepared, held_bytes

OPSET, IR_VERSION = 17, 9


def conv_transpose(workload, arrays, threads):
    """One node in a session of its own."""
    content = model(workload, arrays).SerializeToString()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    load = lambda: onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])  # noqa: E731
    session = load()
    call = lambda: session.run(None, {"x": arrays.x})  # noqa: E731
    afresh = lambda: load().run(None, {"x": arrays.x})  # noqa: E731
    return Prepared(call, call, held_bytes(workload, arrays), afresh)


def model(workload, arrays):
    """The layer as an ONNX model of one node."""
    attributes = {"strides": [workload.stride], "pads": [workload.padding] * 2, "group": workload.groups}
    attributes |= {"dilations": [workload.dilation], "output_padding": [workload.output_padding]}
    kind = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("ConvTranspose", ["x", "weight", "bias"], ["y"], **attributes)],
        "layer",
        [helper.make_tensor_value_info("x", kind, arrays.x.shape)],
        [helper.make_tensor_value_info("y", kind, arrays.dy.shape)],
        [numpy_helper.from_array(getattr(arrays, name), name) for name in ("weight", "bias")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
