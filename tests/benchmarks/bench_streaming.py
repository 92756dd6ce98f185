"""One frame of an EnCodec-sized decoder: live, out of a whole second, with recomputed context, and in torch by hand.

    PYTHONPATH=tests python -m benchmarks.bench_streaming     writes tests/benchmarks/streaming.json
    PYTHONPATH=tests python -m benchmarks.streaming_report    writes the page and the README's line from it

Equality comes first, then the times, taken in turn because a machine's speed drifts; torch runs in a process of its
own, because two frameworks' threads in one slow each other down. One thread everywhere.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from lucid_keras.bench.machine import machine

FRAMES = 75  # a second
CONTEXT = 25  # frames before the newest that people decode again, a third of a second; the LSTM remembers longer
ROUNDS = 30
IN_A_ROW = 20  # frames, as a stream brings them; whole seconds come once a round
EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"
RESULTS = pathlib.Path(__file__).parent / "streaming.json"


def percentiles(seconds):
    p50, p99 = 1e3 * np.percentile(seconds, [50, 99])
    return {"p50_ms": round(p50, 3), "p99_ms": round(p99, 3)}


def time_in_turn(calls):
    """The percentiles of each call, by name, over all rounds but the first two."""
    seconds = {name: [] for name in calls}
    for number in range(ROUNDS):
        for name, call in calls.items():
            for _ in range(IN_A_ROW if "frame" in name else 1):
                start = time.perf_counter()
                call()
                if number >= 2:
                    seconds[name].append(time.perf_counter() - start)
    return {name: percentiles(values) for name, values in seconds.items()}


def relative_error(live, whole):
    return float(np.abs(live - whole).max() / np.abs(whole).max())


def bench_litert():
    sys.path.insert(0, str(EXAMPLES))
    import keras
    from ai_edge_litert.interpreter import Interpreter
    from live_decoder import LATENTS, LiveDecoder, causal_decoder, decode_live

    import lucid_keras as lk

    keras.utils.set_random_seed(0)
    decoder = causal_decoder()
    streaming = lk.StreamingModel(decoder)
    latents = np.random.default_rng(0).standard_normal((1, FRAMES, LATENTS)).astype("float32")
    whole, frame = decoder(latents).numpy(), latents[:, :1]
    with tempfile.TemporaryDirectory() as directory:

        def file(name, **options):
            return lk.export.streaming_to_tflite(streaming, f"{directory}/{name}.tflite", **options).path

        live, context = LiveDecoder(file("live")), LiveDecoder(file("context", chunk=CONTEXT + 1))
        small = LiveDecoder(file("small", quantization="dynamic_int8"))
        seconds = LiveDecoder(file("second", chunk=FRAMES))
        small_seconds = LiveDecoder(file("small_second", chunk=FRAMES, quantization="dynamic_int8"))
        keeping = Interpreter(str(file("keeping", states="variables")), num_threads=1).get_signature_runner("step")
    kept = np.concatenate([keeping(x=latents[:, number : number + 1])["y"] for number in range(FRAMES)], axis=1)
    errors = {
        "live": relative_error(decode_live(live, latents)[0], whole),
        "keeping": relative_error(kept, whole),
        "whole_second": relative_error(seconds.decode(latents), whole),
    }
    if max(errors.values()) > 1e-5:
        raise SystemExit(f"the live decode is not the whole decode: relative errors {errors}")

    def recompute():
        context.reset()
        context.decode(latents[:, : CONTEXT + 1])

    times = time_in_turn(
        {
            "frame": lambda: live.decode(frame),
            "frame_states_kept": lambda: keeping(x=frame),
            "frame_dynamic_int8": lambda: small.decode(frame),
            "second": lambda: seconds.decode(latents),
            "second_dynamic_int8": lambda: small_seconds.decode(latents),
            "recomputed_context": recompute,
        }
    )
    return times, errors


def bench_torch():
    """The same decoder in torch, its histories, overlaps and LSTM states carried by hand; weights at random."""
    import torch
    from torch import nn
    from torch.nn import functional

    torch.set_num_threads(1)
    torch.manual_seed(0)

    class Causal(nn.Conv1d):
        def forward(self, x):
            reach = self.kernel_size[0] - 1
            if not hasattr(self, "history"):
                self.history = x.new_zeros(1, self.in_channels, reach)
            heard = torch.cat([self.history, x], 2)
            self.history = heard[:, :, heard.shape[2] - reach :]
            return super().forward(heard)

    class Overlapped(nn.ConvTranspose1d):
        def forward(self, x):
            y = functional.conv_transpose1d(x, self.weight, None, self.stride)
            if hasattr(self, "overlap"):
                y[:, :, : self.overlap.shape[2]] += self.overlap
            self.overlap = y[:, :, x.shape[2] * self.stride[0] :]
            return y[:, :, : x.shape[2] * self.stride[0]] + self.bias[:, None]

    class Recurrent(nn.LSTM):
        state = None

        def forward(self, x):
            y, self.state = super().forward(x.transpose(1, 2), self.state)
            return x + y.transpose(1, 2)

    class Residual(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.block = nn.Sequential(
                nn.ELU(), Causal(width, width // 2, 3), nn.ELU(), nn.Conv1d(width // 2, width, 1)
            )
            self.shortcut = nn.Conv1d(width, width, 1)

        def forward(self, x):
            return self.shortcut(x) + self.block(x)

    width, parts = 512, [Causal(128, 512, 7), Recurrent(512, 512, 2, batch_first=True)]
    for ratio in (8, 5, 4, 2):
        parts += [nn.ELU(), Overlapped(width, width // 2, 2 * ratio, ratio), Residual(width // 2)]
        width //= 2
    decoder = nn.Sequential(*parts, nn.ELU(), Causal(width, 1, 7)).eval()

    def begin_anew():
        for part in decoder.modules():
            for state in ("history", "overlap"):
                part.__dict__.pop(state, None)
            if isinstance(part, Recurrent):
                part.state = None

    latents = torch.randn(1, 128, FRAMES)
    with torch.inference_mode():
        whole = decoder(latents)
        begin_anew()
        live = torch.cat([decoder(latents[:, :, frame : frame + 1]) for frame in range(FRAMES)], 2)
        error = ((live - whole).abs().max() / whole.abs().max()).item()
        if error > 1e-5:
            raise SystemExit(f"torch's live decode is not its whole decode: relative error {error:.1e}")
        return time_in_turn({"frame_torch": lambda: decoder(latents[:, :, :1])})


def main():
    if sys.argv[1:] == ["--torch"]:
        print(json.dumps(bench_torch()))
        return
    times, errors = bench_litert()
    command = [sys.executable, "-m", "benchmarks.bench_streaming", "--torch"]
    torch = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    results = {"machine": machine(1), "relative_errors": errors, "times": times | torch}
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
