"""What a training step spends besides its products: `python -m benchmarks.training_profile`, beside `training.json`.

TensorFlow's own profiler says how long each operation took, on one of its threads; what the operations are for, their
kinds say. What no operation computes is the rest of the time: Python, the data, and waiting.
"""

import collections
import json
import pathlib
import re
import tempfile

import numpy as np
import tensorflow as tf
from tensorflow.tsl.profiler.protobuf.xplane_pb2 import XSpace

from benchmarks import training_subjects
from benchmarks.training_cases import CASES

RESULTS = pathlib.Path(__file__).with_name("training_profile.json")
OPERATION = re.compile(r"(.*[^:]):(\w+)")  # of the graph's node, and of its kind
KINDS = {
    "products": "Conv|MatMul|Einsum",
    "optimizer": "Adam",
    "copies": "Transpose|Slice|Pad|Concat|Reverse|Pack|Split|Tile|Gather|TensorList|Reshape|Fill|Shape|Identity|Zeros",
    "functions": "While|If|PartitionedCall",  # which contain the others
}
REST = "pointwise and sums"


def kind(node, operation):
    """What an operation is for."""
    text = f"{operation} Adam" if "adam" in node.lower() else operation
    return next((name for name, pattern in KINDS.items() if re.search(pattern, text)), REST)


def profiled(call):
    """The share of the time in which a call's operations run, by kind; and how much of the time none does."""
    with tempfile.TemporaryDirectory() as folder:
        options = tf.profiler.experimental.ProfilerOptions(host_tracer_level=2)
        with tf.profiler.experimental.Profile(folder, options=options):
            call()
        (path,) = pathlib.Path(folder).rglob("*.xplane.pb")
        space = XSpace.FromString(path.read_bytes())
    (plane,) = (one for one in space.planes if one.name == "/host:CPU")
    spent, intervals = collections.Counter(), []
    for line in plane.lines:
        for event in line.events:
            found = OPERATION.fullmatch(plane.event_metadata[event.metadata_id].name)
            if found and (name := kind(*found.groups())) != "functions":
                spent[name] += event.duration_ps
                begin = line.timestamp_ns * 1000 + event.offset_ps
                intervals.append((begin, begin + event.duration_ps))
    whole = sum(spent.values())
    shares = {name: spent[name] / whole for name in (*(one for one in KINDS if one != "functions"), REST)}
    return shares | {"no operation": 1 - covered(intervals)}


def covered(intervals):
    """The share of the time, from the first beginning to the last end, that lies in one of the intervals."""
    begins, ends = np.array(sorted(intervals), np.float64).T
    reached = np.maximum.accumulate(ends)
    gaps = np.maximum(begins[1:] - reached[:-1], 0).sum()
    return 1 - gaps / (reached[-1] - begins[0])


def main():
    found = {}
    for model in CASES:
        with tempfile.TemporaryDirectory() as folder:
            training_subjects.made(None, model, folder)
            call = training_subjects.prepared("ours", model, folder).call
            call()
            found[model] = profiled(call)
        print(model, found[model])
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
