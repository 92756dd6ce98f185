"""Write StableHLO programs and the numbers that they must give, for `pjrt.py` to run elsewhere.

For each case a forward program and a training step (the gradients of input, weight and bias), with the weights among
their parameters, in float32 and bfloat16; and where its weights are small, the folder that
`lucid_keras.export.to_stablehlo` makes, which holds them. The inputs are drawn again on the other machine, from a
generator whose numbers a hash confirms; of the expected numbers a sample is kept, so that all fits in a few megabytes.
"""

import argparse
import dataclasses
import json
import pathlib

import keras
import numpy as np
import tensorflow as tf

import lucid_keras as lk
from benchmarks.named import NAMED
from benchmarks.pjrt import NAMES, digest, inputs, sampled
from lucid_keras._lowering.target import lowering_for
from lucid_keras.bench.rounds import wanted

EXPORTED_BYTES = 2**22  # of weights, above which the exported folder is left out


def write(folder, names, batches, lowerings):
    """A folder for each case and mode."""
    for name in names:
        for mode, batch in batches.items():
            workload = dataclasses.replace(NAMED[name], batch=batch, mode=mode)
            target = pathlib.Path(folder) / f"{name}-{mode}"
            target.mkdir(parents=True, exist_ok=True)
            _write_case(target, name, workload)
            for lowering in lowerings:
                for dtype in ("float32", "bfloat16"):
                    (target / f"{lowering}-{dtype}.stablehlo").write_bytes(program(workload, dtype, lowering))
            print(target)


def _write_case(target, name, workload):
    """What the other machine needs to know, and the numbers that the programs must give."""
    arrays = workload.arrays()
    shapes = {key: list(getattr(arrays, key).shape) for key in ("x", "weight", "bias", "dy")}
    case = {"name": name, "mode": workload.mode, "batch": workload.batch, "layer": workload.layer_arguments}
    case |= {"shapes": shapes, "product": workload.product_shape}
    drawn = inputs(case)
    case["sha256"] = digest(drawn)
    expected = wanted(workload, type(arrays)(**drawn))
    case["peaks"] = [float(np.abs(one).max()) for one in expected]
    np.savez(target / "expected.npz", *map(sampled, expected))
    (target / "case.json").write_text(json.dumps(case, indent=1) + "\n")
    if workload.mode == "forward" and arrays.weight.nbytes <= EXPORTED_BYTES:
        _export(target / "exported", workload, drawn)


def _export(path, workload, drawn):
    """The folder that a user of the exporter has: the weights inside."""
    layer = lk.ConvTranspose1d(**workload.layer_arguments)
    layer.weight.assign(drawn["weight"])
    layer.bias.assign(drawn["bias"])
    model = keras.Sequential([keras.Input(drawn["x"].shape[1:], name="x"), layer])
    if not path.exists():
        lk.export.to_stablehlo(model, path, batch=workload.batch, timing_seconds=0)


def program(workload, dtype, lowering):
    """The serialized StableHLO of a jitted forward pass or training step, its arrays the parameters."""

    def forward(x, weight, bias):
        return lk.conv_transpose1d(x, weight, bias, **workload.parameters, lowering=lowering)

    def train(x, weight, bias, dy):
        with tf.GradientTape() as tape:
            tape.watch([x, weight, bias])
            y = forward(x, weight, bias)
        return tape.gradient(y, [x, weight, bias], output_gradients=dy)

    specs = [tf.TensorSpec(getattr(workload.shapes, name), dtype) for name in NAMES[workload.mode]]
    function = tf.function(train if workload.mode == "train" else forward, jit_compile=True, autograph=False)
    with lowering_for("xla"):  # for a device that is not here
        return function.experimental_get_compiler_ir(*specs)(stage="stablehlo_serialized")


def main():
    """Parse and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pjrt_write", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--cases", nargs="+", default=list(NAMED), choices=list(NAMED))
    parser.add_argument("--forward-batch", type=int, default=8)
    parser.add_argument("--train-batch", type=int, default=16)
    parser.add_argument("--lowerings", nargs="+", default=["auto", "conv2d_transpose"])
    parsed = parser.parse_args()
    batches = {"forward": parsed.forward_batch, "train": parsed.train_batch}
    write(parsed.folder, parsed.cases, batches, parsed.lowerings)


if __name__ == "__main__":
    main()
