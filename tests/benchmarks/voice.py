"""Every recipe on trained voices: `python -m benchmarks.voice --python PYTHON`, which writes `voice.json`.

    python -m benchmarks.voice --ports      other people's decoders with random weights, into `ports.json`

The files and what each of them said lie in `saved_models/voice/`, to listen to. `PYTHON` is the environment of `make
voice`, which made `.cache/voice/`: ONNX Runtime and PESQ are there.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import textwrap

import numpy as np
import soundfile

from benchmarks import voice_pesq, voice_run
from benchmarks.model_cases import ROOT, resampled
from benchmarks.ports import PORTS
from benchmarks.voice_cases import TRAINED, VOICES
from benchmarks.voice_distances import distances
from lucid_keras.bench.machine import machine
from lucid_keras.export import to_tflite

HERE = pathlib.Path(__file__).parent
RESULTS, PORT_RESULTS = HERE / "voice.json", HERE / "ports.json"
RECORDED, SAID = ROOT / ".cache" / "voice", ROOT / "saved_models" / "voice"
THREADS = 2
REFERENCE, OWN = "Keras", "its own ONNX file"

# What is measured: the arguments of `to_tflite` for each file, whose floor is below what anyone would ship.
FILES = [
    {"quantization": "float32"},
    {"quantization": "float32", "exact_products": True},
    {"quantization": "float16"},
    {"quantization": "weight_only_int8"},
    {"quantization": "weight_only_int4"},
    {"quantization": "dynamic_int8"},
    {"quantization": "dynamic_int8", "float_layers": "auto", "floor_db": 23},
    {"quantization": "int8"},
    {"quantization": "int8", "float_layers": "auto", "floor_db": 20},
    {"quantization": "int16x8"},
]
PORT_FILES = [
    {"quantization": "float32"},
    {"quantization": "dynamic_int8"},
    {"quantization": "int8"},
    {"quantization": "int8", "float_layers": "auto", "floor_db": 25},
]
NO_FLOOR = -50.0  # dB


def title(file):
    """A file's name in the table and in the folder."""
    options = [f"{name}={value}" for name, value in file.items() if name != "quantization"]
    return ", ".join([file["quantization"], *options])


def made(voice, file, path):
    """Export a file; what is known of it, or why there is none."""
    calibrated = {"calibration_data": voice.calibration} if file["quantization"] in ("int8", "int16x8") else {}
    options = {"floor_db": NO_FLOOR, "timing_seconds": 0, "verification_data": voice.held_out, **calibrated, **file}
    try:
        report = to_tflite(voice.model, path, **options)
    except (RuntimeError, ValueError) as error:
        return {"refused": textwrap.shorten(f"{type(error).__name__}: {error}", 200, placeholder=" ...")}
    facts = {"bytes": report.bytes, "operators": report.total, "outside": report.total - report.delegated}
    curve = [one | {"kept": len(one["kept"])} for one in map(dataclasses.asdict, report.curve)]
    return {**facts, "float_layers": report.float_layers, "curve": curve}


def asked(python, script, *arguments):
    """What a script beside this one prints under another Python, which finds none of the modules here."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [str(python), "-P", script.__file__, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=variables)
    if done.returncode:
        raise SystemExit(f"{pathlib.Path(script.__file__).name} failed: {done.stderr.strip()}")
    return json.loads(done.stdout.splitlines()[-1])


def measured(voice, folder, files, python, rounds, seconds, known):
    """A dict of each file by its title, the `known` ones as they lie there; what they said goes to `folder` as WAV."""
    rows = {}
    for file in files:
        tell(f"{folder.name}: {title(file)}")
        path = folder / f"{title(file)}.tflite"
        row = known.get(title(file)) or made(voice, file, path)
        rows[title(file)] = row if "refused" in row else row | {"path": path, "milliseconds": []}
    if voice.onnx is not None:
        rows[OWN] = {"path": voice.onnx, "bytes": voice.onnx.stat().st_size}
    samples = {REFERENCE: voice.said()[:, voice.unheard :]}
    with tempfile.TemporaryDirectory() as passed:
        windows, result = f"{passed}/windows.npz", f"{passed}/result.npy"
        np.savez(windows, **voice.held_out)
        for number in range(rounds):
            tell(f"{folder.name}: round {number + 1} of {rounds}")
            for name, row in rows.items():
                if "path" in row:
                    runs_in = python if name == OWN else sys.executable
                    told = asked(runs_in, voice_run, row["path"], windows, result, THREADS, seconds)
                    row["runtime"] = told["runtime"]
                    row["milliseconds"] = [*row.get("milliseconds", []), told["milliseconds"]]
                    samples[name] = np.load(result)[:, voice.unheard :] / (voice.louder if name == OWN else 1)
    scores = pesq(python, samples, voice.rate) if voice.speech else None
    for name, said in samples.items():
        soundfile.write(folder / f"{name}.wav", np.clip(said.ravel(), -1, 1), voice.rate)
        if name != REFERENCE:
            rows[name] |= distances(samples[REFERENCE], said, voice.rate) | {"pesq": scores and scores[name]}
            del rows[name]["path"]
    return rows


def pesq(python, samples, rate):
    """The PESQ of all windows together, by name; None where it cannot be had."""
    speech = {name: resampled(one.ravel(), rate, voice_pesq.RATE) for name, one in samples.items()}
    with tempfile.TemporaryDirectory() as passed:
        np.savez(f"{passed}/speech.npz", reference=speech.pop(REFERENCE), **speech)
        return asked(python, voice_pesq, f"{passed}/speech.npz")


def tell(step):
    """Say on standard error what is going on."""
    print(f"{step} ...", file=sys.stderr, flush=True)


def main():
    """Measure the voices, writing the results after each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.voice", description=__doc__.partition("\n")[0])
    parser.add_argument("--python", default=sys.executable, help="the Python of `make voice`, which ports do without")
    parser.add_argument("--ports", action="store_true", help="other people's decoders instead of the trained voices")
    parser.add_argument("--voices", nargs="+", choices=list(VOICES))
    parser.add_argument("--files", nargs="+", help="by their titles")
    parser.add_argument("--again", action="store_true", help="run and time the files that were made before")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2, help="for each file in each round")
    parser.add_argument("--out", type=pathlib.Path)
    arguments = parser.parse_args()
    voices, out = (PORTS, PORT_RESULTS) if arguments.ports else (TRAINED, RESULTS)
    out = arguments.out or out
    before = json.loads(out.read_text())["voices"] if arguments.again else {}
    results = {"machine": machine(THREADS), "rounds": arguments.rounds, "voices": {}}
    for name in arguments.voices or voices:
        folder = SAID / name
        folder.mkdir(parents=True, exist_ok=True)
        voice = VOICES[name](RECORDED)
        files = PORT_FILES if name in PORTS else FILES
        files = [one for one in files if arguments.files is None or title(one) in arguments.files]
        known = before.get(name, {}).get("files", {})
        rows = measured(voice, folder, files, arguments.python, arguments.rounds, arguments.seconds, known)
        seconds = voice.said().shape[1] / voice.rate
        results["voices"][name] = {"window_seconds": seconds, "check": voice.check, "files": rows}
        out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
