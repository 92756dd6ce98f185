"""The runtime that a graph is traced for: what an exporter says, or else XLA or TensorFlow's own kernels.

An operation reads it once, with `current_target`, and hands it down; nothing below it looks around.
"""

import contextlib
import contextvars
import dataclasses

import tensorflow as tf

_exported_to = contextvars.ContextVar("lucid_keras_target", default=None)


DEVICES = {"tpu": "TPU", "cuda": "GPU"}  # what TensorFlow calls them


@dataclasses.dataclass(frozen=True)
class Target:
    """What a graph is traced for."""

    name: str  # "tensorflow" or "xla"; in exported graphs "saved_model", "xla" or "litert"
    trained_on_cpu: bool = False  # whether its gradients will run here and on the CPU, as far as anyone can know
    platform: str = ""  # "cpu", "cuda" or "tpu"; of what is exported without a word about it, unknown


def current_target():
    """An exporter's target within an export; otherwise "xla" in a graph it will compile, or "tensorflow"."""
    if exported_to := _exported_to.get():
        return exported_to
    devices = {device.device_type for device in tf.config.list_logical_devices()}
    platform = next((platform for platform, device in DEVICES.items() if device in devices), "cpu")
    return Target("xla" if _compiled_by_xla() else "tensorflow", devices == {"CPU"}, platform)


@contextlib.contextmanager
def lowering_for(name, platform=""):
    """Within the block, graphs are traced for "saved_model", "xla" or "litert", on a platform if that is known."""
    token = _exported_to.set(Target(name, platform=platform))
    try:
        yield
    finally:
        _exported_to.reset(token)


def _compiled_by_xla():
    """Whether the function being traced, or one around it, has `jit_compile=True`.

    TensorFlow marks such graphs with a control flow context and has no public question for it. Where a version does
    not know the mark, the graph's kernels are chosen: right, and slower under XLA.
    """
    graph = None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
    while graph is not None:
        context = getattr(graph, "_get_control_flow_context", lambda: None)()
        while context is not None:
            if context.IsXLAContext():
                return True
            context = context.outer_context
        graph = getattr(graph, "outer_graph", None)
    return False
