"""One frame of an EnCodec-sized decoder: live, out of a whole second, with recomputed context, and in torch by hand.

    python tests/benchmarks/bench_streaming.py [RESULT.json]

Equality comes first, then the times, taken in turn because a machine's speed drifts; torch runs in a process of its
own, because two frameworks' threads in one slow each other down. One thread everywhere.
"""

import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

FRAMES = 75  # a second
CONTEXT = 25  # frames before the newest that people decode again, a third of a second; the LSTM remembers longer
ROUNDS = 30
IN_A_ROW = {"live_frame": 20, "live_frame_dynamic_int8": 20, "torch_frame": 20}  # as a stream comes; others once


def percentiles(seconds):
    p50, p99 = 1e3 * np.percentile(seconds, [50, 99])
    return {"p50_ms": round(p50, 3), "p99_ms": round(p99, 3)}


def time_in_turn(calls):
    """The seconds of each call, by name, over all rounds but the first two."""
    seconds = {name: [] for name in calls}
    for number in range(ROUNDS):
        for name, call in calls.items():
            for _ in range(IN_A_ROW.get(name, 1)):
                start = time.perf_counter()
                call()
                if number >= 2:
                    seconds[name].append(time.perf_counter() - start)
    return seconds


def bench_litert():
    sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "examples"))
    import keras
    from live_decoder import LATENTS, LiveDecoder, causal_decoder, decode_live

    import lucid_keras as lk

    keras.utils.set_random_seed(0)
    decoder = causal_decoder()
    streaming = lk.StreamingModel(decoder)
    latents = np.random.default_rng(0).standard_normal((1, FRAMES, LATENTS)).astype("float32")
    whole = decoder(latents).numpy()
    with tempfile.TemporaryDirectory() as directory:
        files = {
            chunk: LiveDecoder(lk.export.streaming_to_tflite(streaming, f"{directory}/{chunk}.tflite", chunk=chunk))
            for chunk in (1, CONTEXT + 1, FRAMES)
        }
        small = f"{directory}/dynamic_int8.tflite"
        small = LiveDecoder(lk.export.streaming_to_tflite(streaming, small, quantization="dynamic_int8"))
    live, _ = decode_live(files[1], latents)
    error = np.abs(live - whole).max() / np.abs(whole).max()
    if error > 1e-5:
        raise SystemExit(f"the live decode is not the whole decode: relative error {error:.1e}")

    def recompute():
        files[CONTEXT + 1].reset()
        files[CONTEXT + 1].decode(latents[:, : CONTEXT + 1])

    seconds = time_in_turn(
        {
            "live_frame": lambda: files[1].decode(latents[:, :1]),
            "live_frame_dynamic_int8": lambda: small.decode(latents[:, :1]),
            "whole_second": lambda: files[FRAMES].decode(latents),
            "recomputed_context": recompute,
        }
    )
    frame, share = np.median(seconds["live_frame"]), np.median(seconds["whole_second"]) / FRAMES
    target = 1.15 * share + 0.3e-3
    return {name: percentiles(values) for name, values in seconds.items()} | {
        "relative_error": float(error),
        "whole_second_over_75_ms": round(1e3 * share, 3),
        "target_ms": round(1e3 * target, 3),
        "target_met": bool(frame <= target),
    }


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
        seconds = time_in_turn({"torch_frame": lambda: decoder(latents[:, :, :1])})
    return {"torch_frame": percentiles(seconds["torch_frame"]), "torch": torch.__version__}


def main():
    if sys.argv[1:] == ["--torch"]:
        print(json.dumps(bench_torch()))
        return
    torch = subprocess.run([sys.executable, __file__, "--torch"], check=True, capture_output=True, text=True).stdout
    results = {"machine": platform.processor() or platform.machine(), "threads": 1} | bench_litert() | json.loads(torch)
    text = json.dumps(results, indent=2)
    print(text)
    if sys.argv[1:]:
        pathlib.Path(sys.argv[1]).write_text(text + "\n")


if __name__ == "__main__":
    main()
