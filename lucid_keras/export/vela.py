"""Compiling an int8 file for an Arm Ethos-U NPU with Arm's own compiler, Vela, and reading what it says."""

import csv
import dataclasses
import pathlib
import re
import shutil
import subprocess
import tempfile

ACCELERATORS = ("ethos-u55-128", "ethos-u65-256", "ethos-u85-256")
SECONDS = 300  # the longest that one compilation may take


@dataclasses.dataclass(frozen=True)
class Compilation:
    """What Vela made of a file: operators by where they run, multiply-adds and estimated cycles of one inference."""

    accelerator: str
    npu_operators: int
    cpu_operators: int
    cpu_names: tuple[str, ...]
    macs: int
    cycles: int


def compile_for_ethos_u(path, accelerator, *, vela="vela"):
    """Compile a `.tflite` file with Vela, which `pip install ethos-u-vela` brings, best into an environment of its own.

    Args:
        path: the int8 or int16x8 file, with `integer_io` so that nothing is left to the CPU.
        accelerator: one of Vela's configurations, such as those in `ACCELERATORS`.
        vela: the command. Default: `vela` on the path.

    Returns:
        A `Compilation`; the compiled file itself is not kept.

    Raises:
        ValueError: Vela refuses the file.
        OSError: there is no such command or file.
    """
    command = shutil.which(vela)
    if command is None:
        raise FileNotFoundError(f"vela must be installed: pip install ethos-u-vela. Received: vela={vela!r}")
    if not pathlib.Path(path).is_file():
        raise FileNotFoundError(f"The file must exist. Received: {path}")
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["--accelerator-config", accelerator, "--output-dir", folder, "--show-cpu-operations", str(path)]
        done = subprocess.run([command, *arguments], capture_output=True, text=True, timeout=SECONDS)
        summaries = list(pathlib.Path(folder).glob("*_summary_*.csv"))
        if done.returncode or not summaries:
            last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no reason given"]
            raise ValueError(f"Vela must compile the file for {accelerator!r}. Received: {path}: {last[0]}")
        with summaries[0].open(newline="") as file:
            summary = next(csv.DictReader(file))
    return Compilation(
        accelerator=accelerator,
        npu_operators=_count("NPU", done.stdout),
        cpu_operators=_count("CPU", done.stdout),
        cpu_names=tuple(re.findall(r"^ +CPU: (\w+)", done.stdout, re.MULTILINE)),
        macs=int(summary["nn_macs"]),
        cycles=int(summary["cycles_total"]),
    )


def _count(where, output):
    return int(re.findall(rf"^{where} operators = (\d+)", output, re.MULTILINE)[0])
