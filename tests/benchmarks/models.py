"""Whole decoders: `python -m benchmarks.models run | parity | report`.

`run` times one second of audio of each decoder, batch 1, 2 threads, in every subject that can run it; `parity` runs
every example's own comparison; both write JSON beside this file, from which `report` writes
`docs/speed/decoders.md` and a line of the README.
"""

import argparse
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

import numpy as np
from rich.console import Console
from rich.progress import Progress

from benchmarks import model_subjects
from benchmarks.model_cases import DECODERS, RECORDING, ROOT
from benchmarks.model_subjects import LEAST_SNR, ORIGINAL, QUANTIZED, SUBJECTS, THREADS
from lucid_keras.bench.judge import largest_error
from lucid_keras.bench.machine import machine
from lucid_keras.bench.rounds import Worker
from lucid_keras.export import snr_db

HERE = pathlib.Path(__file__).parent
SPEED, PARITY = HERE / "models.json", HERE / "parity.json"
PAUSE = 0.2  # seconds, in which a runtime's threads stop waiting for more
MAKING = 1800.0  # seconds that a file, or a compiler, may take
DECIBELS = "the energy of the original's samples over the energy of the error"  # what `snr_db` says
WITHIN = 1e-4  # of the largest sample, in float32

# The examples' commands whose comparison the page shows: the name there, the script, its arguments, its reference.
EXAMPLES = [
    ("EnCodec 24 kHz decoder", "encodec_decoder", ["--audio", str(RECORDING)], "transformers.EncodecModel"),
    ("HiFi-GAN V1", "hifigan_generator", ["--preset", "v1"], "transformers.SpeechT5HifiGan"),
    ("HiFi-GAN V2", "hifigan_generator", ["--preset", "v2"], "transformers.SpeechT5HifiGan"),
    ("HiFi-GAN, SpeechT5's", "hifigan_generator", ["--preset", "speecht5"], "transformers.SpeechT5HifiGan"),
    ("BigVGAN, 512 channels", "bigvgan_generator", [], "transformers' Qwen2_5OmniToken2WavBigVGANModel"),
    ("HTDemucs waveform decoder", "demucs_decoder", [], "the published block in PyTorch"),
]


def environment():
    """What every process of the benchmark is given, beside what a worker sets itself."""
    paths = os.pathsep.join(str(ROOT / part) for part in (".", "tests", "examples"))
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow", "OMP_NUM_THREADS": "2"}
    return {**os.environ, "PYTHONPATH": paths, **quiet}


def exactness(results, samples):
    """The largest error over the largest sample, and the signal-to-noise ratio in dB, None without an error."""
    error = largest_error([results.astype(np.float64)], [samples])
    return {"error": error, "snr_db": snr_db(samples, results) if error else None}


def judged(subject, results, samples):
    """How exact a subject is, or that its numbers are wrong."""
    found = exactness(results, samples)
    if found["snr_db"] is None or (found["snr_db"] > LEAST_SNR if subject in QUANTIZED else found["error"] < WITHIN):
        return found
    return {"skipped": f"wrong numbers: error {found['error']:.2g}, SNR {found['snr_db']:.1f} dB"}


def made(workers, what, tell):
    """`{subject: what its maker found}`; each maker's process has ended."""
    found = {}
    for subject, one in workers.items():  # the original first
        tell(f"{what['model']}: making {subject}")
        found[subject] = one.ask(make=what, limit=MAKING)
        one.close()
    if "skipped" in found[ORIGINAL]:
        raise SystemExit(f"{what['model']}: {found[ORIGINAL]['skipped']}")
    return found


def ready(subject, one, what):
    """What is known of a subject before it is timed: how exact it is and what its process takes; or why it is not."""
    answer = one.ask(prepare=what, results=f"{what['folder']}/results.npz", limit=MAKING)
    if "skipped" in answer:
        return answer
    with np.load(f"{what['folder']}/results.npz") as results, np.load(f"{what['folder']}/features.npz") as features:
        found = judged(subject, results["arr_0"], features["samples"])
    return found if "skipped" in found else found | one.ask(remember=True) | {"milliseconds": []}


