"""What `smallest_tflite` chooses for the examples: `python -m benchmarks.auto`, which writes `auto.json`."""

import argparse
import json
import pathlib
import sys
import tempfile
import time

import keras

from benchmarks.auto_cases import CASES
from benchmarks.voice import PORT_FILES
from lucid_keras.bench.machine import machine
from lucid_keras.export import BelowFloorError, smallest_tflite
from lucid_keras.export.devices import refusals
from lucid_keras.export.flatbuffer import read
from lucid_keras.export.ladders import LADDERS

RESULTS = pathlib.Path(__file__).parent / "auto.json"
FLOOR = PORT_FILES[-1]["floor_db"]
LIMIT = 900  # seconds a device
THREADS = 2
# Whose rules say what of a device's file runs on its processor instead.
RULES = {"phone-cpu": "LiteRT CPU (XNNPACK)", "phone-gpu": "LiteRT GPU", "npu": "Arm Ethos-U85"}


def devices():
    """A device of each ladder, and the names of all that it is tried for."""
    found = {}
    for device, ladder in LADDERS.items():
        found.setdefault(str(ladder), []).append(device)
    return {names[0]: names for names in found.values()}


def chosen(voice, device, path):
    """What is chosen for a device, or the sentence why nothing holds."""
    inputs, began = voice.model.inputs, time.monotonic()
    opened = [one.shape[1] for one in voice.held_out.values()] if any(None in one.shape[1:] for one in inputs) else None
    try:
        report = smallest_tflite(
            voice.model,
            path,
            device=device,
            floor_db=FLOOR,
            length=opened and opened[0],
            calibration_data=voice.calibration,
            verification_data=voice.held_out,
            time_limit=LIMIT,
            timing_seconds=0,
        )
    except BelowFloorError as refusal:
        return {"refused": str(refusal), "seconds": round(time.monotonic() - began)}
    facts = {"recipe": report.quantization, "snr_db": report.snr_db, "bytes": report.bytes}
    curve = [{"recipe": one.recipe, "kept": len(one.kept), "snr_db": one.snr_db} for one in report.curve]
    facts |= {"kept": len(report.float_layers), "seconds": round(time.monotonic() - began), "curve": curve}
    refused = refusals(read(path), pathlib.Path(path).read_bytes()) if device in RULES else {}
    return facts | {"left": [*refused.get(RULES.get(device), ())]}


def main():
    """Choose for every example and device, writing the results after each; those of other examples stay."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.auto", description=__doc__)
    parser.add_argument("--examples", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--devices", nargs="+", default=list(devices()), choices=list(devices()))
    parser.add_argument("--out", type=pathlib.Path, default=RESULTS)
    arguments = parser.parse_args()
    before = json.loads(arguments.out.read_text())["examples"] if arguments.out.exists() else {}
    results = {
        "machine": machine(THREADS),
        "floor_db": FLOOR,
        "examples": {name: before.get(name, {}) for name in CASES},
    }
    for name in arguments.examples:
        voice = CASES[name]()
        if voice is None:
            print(f"{name}: left out, `make voice` has not recorded it", file=sys.stderr, flush=True)
            continue
        cells = results["examples"][name]
        for device in arguments.devices:
            print(f"{name} for {device} ...", file=sys.stderr, flush=True)
            with tempfile.TemporaryDirectory() as folder:
                cells[device] = chosen(voice, device, f"{folder}/x.tflite")
            arguments.out.write_text(json.dumps(results, indent=1) + "\n")
        keras.utils.clear_session()


if __name__ == "__main__":
    main()
