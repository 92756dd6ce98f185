"""A process of the whole models' benchmark.

`python -m benchmarks.model_worker make SUBJECT MODEL FOLDER` makes a subject's file (`reference`: what all need) and
answers one line of JSON. `... run SUBJECT MODEL FOLDER` speaks lines of JSON: it answers how exact the subject is, then
the median of its milliseconds to each `{"measure": seconds}`.
"""

import json
import pathlib
import sys
import time

import numpy as np

from benchmarks.model_cases import DECODERS
from benchmarks.model_subjects import LEAST_SNR, QUANTIZED, SUBJECTS, make_reference

PARITY = 1e-4  # of the largest sample, in float32


def make(subject, decoder, folder):
    """Make the file; its size, or why there is none."""
    if subject == "reference":
        make_reference(decoder, folder)
        return {}
    maker, name, _ = SUBJECTS[subject]
    if maker is None:
        return {}
    maker(decoder, folder)
    return {"bytes": (folder / name).stat().st_size}


def exactness(compute, held_out, samples):
    """The largest error over the largest sample; the samples' variance over the error's power in dB, None without."""
    noise = signal = error = 0.0
    for x, expected in zip(held_out, samples.astype(np.float64), strict=True):
        difference = compute(x[np.newaxis]).ravel() - expected
        noise, signal = noise + np.sum(difference**2), signal + np.sum((expected - expected.mean()) ** 2)
        error = max(error, float(np.abs(difference).max()))
    snr_db = float(10 * np.log10(signal / noise)) if noise else None
    return {"error": error / float(np.abs(samples).max()), "snr_db": snr_db}


def measure(call, seconds):
    """The median of the call's milliseconds over at least 3 calls and `seconds`."""
    times, end = [], time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - start))
    return float(np.median(times))


def peak_mib():
    """This process's largest memory so far."""
    return int(pathlib.Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024


def serve(subject, decoder, folder, answers):
    """Prove the subject, then time it whenever asked."""
    with np.load(folder / "features.npz") as features:
        held_out, samples = features["held_out"], features["samples"]
    compute = SUBJECTS[subject][2](decoder, folder)
    found = exactness(compute, held_out, samples)
    if not (found["snr_db"] > LEAST_SNR if subject in QUANTIZED else found["error"] < PARITY):
        raise ValueError(f"wrong numbers: error {found['error']:.2g}, SNR {found['snr_db']:.1f} dB")
    _answer(found | {"peak_mib": peak_mib()}, answers)
    for line in sys.stdin:
        _answer({"milliseconds": measure(lambda: compute(held_out[:1]), json.loads(line)["measure"])}, answers)


def _answer(answer, answers):
    print(json.dumps(answer), file=answers, flush=True)


def main(role, subject, model, folder):
    """Answer on standard output; everything else goes to standard error."""
    answers, sys.stdout = sys.stdout, sys.stderr
    decoder, folder = DECODERS[model](), pathlib.Path(folder)
    try:
        if role == "make":
            _answer(make(subject, decoder, folder), answers)
        else:
            serve(subject, decoder, folder, answers)
    except Exception as error:
        first = (str(error).splitlines() or [""])[0]
        _answer({"skipped": f"{type(error).__name__}: {first}"[:200]}, answers)


if __name__ == "__main__":
    main(*sys.argv[1:])
