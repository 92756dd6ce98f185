"""Gradients of our own for parts of a graph, which let go of the graph.

TensorFlow registers each custom gradient for as long as the process lives, and what it registers holds on to the
tensors around it: to the whole graph, and with it to the weights of every model that was ever traced.
"""

import weakref

import tensorflow as tf


def with_gradient(compute, backward, *inputs):
    """`compute(*inputs)`, whose gradients are `backward(dy, *inputs)`; neither function may close over a tensor."""
    result = []

    @tf.custom_gradient
    def forward(*inputs):
        references = [weakref.ref(tensor) for tensor in inputs]
        result.append(compute(*inputs))
        return result, lambda dy: backward(dy, *(reference() for reference in references))

    (y,) = forward(*inputs)
    result[0] = None  # TensorFlow's registered closure has this very list, of which it needs the structure alone
    return y
