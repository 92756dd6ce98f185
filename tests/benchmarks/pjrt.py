"""This package's XLA programs on any PJRT device, beside torch's layer and the device's own matrix product.

    PYTHONPATH=tests:. python -m benchmarks.pjrt_write FOLDER  needs TensorFlow: StableHLO and CPU numbers to FOLDER
    python tests/benchmarks/pjrt.py FOLDER --out RESULT.json   needs jax, and for the comparison torch; no TensorFlow

Each framework has a process of its own, asked in turn. The numbers are checked before anything is timed.
"""

import argparse
import hashlib
import json
import math
import os
import pathlib
import random
import statistics
import subprocess
import sys
import time

import numpy as np

SEED = 7
KEPT = 4096  # expected numbers of each result
NAMES = {"forward": ("x", "weight", "bias"), "train": ("x", "weight", "bias", "dy")}
# Of the largest magnitude. TF32 keeps 10 bits of each factor, bfloat16 7.
TOLERANCES = {"float32": 1e-4, "tf32": 5e-3, "bfloat16": 3e-2}


def inputs(case):
    """The arrays of a case by name, float32, drawn from its seed."""
    rng = np.random.default_rng(SEED)
    return {name: rng.standard_normal(shape, np.float32) for name, shape in case["shapes"].items()}


def digest(arrays):
    """A hash of arrays by name."""
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays.values())).hexdigest()


def sampled(array):
    """`KEPT` numbers of an array, evenly over it, in float64."""
    flat = np.asarray(array).reshape(-1)
    return flat[np.linspace(0, flat.size - 1, min(KEPT, flat.size)).astype(int)].astype(np.float64)


def run(folder, rounds, seconds, out, torch_python):
    """Check and time everything in the folder; writes `out` after every case."""
    processes = {"jax": _start(sys.executable, "jax"), "torch": _start(torch_python, "torch")}
    devices = {name: _ask(process, {"describe": True}) for name, process in processes.items()}
    precisions = ["float32", "bfloat16"] + (["tf32"] if devices["jax"].get("platform") == "gpu" else [])
    results = {"devices": devices, "rounds": rounds, "runs": []}
    for path in sorted(path.parent for path in pathlib.Path(folder).glob("*/case.json")):
        for precision in precisions:
            one = _run_case(processes, path, precision, rounds, seconds)
            results["runs"].append(one)
            print(_line(one))
            if out is not None:
                out.write_text(json.dumps(results, indent=1) + "\n")
    for process in processes.values():
        process.stdin.close()


def _run_case(processes, path, precision, rounds, seconds):
    """The errors and milliseconds of our programs, torch's layer and the matrix product on one case."""
    suffix = f"-{'bfloat16' if precision == 'bfloat16' else 'float32'}.stablehlo"
    subjects = {f"ours {file.name.removesuffix(suffix)}": ("jax", file) for file in sorted(path.glob(f"*{suffix}"))}
    if (path / "exported").exists() and precision != "bfloat16":
        subjects["ours exported"] = ("jax", path / "exported" / "forward.stablehlo")
    subjects |= {"torch": ("torch", "layer"), "product": ("jax", "product")}
    found = {}
    for name, (framework, what) in subjects.items():
        request = {"prepare": str(what), "name": name, "case": str(path), "precision": precision}
        found[name] = _ask(processes[framework], request)
    timed = [name for name, answer in found.items() if "skipped" not in answer]
    for name in timed:
        found[name]["milliseconds"] = []
    for _ in range(rounds):
        for name in random.sample(timed, len(timed)):
            answer = _ask(processes[subjects[name][0]], {"measure": seconds, "name": name})
            found[name]["milliseconds"].append(answer["milliseconds"])
    for framework in processes:
        _ask(processes[framework], {"forget": True})
    case = json.loads((path / "case.json").read_text())
    return {key: case[key] for key in ("name", "mode", "batch")} | {"precision": precision, "subjects": found}


