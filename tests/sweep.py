"""One part of the sweep over the whole legal space, in a process of its own: `python sweep.py PART`.

XLA keeps each program that it compiled mapped, some fifty mappings a configuration, and a process has 65,530
(vm.max_map_count on Linux); one that had run nine hundred configurations died. So a part is 100 of them, and each part
has its own process.
"""

import sys

import arrays
import numpy as np
import tensorflow as tf
from cases import random_case
from test_lowerings import assert_exact, tensors_of, value_and_gradients

from lucid_keras._lowering.lowerings import LOWER

CONFIGURATIONS = 100


def sweep(part):
    """Every lowering, jitted and not, forward and gradients, exactly; none of the configurations drawn is excluded."""
    rng = np.random.default_rng(part)
    for _ in range(CONFIGURATIONS):
        case = random_case(rng)
        data = arrays.integers(case, rng, dtype=str(rng.choice(["float32", "float64"])))
        for lowering in LOWER:
            for jit_compile in (False, True):
                compute = value_and_gradients(case, data, lowering)
                compiled = tf.function(compute, jit_compile=jit_compile, autograph=False)
                try:
                    assert_exact(case, data, compiled(*tensors_of(data)))
                except BaseException as error:
                    error.add_note(f"{case}, {lowering}, jit_compile={jit_compile}")
                    raise
    print(f"{CONFIGURATIONS} configurations agree")


if __name__ == "__main__":
    sweep(int(sys.argv[1]))
