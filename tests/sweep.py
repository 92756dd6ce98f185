"""One part of the sweep over the whole legal space, in a process of its own: `python sweep.py DTYPE PART`.

XLA keeps each program that it compiled mapped, some fifty mappings a program, and a process has 65,530
(vm.max_map_count on Linux); one that had compiled thousands died. So each part has its own process.

Tracing and compiling are what it costs, so a lowering takes a configuration in one mode, whose turn it is: of ten
thousand configurations each lowering is compiled by XLA in 2,500, runs eagerly in as many, and in graphs in 5,000.
"""

import itertools
import sys

import arrays
import keras
import numpy as np
import tensorflow as tf
from cases import random_case
from test_lowerings import assert_exact

from lucid_keras import ConvTranspose1d
from lucid_keras._lowering.lowerings import LOWER

POLICIES = ("bfloat16", "float16", "float32", "float64", "mixed_bfloat16")
CONFIGURATIONS, PARTS = 200, 10  # of each policy: configurations a part
MODES = {
    "eager": lambda compute: compute,
    "graph": lambda compute: tf.function(compute, autograph=False),
    "xla": lambda compute: tf.function(compute, autograph=False, jit_compile=True),
}
TURNS = ("eager", "graph", "xla", "graph", "eager")  # no common factor with LOWER, so that every pair has its turn


def sweep(policy, part):
    """Every lowering in every mode, forward and gradients, exactly; none of the configurations drawn is excluded."""
    rng, policy = np.random.default_rng([POLICIES.index(policy), part]), keras.DTypePolicy(policy)
    turns = itertools.cycle(TURNS)
    for _ in range(CONFIGURATIONS):
        case = random_case(rng)
        data = arrays.integers(case, rng, policy.compute_dtype)
        for lowering, mode in zip(LOWER, turns, strict=False):
            try:
                assert_exact(case, data, value_and_gradients(case, data, lowering, policy, MODES[mode]))
            except BaseException as error:
                error.add_note(f"{case}, {policy.name}, {lowering}, {mode}")
                raise
    print(f"{CONFIGURATIONS} configurations agree")


def value_and_gradients(case, data, lowering, policy, mode):
    """The layer's output and its gradients along `dy` by the input and the variables."""
    layer = ConvTranspose1d(**case.layer_arguments, lowering=lowering, dtype=policy)
    layer.set_weights([array for array in (data.weight, data.bias) if array is not None])

    def compute(x, dy):
        sources = [x, *layer.trainable_variables]
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
        return y, tape.gradient(y, sources, output_gradients=dy)

    return mode(compute)(tf.constant(data.x, policy.variable_dtype), tf.constant(data.dy))


if __name__ == "__main__":
    sweep(sys.argv[1], int(sys.argv[2]))