def _line(one):
    """A run in a line: our best program's time, and torch's and the product's over it."""
    medians = {
        name: statistics.median(answer["milliseconds"])
        for name, answer in one["subjects"].items()
        if answer.get("milliseconds")
    }
    ours = {name: value for name, value in medians.items() if name.startswith("ours")}
    text = f"{one['name']} {one['mode']} batch {one['batch']} {one['precision']}: "
    for name, answer in one["subjects"].items():
        if "skipped" in answer:
            text += f"{name} {answer['skipped']}; "
    if not ours:
        return text + "nothing of ours was timed"
    best = min(ours, key=ours.get)
    text += f"{best} {ours[best]:.3f} ms"
    return text + "".join(
        f", {name} {medians[name] / ours[best]:.2f} times that" for name in ("torch", "product") if name in medians
    )


def _start(python, framework):
    environment = {**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}  # both frameworks are on the device
    command = [python, __file__, "--serve", framework]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, **pipes, text=True, env=environment)


def _ask(process, request):
    try:
        print(json.dumps(request), file=process.stdin, flush=True)
        return json.loads(process.stdout.readline())
    except (BrokenPipeError, json.JSONDecodeError):
        return {"skipped": f"the process ended with status {process.wait()}"}


def serve(framework):
    """Answer requests: describe the device, prepare a subject, measure one by name, forget them all."""
    answers, sys.stdout = sys.stdout, sys.stderr
    prepared = {}
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = _answer(framework, request, prepared)
        except Exception as error:  # whatever a framework raises is the answer
            answer = {"skipped": f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:160]}"}
        print(json.dumps(answer), file=answers, flush=True)


def _answer(framework, request, prepared):
    module = {"jax": InJax, "torch": InTorch}[framework]
    if "describe" in request:
        return module.describe()
    if "forget" in request:
        prepared.clear()
        return {}
    if "measure" in request:
        return {"milliseconds": milliseconds(*prepared[request["name"]], request["measure"])}
    path = pathlib.Path(request["case"])
    case = json.loads((path / "case.json").read_text())
    arrays = inputs(case)
    if digest(arrays) != case["sha256"]:
        raise ValueError("this NumPy draws other numbers from the seed")
    call, wait, results = module.prepare(request["prepare"], case, arrays, request["precision"])
    wait(call())
    if results is not None:
        error = _error(results(), np.load(path / "expected.npz"), case["peaks"])
        if not error <= TOLERANCES[request["precision"]]:
            return {"skipped": f"wrong numbers: off by {error:.2g} of the largest magnitude"}
    prepared[request["name"]] = call, wait
    return {"error": None if results is None else error}


def _error(results, expected, peaks):
    pairs = zip(results, expected.values(), peaks, strict=True)
    return max(float(np.max(np.abs(sampled(got) - want))) / peak for got, want, peak in pairs)


def milliseconds(call, wait, seconds):
    """Of one call among as many, one after the other, as fill the time; a device works through them while more come."""
    wait(call())
    start = time.perf_counter()
    wait(call())
    count = max(math.ceil(seconds / (time.perf_counter() - start)), 3)
    start = time.perf_counter()
    for _ in range(count):
        last = call()
    wait(last)
    return 1e3 * (time.perf_counter() - start) / count


