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


def main():
    """Parse, run, and write the results after every case, so that an interrupted run keeps what it has."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Times the operation against its peers.")
    parser.add_argument("--cases", nargs="+", default=list(NAMED), choices=list(NAMED))
    parser.add_argument("--modes", nargs="+", default=list(BATCHES), choices=list(BATCHES))
    parser.add_argument("--batches", nargs="+", type=int, help="default: 1 8 forward, 4 16 training")
    parser.add_argument("--subjects", nargs="+", default=list(SUBJECTS), type=named)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent / "results.json")
    parsed = parser.parse_args()
    batches = {mode: parsed.batches or BATCHES[mode] for mode in parsed.modes}
    plan = [(name, batch, mode) for mode in parsed.modes for batch in batches[mode] for name in parsed.cases]
    results = {"machine": machine(parsed.threads), "rounds": parsed.rounds, "seconds": parsed.seconds, "runs": []}
    with Contest(parsed.subjects, parsed.threads) as contest, Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=len(plan) * contest.steps(parsed.rounds))
        for name, batch, mode in plan:

            def advance(text, run=f"{mode} {name} batch {batch}"):
                progress.update(task, description=f"{run}: {text}", advance=1)

            workload = dataclasses.replace(NAMED[name], batch=batch, mode=mode)
            subjects = contest.run(workload, parsed.rounds, parsed.seconds, advance)
            results["runs"].append({"case": name, "batch": batch, "mode": mode, "subjects": subjects})
            parsed.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
