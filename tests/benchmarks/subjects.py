"""What is timed: each subject makes, for a case, a call to time and a result to check; None where it cannot.

A subject takes `(case, data, mode)`, `mode` "forward" or "train", and returns `(call, results)`: `call()` runs once and
ends only when the numbers are there; `results()` gives `y`, or `dx, dweight, dbias`, channels first, for the parity
check. Frameworks are imported inside, for each process times one.
"""

import numpy as np


def _tensorflow(case, data, mode, *, jit_compile=None, lowering="auto"):
    """Our layer in a graph, under XLA, or (jit_compile None) called eagerly, as a user calls it."""
    import tensorflow as tf

    import lucid_keras as lk

    layer = lk.ConvTranspose1d(**case.layer_arguments, lowering=lowering)
    layer.weight.assign(data.weight)
    layer.bias.assign(data.bias)
    return _timed_tensorflow(tf, layer, [layer.weight, layer.bias], data, mode, jit_compile)


def _timed_tensorflow(tf, layer, variables, data, mode, jit_compile):
    x, dy = tf.constant(data.x), tf.constant(data.dy)

    def train(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(layer(x) * dy)
        return tape.gradient(loss, [x, *(variable.value for variable in variables)])

    function = layer if mode == "forward" else train
    if jit_compile is not None:
        function = tf.function(function, jit_compile=jit_compile, autograph=False)

    def call():
        return [tensor[..., :1].numpy() for tensor in tf.nest.flatten(function(x))]  # waits for the numbers

    return call, lambda: [tensor.numpy() for tensor in tf.nest.flatten(function(x))]


def _keras(case, data, mode):
    """`keras.layers.Conv1DTranspose` where it can express the case: its padding, no groups, stride or dilation."""
    import keras
    import tensorflow as tf

    same = case.kernel_size - case.stride == 2 * case.padding and case.dilation == 1
    if case.groups > 1 or case.output_padding or (case.stride > 1 < case.dilation) or not (same or case.padding == 0):
        return None
    layer = keras.layers.Conv1DTranspose(
        case.out_channels,
        case.kernel_size,
        case.stride,
        "valid" if case.padding == 0 else "same",
        data_format="channels_last",
        dilation_rate=case.dilation,
    )
    layer.build((None, case.length, case.in_channels))
    layer.kernel.assign(np.transpose(data.weight, [2, 1, 0]))
    layer.bias.assign(data.bias)
    last = type(data)(np.moveaxis(data.x, 1, 2), data.weight, data.bias, np.moveaxis(data.dy, 1, 2))
    call, results = _timed_tensorflow(tf, layer, [layer.kernel, layer.bias], last, mode, jit_compile=False)

    def channels_first():
        y, *rest = results()
        return [np.moveaxis(y, 1, 2)] + [np.transpose(r, [2, 1, 0]) if r.ndim == 3 else r for r in rest]

    return call, channels_first


def _torch(case, data, mode, *, compiled=False):
    import torch

    torch.set_num_threads(2)
    inference = mode == "forward"
    x, weight, bias = (torch.tensor(a, requires_grad=not inference) for a in (data.x, data.weight, data.bias))
    dy = torch.tensor(data.dy)

    def forward(x):
        return torch.nn.functional.conv_transpose1d(x, weight, bias, **case.parameters)

    forward = torch.compile(forward) if compiled else forward

    def call():
        if inference:
            with torch.inference_mode():
                return [forward(x)]
        return torch.autograd.grad(forward(x), [x, weight, bias], dy)

    return call, lambda: [tensor.detach().numpy() for tensor in call()]


def _litert(case, data, mode, *, lowering="auto", int8=False):
    """A file of the layer, channels last as a phone has it; int8 is quantised whole, calibrated on its own input."""
    import tensorflow as tf

    import lucid_keras as lk
    from lucid_keras._lowering.target import lowering_for

    if mode != "forward":
        return None
    layer = lk.ConvTranspose1d(**case.layer_arguments, lowering=lowering, data_format="channels_last")
    layer.weight.assign(data.weight)
    layer.bias.assign(data.bias)
    x = np.ascontiguousarray(np.moveaxis(data.x, 1, 2))
    function = tf.function(lambda x: layer(x), input_signature=[tf.TensorSpec(x.shape)], autograph=False)
    with lowering_for("litert"):
        concrete = function.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], function)
    if int8:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: iter([[x]])
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    call, result, _ = _interpreted(converter.convert(), x)
    return call, lambda: [np.moveaxis(result(), 1, 2)]


