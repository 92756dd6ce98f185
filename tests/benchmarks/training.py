"""Training whole models: `python -m benchmarks.training`, which writes `training.json` beside this file.

Every subject has the same weights, batches and optimizer, and must find the same losses before it is timed. Then
rounds: in each every subject trains some steps, in random order.
"""

import argparse
import json
import pathlib
import random
import tempfile

import numpy as np
from rich.console import Console
from rich.progress import Progress

from benchmarks import training_subjects
from benchmarks.models import MAKING, environment, in_rounds
from benchmarks.training_cases import CASES
from benchmarks.training_subjects import ORIGINAL, SUBJECTS, THREADS
from lucid_keras.bench.machine import machine
from lucid_keras.bench.rounds import Worker

RESULTS = pathlib.Path(__file__).with_name("training.json")
WITHIN = 1e-4  # of the loss


def timed(model, subjects, folder, rounds, seconds, tell):
    """`{subject: {losses, milliseconds a step: a median a round} or {skipped}}`."""
    variables = environment()
    workers = {name: Worker(name, THREADS, variables, training_subjects.__name__) for name in subjects}
    what = {"model": model, "folder": folder}
    try:
        tell(f"{model}: drawing weights")
        answer = workers[ORIGINAL].ask(make=what, limit=MAKING)
        if "skipped" in answer:
            raise SystemExit(f"{model}: {answer['skipped']}")
        found = {}
        for name in (ORIGINAL, *(one for one in subjects if one != ORIGINAL)):
            tell(f"{model}: {name}")
            found[name] = ready(workers[name], what, found.get(ORIGINAL))
        in_rounds(workers, found, rounds, seconds, lambda step: tell(f"{model}: {step}"))
    finally:
        for one in workers.values():
            one.close()
    for one in (one for one in found.values() if "skipped" not in one):  # a call is several steps
        one["milliseconds"] = [call / one["steps"] for call in one["milliseconds"]]
    return {name: found[name] for name in subjects}


def ready(one, what, original):
    """The losses of a subject's first steps; or why it is not timed."""
    path = f"{what['folder']}/losses.npz"
    answer = one.ask(prepare=what, results=path, limit=MAKING)
    if "skipped" in answer:
        return answer
    with np.load(path) as results:
        losses = results["arr_0"].tolist()
    if original is not None and not np.allclose(losses, original["losses"], rtol=WITHIN):
        return {"skipped": f"other losses than {ORIGINAL}'s {original['losses']}: {losses}"}
    return {"losses": losses, "steps": answer["steps"], "milliseconds": []}


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__.partition("\n")[0])
    parser.add_argument("--models", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--subjects", nargs="+", default=list(SUBJECTS), choices=list(SUBJECTS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each subject in each round, at least 3 calls")
    arguments = parser.parse_args()
    random.seed(0)
    results = {"machine": machine(THREADS), "rounds": arguments.rounds, "models": {}}
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=None)
        for model in arguments.models:
            with tempfile.TemporaryDirectory() as folder:
                results["models"][model] = timed(
                    model,
                    list(dict.fromkeys([ORIGINAL, *arguments.subjects])),
                    folder,
                    arguments.rounds,
                    arguments.seconds,
                    lambda step: progress.update(task, description=step),
                )
            RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
