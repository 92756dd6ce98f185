"""Run the benchmark: `python -m benchmarks [--cases ...] [--modes ...] [--subjects ...] [--out results.json]`."""

import argparse
import dataclasses
import json
import os
import pathlib

from rich.console import Console
from rich.progress import Progress

from benchmarks.named import NAMED
from lucid_keras.bench.machine import machine
from lucid_keras.bench.rounds import Contest
from lucid_keras.bench.subjects import SUBJECTS, named

BATCHES = {"forward": (1, 8), "train": (4, 16)}
# At the smaller batch everybody; at the larger one, and in training, who is compared with whom there.
PLANNED = {
    ("forward", 1): tuple(SUBJECTS),
    ("forward", 8): (
        "ours graph",
        "ours channels last",
        "Keras",
        "torch",
        "ours LiteRT",
        "TRANSPOSE_CONV",
        "LiteRT product",
    ),
    ("train", 4): (
        "ours graph",
        "ours XLA",
        "ours channels last",
        "ours XLA channels last",
        "ours conv2d_transpose",
        "Keras",
        "Keras XLA",
        "torch",
        "TF product",
    ),
    ("train", 16): ("ours graph", "ours channels last", "Keras", "torch"),
}


def main():
    """Parse, run, and write the results after every case, so that an interrupted run keeps what it has."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Times the operation against its peers.")
    parser.add_argument("--cases", nargs="+", default=list(NAMED), choices=list(NAMED))
    parser.add_argument("--modes", nargs="+", default=list(BATCHES), choices=list(BATCHES))
    parser.add_argument("--batches", nargs="+", type=int, help="default: 1 8 forward, 4 16 training")
    parser.add_argument("--subjects", nargs="+", type=named, help="default: everybody at the smallest batch forward")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.1)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent / "results.json")
    parsed = parser.parse_args()
    runs = [(mode, batch) for mode in parsed.modes for batch in parsed.batches or BATCHES[mode]]
    subjects = {run: parsed.subjects or PLANNED.get(run, tuple(SUBJECTS)) for run in runs}
    steps = sum(Contest.steps(subjects[run], parsed.rounds) for run in runs) * len(parsed.cases)
    results = {"machine": machine(parsed.threads), "rounds": parsed.rounds, "seconds": parsed.seconds, "runs": []}
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=steps)
        for mode, batch in runs:
            with Contest(subjects[mode, batch], parsed.threads) as contest:
                for name in parsed.cases:

                    def advance(text, run=f"{mode} {name} batch {batch}"):
                        progress.update(task, description=f"{run}: {text}", advance=1)

                    workload = dataclasses.replace(NAMED[name], batch=batch, mode=mode)
                    found = contest.run(workload, parsed.rounds, parsed.seconds, advance)
                    results["runs"].append({"case": name, "batch": batch, "mode": mode, "subjects": found})
                    parsed.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