def timed(model, subjects, folder, rounds, seconds, tell):
    """`{subject: {error, snr_db, bytes, peak_mib, milliseconds: a median a round} or {skipped}}`."""
    what = {"model": model, "folder": str(folder)}
    variables, registry = environment(), model_subjects.__name__
    workers = {name: Worker(name, THREADS, variables, registry) for name in (ORIGINAL, *subjects)}
    try:
        results = {subject: found for subject, found in made(workers, what, tell).items() if subject in subjects}
        for subject in [subject for subject, found in results.items() if "skipped" not in found]:
            tell(f"{model}: checking {subject}")
            results[subject] |= ready(subject, workers[subject], what)
        in_rounds(workers, results, rounds, seconds, lambda step: tell(f"{model}: {step}"))
    finally:
        for one in workers.values():
            one.close()
    return {subject: results[subject] for subject in subjects}


def in_rounds(workers, results, rounds, seconds, tell):
    """Time every subject that can run once a round, in random order; what that took goes into its `milliseconds`."""
    for number in range(rounds):
        tell(f"round {number + 1} of {rounds}")
        running = [subject for subject, found in results.items() if "skipped" not in found]
        for subject in random.sample(running, len(running)):
            time.sleep(PAUSE)
            answer = workers[subject].ask(measure=seconds)
            if "skipped" in answer:
                results[subject] = answer
            else:
                results[subject]["milliseconds"].append(answer["milliseconds"])


def run(arguments):
    """Time the models, writing the results after each, so that an interrupted run keeps what it has."""
    random.seed(0)
    results = {"machine": machine(THREADS), "rounds": arguments.rounds, "decibels": DECIBELS, "models": {}}
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=None)
        for model in arguments.models:
            with tempfile.TemporaryDirectory() as folder:
                results["models"][model] = timed(
                    model,
                    arguments.subjects,
                    pathlib.Path(folder),
                    arguments.rounds,
                    arguments.seconds,
                    lambda step: progress.update(task, description=step),
                )
            arguments.out.write_text(json.dumps(results, indent=1) + "\n")


def parity(arguments):
    """Run each example in a process of its own, and keep the numbers that it compared."""
    rows = []
    for title, script, options, reference in EXAMPLES:
        print(f"{title} ...", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            code = f"import json, sys, {script} as e; n = e.main(sys.argv[1:]); print(json.dumps(n))"
            command = [sys.executable, "-c", code, *options, "--output", str(pathlib.Path(folder) / "model.tflite")]
            done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment())
        if done.returncode:
            raise SystemExit(f"{script} failed: {done.stderr.strip().splitlines()[-1]}")
        rows.append({"example": title, "script": script, "reference": reference})
        rows[-1] |= json.loads(done.stdout.splitlines()[-1])
    arguments.out.write_text(json.dumps(rows, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.models", description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(required=True)
    running = commands.add_parser("run", help="time the models")
    running.add_argument("--models", nargs="+", default=list(DECODERS), choices=list(DECODERS))
    running.add_argument("--subjects", nargs="+", default=list(SUBJECTS), choices=list(SUBJECTS))
    running.add_argument("--rounds", type=int, default=7)
    running.add_argument("--seconds", type=float, default=0.5, help="for each subject in each round, at least 3 calls")
    running.add_argument("--out", type=pathlib.Path, default=SPEED)
    running.set_defaults(handler=run)
    comparing = commands.add_parser("parity", help="run the examples' comparisons")
    comparing.add_argument("--out", type=pathlib.Path, default=PARITY)
    comparing.set_defaults(handler=parity)
    reporting = commands.add_parser("report", help="write the page and the README's line from both")
    reporting.set_defaults(handler=lambda _: _report())
    arguments = parser.parse_args()
    arguments.handler(arguments)


def _report():
    from benchmarks.model_report import write_report

    write_report(json.loads(SPEED.read_text()), json.loads(PARITY.read_text()))


if __name__ == "__main__":
    main()
