"""The runtime that the graph being traced is for: TensorFlow, unless an exporter says otherwise."""

import contextlib
import contextvars

_target = contextvars.ContextVar("lucid_keras_target", default="tensorflow")


def current_target():
    return _target.get()


@contextlib.contextmanager
def lowering_for(target):
    """Within the block, graphs are traced for `target`: "tensorflow", "saved_model" or "litert"."""
    token = _target.set(target)
    try:
        yield
    finally:
        _target.reset(token)