def _interpreted(content, x):
    from lucid_keras.export.litert import interpreter

    loaded = interpreter(content, threads=2)
    (source,), (target,) = loaded.get_input_details(), loaded.get_output_details()
    scale, zero = source["quantization"]
    if scale:
        x = np.clip(np.round(x / scale) + zero, -128, 127).astype(np.int8)
    loaded.set_tensor(source["index"], x)

    def result():
        loaded.invoke()
        y = loaded.get_tensor(target["index"])
        scale, zero = target["quantization"]
        return (y.astype(np.float32) - zero) * scale if scale else y

    return loaded.invoke, result, loaded


def _onnxruntime(case, data, mode):
    """ONNX's ConvTranspose, the node that PyTorch's exporter writes."""
    import onnx
    import onnxruntime
    from onnx import helper, numpy_helper

    if mode != "forward":
        return None
    attributes = {"strides": [case.stride], "pads": [case.padding] * 2, "output_padding": [case.output_padding]}
    attributes |= {"group": case.groups, "dilations": [case.dilation]}
    kind = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("ConvTranspose", ["x", "weight", "bias"], ["y"], **attributes)],
        "layer",
        [helper.make_tensor_value_info("x", kind, data.x.shape)],
        [helper.make_tensor_value_info("y", kind, data.dy.shape)],
        [numpy_helper.from_array(getattr(data, name), name) for name in ("weight", "bias")],
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    call = lambda: session.run(None, {"x": data.x})  # noqa: E731
    return call, call


def product_shape(case, batch):
    """Rows, inner and columns of the matrix product that multiplies and adds as often as the case."""
    inner = max(round(case.in_channels * case.kernel_size / (case.stride * case.groups)), 1)
    return batch * case.length, inner, case.stride * case.out_channels


def _ceiling_tensorflow(case, data, mode):
    import tensorflow as tf

    rows, inner, columns = product_shape(case, len(data.x))
    a, b, dy = (tf.random.normal(shape) for shape in ([rows, inner], [inner, columns], [rows, columns]))

    def train():
        return a @ b, tf.matmul(dy, b, transpose_b=True), tf.matmul(a, dy, transpose_a=True)

    run = tf.function((lambda: a @ b) if mode == "forward" else train, autograph=False)
    return lambda: [tensor[:1, :1].numpy() for tensor in tf.nest.flatten(run())], None


def _ceiling_litert(case, data, mode):
    """One FULLY_CONNECTED with as many multiply-adds."""
    import tensorflow as tf

    if mode != "forward":
        return None
    rows, inner, columns = product_shape(case, len(data.x))
    rng = np.random.default_rng(0)
    kernel = tf.constant(rng.standard_normal((inner, columns)), tf.float32)
    function = tf.function(lambda x: x @ kernel, input_signature=[tf.TensorSpec([rows, inner])], autograph=False)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], function)
    call, _, _ = _interpreted(converter.convert(), rng.standard_normal((rows, inner)).astype(np.float32))
    return call, None


SUBJECTS = {
    "ours eager": _tensorflow,
    "ours graph": lambda *a: _tensorflow(*a, jit_compile=False),
    "ours XLA": lambda *a: _tensorflow(*a, jit_compile=True),
    "ours conv2d_transpose": lambda *a: _tensorflow(*a, jit_compile=False, lowering="conv2d_transpose"),
    "Keras": _keras,
    "torch": _torch,
    "torch.compile": lambda *a: _torch(*a, compiled=True),
    "TF product": _ceiling_tensorflow,
    "ours LiteRT": _litert,
    "ours LiteRT int8": lambda *a: _litert(*a, int8=True),
    "TRANSPOSE_CONV": lambda *a: _litert(*a, lowering="conv2d_transpose"),
    "TRANSPOSE_CONV int8": lambda *a: _litert(*a, lowering="conv2d_transpose", int8=True),
    "ONNX Runtime": _onnxruntime,
    "LiteRT product": _ceiling_litert,
}
