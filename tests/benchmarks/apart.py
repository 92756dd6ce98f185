"""Decoders measured each in a process of its own, into one file of results."""

import argparse
import json
import subprocess
import sys

from lucid_keras.bench.machine import machine


def measure(name, description, decoders, measured, results, timeout=None):
    """The command `python -m benchmarks.NAME`: what is measured is written after each decoder; those of others stay."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=description.partition("\n")[0])
    parser.add_argument("--decoders", nargs="+", default=list(decoders), choices=list(decoders))
    parser.add_argument("--here", action="store_true", help="measure one decoder in this process and print it")
    arguments = parser.parse_args()
    if arguments.here:
        print(json.dumps(measured(arguments.decoders[0])))
        return
    known = json.loads(results.read_text())["decoders"] if results.exists() else {}
    for decoder in arguments.decoders:
        print(decoder, file=sys.stderr, flush=True)
        command = [sys.executable, "-m", f"benchmarks.{name}", "--here", "--decoders", decoder]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=timeout)
        here = machine(1)
        known[decoder] = {"processor": here["processor"], **json.loads(done.stdout.splitlines()[-1])}
        ordered = {one: known[one] for one in decoders if one in known}
        results.write_text(json.dumps({"machine": here, "decoders": ordered}, indent=1) + "\n")


def on_processors(results):
    """Which decoder was measured on which processor, in words."""
    on = {}
    for name, one in results["decoders"].items():
        on.setdefault(one["processor"], []).append(name)
    if len(on) == 1:
        return next(iter(on))
    return " and ".join(f"{processor} ({'; '.join(names)})" for processor, names in on.items())
