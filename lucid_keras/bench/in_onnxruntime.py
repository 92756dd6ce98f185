"""A subject in ONNX Runtime: the ConvTranspose node that PyTorch's exporter writes."""

import onnx
import onnxruntime
from onnx import helper, numpy_helper

from lucid_keras.bench.prepared import Prepared, held_bytes

OPSET, IR_VERSION = 17, 9


def conv_transpose(workload, arrays, threads):
    """One node in a session of its own, its input bound as LiteRT's lies in the interpreter."""
    content = model(workload, arrays).SerializeToString()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads

    def bound():
        session = onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])
        binding = session.io_binding()
        binding.bind_cpu_input("x", arrays.x)
        binding.bind_output("y")
        return lambda: session.run_with_iobinding(binding), binding

    call, binding = bound()
    call()
    return Prepared(call, binding.copy_outputs_to_cpu, held_bytes(workload, arrays), lambda: bound()[0]())


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
