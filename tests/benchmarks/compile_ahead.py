"""Compile every named case for accelerators that are not here: `python -m benchmarks.compile_ahead --python PATH`.

`make compile-ahead` makes the environment of PATH, which has the compilers: libtpu for TPUs, XLA's for the H100. Each
lowering, forward and as a training step, in bfloat16 and float32, of the batches that `pjrt_write.py` writes for such a
device. `compile_ahead.json` keeps what the compilers say; `compile_ahead_report.py` makes the page of it.
"""

import argparse
import dataclasses
import itertools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

from rich.console import Console
from rich.progress import Progress

from benchmarks.named import NAMED
from benchmarks.pjrt_write import program
from lucid_keras._lowering.choice import LOWERINGS
from lucid_keras.bench.rounds import Worker

HERE = pathlib.Path(__file__).parent
RESULTS, SCRIPT = HERE / "compile_ahead.json", HERE / "compile_ahead_worker.py"
TARGETS = ("h100", "v5e", "v6e")
SOONER = {"v6e": "v5e"}  # of the same compiler, for which it takes less time
BATCHES = {"forward": 8, "train": 16}
DTYPES = ("bfloat16", "float32")
STARTING = 120.0  # seconds for loading a compiler
# Fewer products are for processors: an accelerator's matrix units want few large ones.
LOWER = tuple(name for name in LOWERINGS if name not in ("auto", "fast_fir"))
PATIENCE = 10  # times the limit, by the clock: for a compiler that waits instead of working
ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",  # what jax itself would run on
    "TPU_SKIP_MDS_QUERY": "1",  # no question to a cloud's metadata server
}


class Compiler(Worker):
    """The process that compiles for one target."""

    def __init__(self, python, target):
        super().__init__(target, threads=None)
        self.python = python

    def described(self):
        """The device and the versions; raises where the compiler does not start."""
        rule = f"{self.python} must have the compilers of `make compile-ahead`."
        if shutil.which(self.python) is None:
            raise ValueError(rule)
        answer = self.ask(limit=STARTING)
        if "skipped" in answer:
            raise ValueError(f"{rule} {answer['skipped']}")
        return answer

    def compiled(self, path, limit):
        """What the compiler says of a program, or why it did not compile it."""
        if self.process is None:
            self.described()
        answer = self.ask(limit=PATIENCE * limit, path=str(path), allowed=limit)
        exceeded = answer.get("skipped", "").endswith(f"status -{int(signal.SIGXCPU)}")
        return {"skipped": f"more than {limit:g} s"} if exceeded else answer

    def _start(self):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        command = [self.python, "-P", str(SCRIPT), self.name]  # -P: the folder of the script is no place to import from
        return subprocess.Popen(command, **pipes, text=True, env={**os.environ, **ENVIRONMENT})


def run(python, targets, cases, dtypes, limit, advance=lambda text: None):
    """Yield of each target a description, and of each program and target a row.

    A program that takes too long is not tried again in the other dtype, nor for a target that would take longer.
    """
    exceeded = {}
    with tempfile.TemporaryDirectory() as folder:
        for dtype, target in itertools.product(dtypes, targets):
            compiler = Compiler(python, target)
            yield {"target": target} | compiler.described()
            for case, mode, lowering in itertools.product(cases, BATCHES, LOWER):
                advance(f"{target} {dtype} {case} {mode} {lowering}")
                key = case, mode, lowering
                known = exceeded.get((target, *key)) or exceeded.get((SOONER.get(target), *key))
                if known:
                    answer = {"skipped": f"not tried: {known}"}
                else:
                    answer = compiler.compiled(_written(folder, case, mode, dtype, lowering), limit)
                if answer.get("skipped", "").startswith("more than"):
                    exceeded[target, *key] = f"{answer['skipped']} for {target} in {dtype}"
                yield {"target": target, "case": case, "mode": mode, "dtype": dtype, "lowering": lowering} | answer
            compiler.close()


def _written(folder, case, mode, dtype, lowering):
    """The path of a program, which is written for the first target that asks."""
    path = pathlib.Path(folder, f"{case}-{mode}-{dtype}-{lowering}.stablehlo")
    if not path.exists():
        workload = dataclasses.replace(NAMED[case], batch=BATCHES[mode], mode=mode)
        path.write_bytes(program(workload, dtype, lowering))
    return path


def merged(results, row):
    """The results with a target's description, or with a program's row in the place of an earlier one of it."""
    if "device" in row:
        devices = results["devices"] | {row["target"]: row["device"]}
        return results | {"versions": row["versions"], "devices": devices}
    names = ("target", "case", "mode", "dtype", "lowering")
    others = [one for one in results["runs"] if any(one[name] != row[name] for name in names)]
    return results | {"runs": [*others, row]}


def main():
    """Parse, compile, and say how much of it compiled."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compile_ahead", description=__doc__.splitlines()[0])
    parser.add_argument("--python", required=True, help="of an environment with the compilers")
    parser.add_argument("--targets", nargs="+", default=TARGETS, choices=TARGETS)
    parser.add_argument("--cases", nargs="+", default=list(NAMED), choices=list(NAMED))
    parser.add_argument("--dtypes", nargs="+", default=DTYPES, choices=DTYPES)
    parser.add_argument("--limit", type=int, default=60, help="seconds of the processor that a program may take")
    parser.add_argument("--out", type=pathlib.Path, default=RESULTS, help="rows of other programs stay there")
    parsed = parser.parse_args()
    try:
        results = _recorded(parsed)
    except ValueError as error:
        parser.error(str(error))
    for target in parsed.targets:
        rows = [one for one in results["runs"] if one["target"] == target]
        print(f"{target}: {sum('skipped' not in one for one in rows)} of {len(rows)} programs compiled")


def _recorded(parsed):
    """The results, written after every program, so that an interrupted run keeps what it has."""
    results = json.loads(parsed.out.read_text()) if parsed.out.exists() else {"devices": {}, "runs": []}
    results["batches"] = BATCHES
    with Progress(console=Console(stderr=True)) as progress:
        total = len(parsed.targets) * len(parsed.cases) * len(parsed.dtypes) * len(BATCHES) * len(LOWER)
        task = progress.add_task("", total=total)

        def advance(text):
            progress.update(task, description=text, advance=1)

        for row in run(parsed.python, parsed.targets, parsed.cases, parsed.dtypes, parsed.limit, advance):
            results = merged(results, row)
            parsed.out.write_text(json.dumps(results, indent=1) + "\n")
    return results


if __name__ == "__main__":
    main()
