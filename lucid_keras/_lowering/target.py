"""The runtime that the graph being traced is for: what an exporter says, or else XLA or TensorFlow's own kernels."""

import contextlib
import contextvars

import tensorflow as tf

_exported_to = contextvars.ContextVar("lucid_keras_target", default=None)


def current_target():
    """An exporter's target within an export; otherwise "xla" in a graph it will compile, or "tensorflow"."""
    return _exported_to.get() or ("xla" if _compiled_by_xla() else "tensorflow")


@contextlib.contextmanager
def lowering_for(target):
    """Within the block, graphs are traced for `target`: "saved_model", "xla" or "litert"."""
    token = _exported_to.set(target)
    try:
        yield
    finally:
        _exported_to.reset(token)


def trained_on_cpu():
    """Whether a gradient of the graph being traced will run here and on the CPU, as far as anyone can know."""
    return _exported_to.get() is None and all(
        device.device_type == "CPU" for device in tf.config.list_logical_devices()
    )


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
