"""A `.tflite` file's speed and acceleration, measured by LiteRT's own `litert-benchmark` in a process of its own."""

import json
import pathlib
import subprocess
import sys
import tempfile

from lucid_keras.export.progress import doing


@doing("timing in litert-benchmark")
def benchmark(path):
    """What `litert-benchmark` finds for a `.tflite` file on this machine's CPU.

    Args:
        path: the file.

    Returns:
        The tool's result, a dict: `fully_accelerated`, and in `latency` milliseconds such as `median_ms`, `p95_ms`,
        `init_ms`.

    Raises:
        ValueError: the tool cannot run the file; its last line says why.
    """
    with tempfile.TemporaryDirectory() as folder:
        result = pathlib.Path(folder) / "result.json"
        command = [sys.executable, "-m", "ai_edge_litert.tools.benchmark_litert_model", "--model", str(path)]
        command += ["--num_threads", "2", "--num_runs", "50", "--warmup_runs", "5"]
        done = subprocess.run(
            [*command, "--result_json", str(result)], capture_output=True, text=True, errors="replace", check=False
        )
        if done.returncode or not result.exists():
            lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
            reason = lines[-1] if lines else f"exit status {done.returncode}"
            raise ValueError(f"litert-benchmark must be able to run the file. Received: {path}: {reason}")
        return json.loads(result.read_text())
