"""A guest: a `.tflite` file under LiteRT's CompiledModel, on the processor or the GPU."""

import functools
import importlib.metadata
import operator

import numpy as np
from ai_edge_litert.compiled_model import CompiledModel, HardwareAccelerator
from channel import median, serve


class Opened:
    """The file's signatures, a buffer for each input and output."""

    version = importlib.metadata.version("ai-edge-litert")
    device = None

    def __init__(self, path, options):
        accelerators = [HardwareAccelerator[name] for name in options["accelerators"]]
        self._model = CompiledModel.from_file(path, hardware_accel=functools.reduce(operator.or_, accelerators))
        self._buffers = {}

    def run(self, signature, inputs):
        given, gives = self._filled(signature, inputs)
        self._model.run_by_name(signature, given, gives)
        details = self._model.get_output_tensor_details(signature)
        return {name: _array(buffer, details[name]) for name, buffer in gives.items()}

    def milliseconds(self, signature, seconds, inputs):
        given, gives = self._filled(signature, inputs)
        return median(lambda: self._model.run_by_name(signature, given, gives), seconds)

    def _filled(self, signature, inputs):
        details = self._model.get_input_tensor_details(signature)
        resized = [name for name, array in inputs.items() if list(array.shape) != list(details[name]["shape"])]
        for name in resized:
            self._model.resize_input_tensor_by_name(signature, name, inputs[name].shape)
        if resized or signature not in self._buffers:
            names = self._model.get_signature_list()[signature]
            self._buffers[signature] = (
                {name: self._model.create_input_buffer_by_name(signature, name) for name in names["inputs"]},
                {name: self._model.create_output_buffer_by_name(signature, name) for name in names["outputs"]},
            )
        given, gives = self._buffers[signature]
        for name, buffer in given.items():
            buffer.write(np.ascontiguousarray(inputs[name]))
        return given, gives


def _array(buffer, detail):
    shape = tuple(detail["shape"])
    return buffer.read(int(np.prod(shape)), np.dtype(detail["dtype"])).reshape(shape)


serve(Opened)
