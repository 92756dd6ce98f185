"""Whole decoders: `python -m benchmarks.models run | parity | report`.

`run` times one second of audio of each decoder, batch 1, 2 threads, in every subject that can run it; `parity` runs
every example's own comparison; both write JSON beside this file, from which `report` writes a section of the README.
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

from rich.console import Console
from rich.progress import Progress

from benchmarks.model_cases import DECODERS, RECORDING, ROOT
from benchmarks.model_subjects import SUBJECTS

HERE = pathlib.Path(__file__).parent
SPEED, PARITY = HERE / "models.json", HERE / "parity.json"
PAUSE = 0.2  # seconds, in which a runtime's threads stop waiting for more

# The examples' commands whose comparison the README shows: the name there, the script, its arguments, its reference.
EXAMPLES = [
    ("EnCodec 24 kHz decoder", "encodec_decoder", ["--audio", str(RECORDING)], "transformers.EncodecModel"),
    ("HiFi-GAN V1", "hifigan_generator", ["--preset", "v1"], "transformers.SpeechT5HifiGan"),
    ("HiFi-GAN V2", "hifigan_generator", ["--preset", "v2"], "transformers.SpeechT5HifiGan"),
    ("HiFi-GAN, SpeechT5's", "hifigan_generator", ["--preset", "speecht5"], "transformers.SpeechT5HifiGan"),
    ("BigVGAN, 512 channels", "bigvgan_generator", [], "transformers' Qwen2_5OmniToken2WavBigVGANModel"),
    ("HTDemucs waveform decoder", "demucs_decoder", [], "the published block in PyTorch"),
]


def environment():
    """What every process of the benchmark is given."""
    paths = os.pathsep.join(str(ROOT / part) for part in (".", "tests", "examples"))
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow", "OMP_NUM_THREADS": "2"}
    return {**os.environ, "PYTHONPATH": paths, **quiet}


def worker(role, subject, model, folder):
    """A process of `model_worker`, its standard input and output open."""
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.model_worker", role, subject, model, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment(),
    )


def answer_of(process):
    """The next line of JSON; a process that died says so."""
    line = process.stdout.readline()
    return json.loads(line) if line else {"skipped": "the process died"}


def prepared(model, subjects, folder, tell):
    """`{subject: what its maker found}`; each maker's process has ended."""
    found = {}
    for subject in ["reference", *subjects]:
        tell(f"{model}: making {subject}")
        with worker("make", subject, model, folder) as process:
            process.stdin.close()
            found[subject] = answer_of(process)
    reference = found.pop("reference")
    if "skipped" in reference:
        raise SystemExit(f"{model}: {reference['skipped']}")
    return found


def timed(model, subjects, folder, rounds, seconds, tell):
    """`{subject: {error, snr_db, bytes, peak_mib, milliseconds: a median a round} or {skipped}}`."""
    results = prepared(model, subjects, folder, tell)
    workers = {}
    for subject in [subject for subject, found in results.items() if "skipped" not in found]:
        tell(f"{model}: checking {subject}")
        workers[subject] = worker("run", subject, model, folder)
        results[subject] |= answer_of(workers[subject])
        if "skipped" in results[subject]:
            workers.pop(subject).communicate()
        else:
            results[subject]["milliseconds"] = []
    for number in range(rounds):
        tell(f"{model}: round {number + 1} of {rounds}")
        for subject in random.sample(list(workers), len(workers)):
            time.sleep(PAUSE)
            print(json.dumps({"measure": seconds}), file=workers[subject].stdin, flush=True)
            answer = answer_of(workers[subject])
            if "skipped" in answer:
                results[subject] = answer
                workers.pop(subject).communicate()
            else:
                results[subject]["milliseconds"].append(answer["milliseconds"])
    for process in workers.values():
        process.communicate()
    return results


def run(arguments):
    """Time the models, writing the results after each, so that an interrupted run keeps what it has."""
    from lucid_keras.bench.machine import machine

    random.seed(0)
    results = {"machine": machine(2), "rounds": arguments.rounds, "models": {}}
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
    reporting = commands.add_parser("report", help="write the README's section from both")
    reporting.set_defaults(handler=lambda _: _report())
    arguments = parser.parse_args()
    arguments.handler(arguments)


def _report():
    from benchmarks.model_report import write

    write(json.loads(SPEED.read_text()), json.loads(PARITY.read_text()))


if __name__ == "__main__":
    main()