class InJax:
    """Our programs through jaxlib's PJRT client, and a matrix product by jax, on the first device that jax finds."""

    @staticmethod
    def describe():
        import jax

        device = jax.devices()[0]
        return {"platform": device.platform, "device": device.device_kind, "jax": jax.__version__}

    @staticmethod
    def prepare(what, case, arrays, precision):
        if what == "product":
            return InJax._product(case, precision)
        import jax
        from jaxlib import xla_client

        device = jax.devices()[0]
        artefact = _with_precision(pathlib.Path(what).read_bytes(), precision)
        executable = device.client.compile_and_load(artefact, xla_client.DeviceList((device,)))
        names = ("x",) if pathlib.Path(what).parent.name == "exported" else NAMES[case["mode"]]
        dtype = jax.numpy.bfloat16 if precision == "bfloat16" else np.float32
        parameters = [jax.device_put(arrays[name].astype(dtype), device) for name in names]
        call = lambda: executable.execute_sharded(parameters).disassemble_into_single_device_arrays()  # noqa: E731
        return call, InJax._wait, lambda: [np.asarray(column[0], np.float32) for column in call()]

    @staticmethod
    def _product(case, precision):
        """One product forward, three in training, with the multiply-adds of the case."""
        import jax

        rows, inner, columns = case["product"]
        dtype = jax.numpy.bfloat16 if precision == "bfloat16" else jax.numpy.float32
        shapes = ((rows, inner), (inner, columns), (rows, columns))
        a, b, dy = (jax.random.normal(jax.random.key(0), shape, dtype) for shape in shapes)
        dot = lambda a, b: jax.lax.dot(a, b, precision="highest" if precision == "float32" else None)  # noqa: E731
        forward = jax.jit(lambda a, b, dy: [[dot(a, b)]])
        train = jax.jit(lambda a, b, dy: [[dot(a, b)], [dot(dy, b.T)], [dot(a.T, dy)]])
        function = train if case["mode"] == "train" else forward
        return lambda: function(a, b, dy), InJax._wait, None

    @staticmethod
    def _wait(columns):
        for column in columns:
            column[0].block_until_ready()


def _with_precision(artefact, precision):
    """The program; for float32 with its products at the highest precision, which a GPU would else do in TF32."""
    if precision != "float32":
        return artefact
    import io

    from jax.interpreters.mlir import make_ir_context
    from jaxlib.mlir import ir
    from jaxlib.mlir.dialects import stablehlo

    with make_ir_context() as context:
        module = stablehlo.deserialize_portable_artifact(context, artefact)
        highest = ir.ArrayAttr.get([stablehlo.PrecisionAttr.get("HIGHEST")] * 2)

        def heighten(operation):
            if operation.name in ("stablehlo.dot_general", "stablehlo.convolution"):
                operation.attributes["precision_config"] = highest
            return ir.WalkResult.ADVANCE

        module.operation.walk(heighten)
        content = io.BytesIO()
        module.operation.write_bytecode(content)
    return content.getvalue()


class InTorch:
    """torch's layer on the GPU where it finds one, else on the CPU."""

    @staticmethod
    def describe():
        import torch

        gpu = torch.cuda.is_available()
        return {"device": torch.cuda.get_device_name() if gpu else "cpu", "torch": torch.__version__}

    @staticmethod
    def prepare(what, case, arrays, precision):
        import torch

        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
        torch.backends.cudnn.benchmark = True  # cuDNN's fastest algorithm for the shape
        device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
        train = case["mode"] == "train"
        x, dy = (torch.tensor(arrays[name], dtype=dtype, device=device) for name in ("x", "dy"))
        x.requires_grad_(train)
        layer = torch.nn.ConvTranspose1d(**case["layer"])
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(arrays["weight"]))
            layer.bias.copy_(torch.from_numpy(arrays["bias"]))
        layer = layer.to(device, dtype)

        def infer():
            with torch.inference_mode():
                return [layer(x)]

        def step():
            return torch.autograd.grad(layer(x), [x, layer.weight, layer.bias], dy)

        call = step if train else infer
        wait = (lambda tensors: torch.cuda.synchronize()) if device == "cuda" else (lambda tensors: None)
        return call, wait, lambda: [tensor.detach().float().cpu().numpy() for tensor in call()]


def main():
    """Parse, and run; or, started by `run` with a framework's name alone, answer it."""
    if sys.argv[1:] in (["--serve", "jax"], ["--serve", "torch"]):
        serve(sys.argv[2])
        return
    parser = argparse.ArgumentParser(prog="pjrt.py", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path, help="what pjrt_write.py wrote")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.2)
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--torch-python", default=sys.executable, help="an interpreter with torch; default: this one")
    parsed = parser.parse_args()
    run(parsed.folder, parsed.rounds, parsed.seconds, parsed.out, parsed.torch_python)


if __name__ == "__main__":
    main()
