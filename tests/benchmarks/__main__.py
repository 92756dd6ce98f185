"""Run the benchmark: `python -m benchmarks [--cases ...] [--modes ...] [--subjects ...] [--out results.json]`."""

import argparse
import json
import os
import pathlib
import platform
import random
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version

from rich.console import Console
from rich.progress import Progress

from benchmarks.named import NAMED
from benchmarks.subjects import SUBJECTS

TESTS = pathlib.Path(__file__).parent.parent
PACKAGES = ["tensorflow", "keras", "numpy", "ai-edge-litert", "torch", "onnxruntime"]
RUNS = {"forward": (1, 8), "train": (4, 16)}


class Worker:
    """A subject's process, spoken to in lines of JSON."""

    def __init__(self, subject):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)])}
        environment |= {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow", "OMP_NUM_THREADS": "2"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", subject],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )

    def ask(self, **request):
        """The answer to one request; a worker that died says so."""
        try:
            print(json.dumps(request), file=self.process.stdin, flush=True)
            return json.loads(self.process.stdout.readline())
        except (BrokenPipeError, json.JSONDecodeError):
            return {"skipped": "the process died"}


def run(workers, name, batch, mode, rounds, seconds):
    """`{subject: {error, peak_mib, milliseconds: [a median per round]} or {skipped}}` for one case."""
    results = {subject: worker.ask(prepare=[name, batch, mode]) for subject, worker in workers.items()}
    timed = [subject for subject, answer in results.items() if "skipped" not in answer]
    for subject in timed:
        results[subject]["milliseconds"] = []
    for _ in range(rounds):
        random.shuffle(timed)
        for subject in timed:
            answer = workers[subject].ask(measure=seconds)
            results[subject]["milliseconds"].append(answer.get("milliseconds"))
    return results


def machine():
    """What the numbers depend on: versions, processor, threads."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    processor = next(
        (
            line.split(":")[1].strip()
            for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    return {"versions": versions, "processor": processor, "cores": os.cpu_count(), "python": platform.python_version()}


def main():
    """Parse, run, and write the results after every case, so that an interrupted run keeps what it has."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Times the operation against its peers.")
    parser.add_argument("--cases", nargs="+", default=list(NAMED), choices=list(NAMED))
    parser.add_argument("--modes", nargs="+", default=list(RUNS), choices=list(RUNS))
    parser.add_argument("--batches", nargs="+", type=int, help="default: 1 8 forward, 4 16 training")
    parser.add_argument("--subjects", nargs="+", default=list(SUBJECTS), choices=list(SUBJECTS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.3)
    parser.add_argument("--out", type=pathlib.Path, default=TESTS / "benchmarks" / "results.json")
    parsed = parser.parse_args()
    random.seed(0)
    workers = {subject: Worker(subject) for subject in parsed.subjects}
    plan = [
        (name, batch, mode) for mode in parsed.modes for batch in parsed.batches or RUNS[mode] for name in parsed.cases
    ]
    results = {"machine": machine(), "rounds": parsed.rounds, "runs": []}
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=len(plan))
        for name, batch, mode in plan:
            progress.update(task, description=f"{mode} {name} batch {batch}")
            subjects = run(workers, name, batch, mode, parsed.rounds, parsed.seconds)
            results["runs"].append({"case": name, "batch": batch, "mode": mode, "subjects": subjects})
            parsed.out.write_text(json.dumps(results, indent=1) + "\n")
            progress.advance(task)
    for worker in workers.values():
        worker.process.stdin.close()


if __name__ == "__main__":
    main()
