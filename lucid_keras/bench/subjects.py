"""Who is timed: each subject's name, the function that prepares it, what it needs, and what it cannot express."""

import dataclasses
import importlib
import importlib.util
import os
from typing import Any

from lucid_keras.bench.workload import MODES, Workload

LITERT_TORCH = "LUCID_KERAS_LITERT_TORCH"  # the path of a Python that has litert-torch
LOWERINGS = ("conv2d_transpose", "fast_fir", "overlap_add", "polyphase")  # what `_lowering` has, without its TensorFlow


@dataclasses.dataclass(frozen=True)
class Subject:
    """`function` of `module` prepares it, given a workload, its arrays and a number of threads, with `options`.

    `needs` are top-level packages, `modes` what it can do, `tolerance` the error that passes, as the judge's function
    `measure` has it: the largest, relative to the largest magnitude, of float32 sums of up to a hundred thousand terms;
    or the root mean square of int8, whose ranges clip the few largest numbers for the sake of all others.
    """

    module: str
    function: str
    options: dict = dataclasses.field(default_factory=dict)
    needs: tuple[str, ...] = ()
    modes: tuple[str, ...] = MODES
    tolerance: float = 1e-4
    measure: str = "largest_error"

    def allowed(self, mode):
        """The tolerance; for a training step five times that: a bias's gradient sums every position of the batch."""
        return self.tolerance * (5 if mode == "train" else 1)

    def prepare(self, workload, arrays, threads):
        """A `Prepared`; imports the subject's framework, so that a process holds one."""
        module = importlib.import_module(f"lucid_keras.bench.{self.module}")
        return getattr(module, self.function)(workload, arrays, threads, **self.options)


LITERT: dict[str, Any] = {"module": "in_litert", "needs": ("ai_edge_litert",), "modes": ("forward",)}
INT8 = {**LITERT, "tolerance": 0.03, "measure": "mean_error"}

SUBJECTS = {
    "ours eager": Subject("in_tensorflow", "ours", {"graph": False}),
    "ours graph": Subject("in_tensorflow", "ours"),
    "ours XLA": Subject("in_tensorflow", "ours", {"jit_compile": True}),
    "ours channels last": Subject("in_tensorflow", "ours", {"data_format": "channels_last"}),
    "ours XLA channels last": Subject("in_tensorflow", "ours", {"data_format": "channels_last", "jit_compile": True}),
    **{f"ours {name}": Subject("in_tensorflow", "ours", {"lowering": name}) for name in LOWERINGS},
    "Keras": Subject("in_tensorflow", "keras_layer"),
    "Keras XLA": Subject("in_tensorflow", "keras_layer", {"jit_compile": True}),
    "torch": Subject("in_torch", "layer", needs=("torch",)),
    "torch.compile": Subject("in_torch", "layer", {"compiled": True}, needs=("torch",)),
    "TF product": Subject("in_tensorflow", "product"),
    "ours LiteRT": Subject(function="ours", **LITERT),
    "ours LiteRT int8": Subject(function="ours", options={"recipe": "int8"}, **INT8),
    "TRANSPOSE_CONV": Subject(function="ours", options={"lowering": "conv2d_transpose"}, **LITERT),
    "TRANSPOSE_CONV int8": Subject(function="ours", options={"lowering": "conv2d_transpose", "recipe": "int8"}, **INT8),
    "litert-torch": Subject(function="litert_torch", **LITERT),
    "ONNX Runtime": Subject("in_onnxruntime", "conv_transpose", needs=("onnx", "onnxruntime"), modes=("forward",)),
    "LiteRT product": Subject(function="product", **LITERT),
    "LiteRT product int8": Subject(function="product", options={"recipe": "int8"}, **INT8),
}


def prepared(name, workload, threads):
    """What a worker times: the subject's `Prepared` for a workload as a dict."""
    workload = Workload(**workload)
    return SUBJECTS[name].prepare(workload, workload.arrays(), threads)


def option(name):
    """A subject's name as one types it: small letters, hyphens for blanks."""
    return name.lower().replace(" ", "-")


def named(text):
    """The subject's name that `text` is, typed either way; raises for none."""
    for name in SUBJECTS:
        if option(name) == option(text):
            return name
    raise ValueError(f"A subject must be one of {', '.join(map(option, SUBJECTS))}. Received: {text}")


def refusal(name, workload):
    """Why a subject is not even tried on a workload; None if it is."""
    subject = SUBJECTS[name]
    missing = [package for package in subject.needs if importlib.util.find_spec(package) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    if workload.mode not in subject.modes:
        return "does not train"
    if subject.function == "litert_torch" and not os.path.isfile(os.environ.get(LITERT_TORCH, "")):
        return f"{LITERT_TORCH} names no Python that has litert-torch"
    if subject.function == "keras_layer":
        return _keras_refusal(workload)
    return None


def _keras_refusal(workload):
    """What `keras.layers.Conv1DTranspose` cannot express: it pads "same", centred, or not at all."""
    extent = workload.kernel_extent
    if workload.groups > 1:
        return "has no groups"
    if workload.stride > 1 and workload.dilation > 1:
        return "refuses a stride with dilation"
    if workload.output_padding:
        return "has no such output padding"
    if extent < workload.stride or workload.padding not in (0, (extent - workload.stride) / 2):
        return "has no such padding"
    return None
