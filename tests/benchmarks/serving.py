"""Serving under load, and decoding in batches: `python -m benchmarks.serving FOLDER`, in the engines' environments.

It writes `serving.json` beside this file; `serving_make` makes the folder.

Clients ask again as soon as they have their answer; each stream sends a chunk whenever its audio would be there. They
share the processor with the server.
"""

import argparse
import asyncio
import contextlib
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time

import aiohttp
import numpy as np
import websockets

from lucid_keras.bench.machine import machine

HERE = pathlib.Path(__file__)
ROOT = HERE.resolve().parents[2]
RESULTS = HERE.with_name("serving.json")
RATE, HOP = 16_000, 256  # of the vocoder
CLIENTS = (1, 4, 16, 64)
STREAMS = (10, 25, 50, 100)
PARTS = ("decode", "live", "batch")
FRAMES = {"160 ms": 12, "640 ms": 48}  # of a message of a live stream; four chunks in one of the second
LATENTS = 128
SERVED = {
    "LiteRT, float32": ("vocoder_float32.tflite",),
    "LiteRT, dynamic_int8": ("vocoder_dynamic_int8.tflite",),
    "SavedModel": ("vocoder/1",),
    "torch": ("vocoder.pt",),
}


@contextlib.contextmanager
def server(folder, *options):
    """The program, started; gives its port."""
    trials = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    port, live_port, metrics = (one.getsockname()[1] for one in trials)
    for one in trials:
        one.close()
    traced = options[0].endswith(".pt")
    program = ["-m", "benchmarks.serving_torch"] if traced else [str(ROOT / "export/serving/ray_serve.py")]
    ports = "--port", str(port), "--live-port", str(live_port), "--metrics-port", str(metrics)
    # Short steps beside busy processes would wait for their second thread.
    threads = ("--threads", "1", "--replicas", "2") if "--live" in options else ("--threads", "2")
    fixed = *ports, "--queue", "1000", *threads
    process = subprocess.Popen(
        [sys.executable, *program, *options, *fixed],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])},
    )
    try:
        if not any("Ctrl-C" in line for line in process.stdout):
            raise RuntimeError(f"The server must start. Received: {options}")
        yield live_port if "--live" in options else port
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)


async def loaded(port, utterances, clients, seconds):
    """What so many clients get in so many seconds: requests and seconds of audio a second, and times of an answer."""
    url, rng = f"http://127.0.0.1:{port}/decode", random.Random(0)
    times, frames, refused = [], 0, 0
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        end = time.perf_counter() + seconds

        async def client():
            nonlocal frames, refused
            while time.perf_counter() < end:
                length, body = rng.choice(utterances)
                begin = time.perf_counter()
                headers = {"Content-Type": "application/octet-stream"}
                async with session.post(url, data=body, headers=headers) as answer:
                    content = await answer.read()
                if answer.status == 200 and len(content) >= length * HOP * 4:
                    times.append(time.perf_counter() - begin)
                    frames += length
                else:
                    refused += 1

        begin = time.perf_counter()
        await asyncio.gather(*(client() for _ in range(clients)))
        spent = time.perf_counter() - begin
    p50, p99 = np.percentile(times, [50, 99])
    return {
        "requests": len(times) / spent,
        "audio_seconds": frames * HOP / RATE / spent,
        "p50": p50,
        "p99": p99,
        "refused": refused,
    }


async def live(port, streams, frames, seconds):
    """So many streams in real time: the share of messages answered before the next is due, and times of an answer."""
    message = np.random.default_rng(0).standard_normal((frames, LATENTS)).astype("float32").tobytes()
    lasts = frames * 320 / 24_000
    times = []

    async def stream(number):
        async with websockets.connect(f"ws://127.0.0.1:{port}/live", open_timeout=60) as socket_:
            begin = time.perf_counter() + number / streams * lasts
            for index in range(round(seconds / lasts)):
                due = begin + index * lasts
                await asyncio.sleep(max(0, due - time.perf_counter()))
                await socket_.send(message)
                await socket_.recv()
                times.append(time.perf_counter() - due)

    await asyncio.gather(*map(stream, range(streams)))
    p50, p99 = np.percentile(times, [50, 99])
    return {"on_time": float(np.mean(np.array(times) <= lasts)), "p50": p50, "p99": p99}


def in_a_loop(path, paths):
    """Seconds that one process takes for all utterances, one after the other, its start included."""
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as out:
        program = HERE.with_name("serving_loop.py")
        arguments = map(str, (path, out, RATE, *paths))
        subprocess.run([sys.executable, str(program), *arguments], check=True, capture_output=True)
    return time.perf_counter() - begin


def with_beam(python, path, folder, *options):
    """Seconds that Beam takes for a folder, its start included."""
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as out:
        program = ROOT / "export/batch/beam.py"
        arguments = str(path), str(folder), f"{out}/out", "--rate", str(RATE), *options
        subprocess.run([python, str(program), *arguments], check=True, capture_output=True)
    return time.perf_counter() - begin


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--beam", help="the Python of the environment that has Apache Beam")
    parser.add_argument("--seconds", type=float, default=8, help="of each load")
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS, help="others are kept as they are")
    given = parser.parse_args()
    folder = given.folder.resolve()
    paths = sorted((folder / "utterances").glob("*.npy"))
    utterances = [(len(np.load(path)), path.read_bytes()) for path in paths]
    kept = {} if set(given.parts) == set(PARTS) else json.loads(RESULTS.read_text())
    results = kept | {"machine": machine(2), "seconds": given.seconds} | {part: {} for part in given.parts}

    def keep():
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")

    if "decode" in given.parts:
        for name, options in SERVED.items():
            with server(folder, *options) as port:
                asyncio.run(loaded(port, utterances, 2, 3))  # warms up
                for clients in CLIENTS:
                    found = asyncio.run(loaded(port, utterances, clients, given.seconds))
                    results["decode"].setdefault(name, {})[clients] = found
                    print(name, clients, found, flush=True)
            keep()
    if "live" in given.parts:
        with server(folder, "--live", *(f"live_{rows}.tflite" for rows in (1, 8, 32)), "--streams", "200") as port:
            for name, frames in FRAMES.items():
                for streams in STREAMS:
                    found = asyncio.run(live(port, streams, frames, given.seconds))
                    results["live"].setdefault(name, {})[streams] = found
                    print("live", name, streams, found, flush=True)
        keep()
    if "batch" in given.parts:
        seconds = sum(length for length, _ in utterances) * HOP / RATE
        for name in ("LiteRT, float32", "SavedModel"):
            path = folder / SERVED[name][0]
            rows = {"one process in a loop": in_a_loop(path, paths)}
            if given.beam:
                two = "--direct_num_workers", "2", "--direct_running_mode", "multi_processing"
                rows["Beam"] = with_beam(given.beam, path, folder / "utterances")
                rows["Beam, two processes"] = with_beam(given.beam, path, folder / "utterances", *two)
            results["batch"][name] = {"audio_seconds": seconds, "seconds": rows}
            print(name, rows, flush=True)
            keep()


if __name__ == "__main__":
    main()
