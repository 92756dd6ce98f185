"""Compiles StableHLO for an accelerator that is not here, and tells what XLA says of it: one request a line.

Runs in an environment of its own, with jax, libtpu and jax's plugin for CUDA, and the standard library beside them;
`compile_ahead.py` asks. Nothing is run: there is no device.
"""

import collections
import json
import math
import os
import pathlib
import re
import resource
import sys
import time

# As XLA's own description of this card has it; libraries of these versions are assumed there.
H100 = """
gpu_device_info {
  cuda_compute_capability { major: 9 minor: 0 }
  core_count: 132 fpus_per_core: 128 clock_rate_ghz: 1.98
  threads_per_warp: 32 threads_per_block_limit: 1024 threads_per_core_limit: 2048
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  registers_per_block_limit: 65536 registers_per_core_limit: 65536
  shared_memory_per_block: 49152 shared_memory_per_block_optin: 232448 shared_memory_per_core: 233472
  l2_cache_size: 52428800 memory_bandwidth: 3352320000000 device_memory_size: 84942979072
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 8 patch: 0 }
device_description_str: "NVIDIA H100 80GB HBM3"
"""
TOPOLOGIES = {
    "v5e": {"platform": "tpu", "topology_name": "v5e:2x2"},
    "v6e": {"platform": "tpu", "topology_name": "v6e:2x2"},
    "h100": {"platform": "cuda", "topology_name": "h100", "topology": "1x1x1", "target_config": H100},
}
# Triton's products are tiled by trying them on the device; without one XLA falls back on tiles that may not fit.
OPTIONS = {"h100": [("xla_gpu_enable_triton_gemm", False)]}
PACKAGES = ("jax", "jaxlib", "libtpu", "jax-cuda12-plugin", "nvidia-cuda-nvcc-cu12")

BITS = {"pred": 8, "bf16": 16, "f16": 16, "f32": 32, "s32": 32, "u32": 32, "s64": 64, "u64": 64}  # no u8: workspaces
INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?(\S+) = (.+?) ([a-z][a-z0-9-]*)\((.*)$")

Instruction = collections.namedtuple("Instruction", ("name", "shape", "opcode", "rest"))


def entry(text):
    """The instructions of a module's entry computation, as they stand in its text."""
    body = text[re.search(r"^ENTRY ", text, re.MULTILINE).end() :]
    matches = map(INSTRUCTION.match, body.partition("\n}")[0].splitlines())
    return [Instruction(*match.groups()) for match in matches if match]


def tally(text):
    """What a compiled module's text tells: the cycles estimated, and how many of the instructions that cost there are.

    The cycles are None where XLA estimates none, or where there is a loop, whose rounds a sum would not count.
    """
    instructions = entry(text)
    cycles = [int(found[1]) for one in instructions if (found := re.search(r'"estimated_cycles":"?(\d+)', one.rest))]
    opcodes = collections.Counter(one.opcode for one in instructions)
    loops = opcodes["while"] + opcodes["conditional"] + opcodes["call"]
    targets = (re.search(r'custom_call_target="([^"]+)"', one.rest) for one in instructions)
    return {
        "cycles": sum(cycles) if cycles and not loops else None,
        "fusions": opcodes["fusion"],
        "copies": opcodes["copy"],
        "calls": dict(collections.Counter(found[1] for found in targets if found)),
    }


def called_bytes(text):
    """What the custom calls read and write, their workspaces aside: XLA's own count leaves them out."""
    instructions = entry(text)
    sizes = {one.name: size(one.shape) for one in instructions}
    calls = [one for one in instructions if one.opcode == "custom-call"]
    operands = [re.findall(r"%([^\s,)]+)", one.rest.partition(")")[0]) for one in calls]
    return sum(sizes[one.name] for one in calls) + sum(sizes[name] for names in operands for name in names)


def size(shape):
    """The bytes of an array's shape as HLO writes it, or of a tuple's."""
    bits = 0
    for dtype, extents in re.findall(r"(\w+)\[([\d,]*)\]", shape):
        count = BITS.get(dtype, 0)
        for extent in filter(None, extents.split(",")):
            count *= int(extent)
        bits += count
    return bits // 8


class Compiler:
    """XLA for one target."""

    def __init__(self, target):
        import jax
        from jax.experimental import topologies

        self.cpu = jax.devices("cpu")[
            0
        ].client  # its first question loads the plugins, and finds that no device is here
        self.device = topologies.get_topology_desc(**TOPOLOGIES[target]).devices[0]
        self.target = target

    def describe(self):
        from importlib import metadata

        return {"device": self.device.device_kind, "versions": {name: metadata.version(name) for name in PACKAGES}}

    def compile(self, path, allowed):
        """What XLA says of a program, and the processor's seconds that compiling took.

        After `allowed` of them the system ends this process with SIGXCPU; a clock would count other programs' time too.
        """
        from jax.interpreters.mlir import make_ir_context
        from jaxlib import xla_client
        from jaxlib.mlir.dialects import stablehlo

        options = xla_client.CompileOptions()
        options.env_option_overrides = OPTIONS.get(self.target, [])
        with make_ir_context() as context:
            program = stablehlo.deserialize_portable_artifact(context, pathlib.Path(path).read_bytes())
            written = str(program)
            start = time.process_time()
            _end_after(start + allowed)
            executable = self.device.client.compile(program, xla_client.DeviceList((self.device,)), options)
            seconds = time.process_time() - start
            _end_after(math.inf)
        (module,) = executable.hlo_modules()
        memory = executable.get_compiled_memory_stats()
        found = {"seconds": round(seconds, 2), "temporary": memory.temp_size_in_bytes}
        return found | self._costs(written, executable, module) | tally(module.to_string())

    def _costs(self, written, executable, module):
        """Operations and bytes moved. For a GPU XLA tells neither of what it compiled, and knows no custom call's
        operations: so the operations are the program's before XLA's passes, and the calls' bytes are added."""
        from jaxlib._jax import hlo_module_cost_analysis, mlir

        if self.target != "h100":
            costs = executable.cost_analysis()
            costs = costs if isinstance(costs, dict) else costs[0]
            return {"operations": costs["flops"], "bytes": costs["bytes accessed"]}
        before = mlir.mlir_module_to_xla_computation(written).get_hlo_module()
        own = hlo_module_cost_analysis(self.cpu, module)["bytes accessed"]
        operations = hlo_module_cost_analysis(self.cpu, before)["flops"]
        return {"operations": operations, "bytes": own + called_bytes(module.to_string())}


def _end_after(seconds):
    """Let the system end this process once it has had so much of the processor."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (hard if seconds == math.inf else math.ceil(seconds), hard))


def main(target):
    """Answer requests: describe the compiler, compile the program in a file within a limit."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the compilers print is no answer
    compiler = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            compiler = compiler or Compiler(target)
            answer = compiler.compile(**request) if request else compiler.describe()
        except Exception as error:  # whatever XLA raises is the answer
            answer = {"skipped": f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
