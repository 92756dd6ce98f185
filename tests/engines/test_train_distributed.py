"""Training on several devices and in several processes is training on one, and a worker that dies costs a few steps."""

import os
import re
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
from conftest import ROOT

import lucid_keras  # noqa: F401, whose layers the models are read with

PROGRAM = ROOT / "examples/train_distributed.py"
LIMIT = 300
STEPS, EVERY = 24, 6
ROUNDING = 1e-5  # of weights that have moved by up to LEARNING_RATE * STEPS = 0.024


def command(out, *options, steps=STEPS):
    fixed = "--steps", steps, "--samples", 2048, "--save-every", EVERY, "--out", out
    return [sys.executable, str(PROGRAM), *map(str, (*fixed, *options))]


def train(out, *options, **given):
    done = subprocess.run(command(out, *options, **given), capture_output=True, text=True, check=False, timeout=LIMIT)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def difference(out, other):
    """The largest between the weights of two models."""
    pairs = zip(
        *(keras.models.load_model(folder / "autoencoder.keras").get_weights() for folder in (out, other)), strict=True
    )
    return max(np.abs(a - b).max() for a, b in pairs)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """One process on one device, from beginning to end."""
    out = tmp_path_factory.mktemp("alone")
    train(out)
    return out


def test_it_learns(tmp_path):
    """The loss is that of one batch, and batches differ: after 24 steps it is no measure yet."""
    losses = [float(loss) for loss in re.findall(r"loss ([\d.]+)", train(tmp_path, steps=60))]
    assert losses[-1] < losses[0] / 2


@pytest.mark.parametrize("options", [("--devices", 2), ("--workers", 2)])
def test_several_train_what_one_trains(options, alone, tmp_path):
    train(tmp_path, *options)
    assert difference(tmp_path, alone) < ROUNDING


def test_a_worker_that_is_killed_costs_the_steps_since_the_last_save(alone, tmp_path):
    running = subprocess.Popen(command(tmp_path, "--workers", 2), stdout=subprocess.PIPE, text=True)
    told = []
    for line in running.stdout:
        told.append(line)
        if line.startswith(f"step {2 * EVERY}:"):
            workers = subprocess.run(["pgrep", "-P", str(running.pid)], capture_output=True, text=True, check=True)
            os.kill(int(workers.stdout.split()[-1]), signal.SIGKILL)
    assert running.wait(LIMIT) == 0
    died = next(index for index, line in enumerate(told) if "a worker died" in line)
    steps = [int(step) for step in re.findall(r"^step (\d+)", "".join(told[died:]), re.MULTILINE)]
    before = [int(step) for step in re.findall(r"^step (\d+)", "".join(told[:died]), re.MULTILINE)]
    assert steps == list(range(before[-1] + EVERY, STEPS + 1, EVERY))
    assert difference(tmp_path, alone) < ROUNDING


def test_one_process_that_is_killed_goes_on(alone, tmp_path):
    running = subprocess.Popen(command(tmp_path), stdout=subprocess.PIPE, text=True)
    next(line for line in running.stdout if line.startswith(f"step {EVERY}:"))
    running.kill()
    running.wait()
    time.sleep(0.1)
    assert f"step {EVERY}:" not in train(tmp_path)
    assert difference(tmp_path, alone) < ROUNDING


@pytest.mark.parametrize(
    ("options", "sentence"),
    [(("--workers", 1), "--workers must be at least 2"), (("--devices", 3), "Received: 3 devices")],
)
def test_what_cannot_be_is_one_line(options, sentence, tmp_path):
    done = subprocess.run(command(tmp_path, *options), capture_output=True, text=True, check=False, timeout=LIMIT)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert sentence in done.stderr
