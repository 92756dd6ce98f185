"""Ray Serve: each has what its signal is alone, the rest is refused, and a replica that dies costs nobody anything."""

import asyncio
import concurrent.futures
import contextlib
import importlib
import io
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import numpy as np
import pytest
import soundfile
import websockets
from conftest import CHUNK, ROOT, drawn

PROGRAM = ROOT / "export/serving/ray_serve.py"
LIMIT = 120  # seconds to start, and for whatever else


def free_port():
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return trial.getsockname()[1]


class Server:
    """The program, started; a context manager that ends it as a person does."""

    def __init__(self, *arguments, **environment):
        self.port, self.live_port, self.metrics_port = free_port(), free_port(), free_port()
        ports = "--port", self.port, "--live-port", self.live_port, "--metrics-port", self.metrics_port
        self.process = subprocess.Popen(
            [sys.executable, str(PROGRAM), *map(str, (*arguments, *ports))],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.said = []

    def __enter__(self):
        for line in self.process.stdout:
            self.said.append(line)
            if "Ctrl-C ends it" in line:
                return self
        raise AssertionError("".join(self.said))

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=LIMIT)

    def post(self, body, **headers):
        """Status and body of an answer."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        given.setdefault("Content-Type", "application/octet-stream")
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/decode", body, given)
        try:
            with urllib.request.urlopen(request, timeout=LIMIT) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def decode(self, array):
        """Status, and the array or the error."""
        status, body = self.post(npy(array))
        return status, np.load(io.BytesIO(body)) if status == 200 else json.loads(body)["error"]

    def health(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=LIMIT) as answer:
            return json.load(answer)

    def metrics(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=LIMIT) as answer:
            return answer.read().decode()

    async def stream(self, array, delay=0.0, axis=0):
        """What a live stream makes of an array, whole chunks, sent one by one."""
        async with websockets.connect(f"ws://127.0.0.1:{self.live_port}/live", open_timeout=LIMIT) as live:
            pieces = asyncio.create_task(_received(live))
            for chunk in np.split(array, array.shape[axis] // CHUNK, axis):
                await live.send(chunk.tobytes())
                await asyncio.sleep(delay)
            await live.send("end")
            samples = [np.frombuffer(piece, "float32") for piece in await pieces]
            return np.concatenate([one.reshape((-1, 2) if axis == 0 else (2, -1)) for one in samples], axis)

    def replicas(self, deployment):
        """The processes of a deployment."""
        own = ",".join(map(str, processes("-P", self.process.pid)))  # among them who starts replicas
        return processes("-P", own, "-f", f"^ray::ServeReplica:lucid_keras:{deployment}")


def processes(*chosen):
    found = subprocess.run(["pgrep", *map(str, chosen)], capture_output=True, text=True, check=False)
    return [int(pid) for pid in found.stdout.split()]


async def _received(live):
    return [piece async for piece in live]


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def wav(samples, rate=24_000):
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, format="WAV", subtype="FLOAT")
    return stream.getvalue()


@pytest.fixture(scope="module")
def server(served):
    limits = "--queue", 16, "--streams", 24, "--positions", 5000, "--megabytes", 1, "--idle", 5
    options = "--rate", 24_000, "--latency", served.latency, "--replicas", 2
    with Server(served.saved_model, "--live", *served.live, *options, *limits) as started:
        yield started


def test_signals_of_any_lengths_at_once_are_what_each_is_alone(server, served):
    given = drawn([20, 300, 33, 64, 100, 41, 77, 500] * 2)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        found = list(pool.map(server.decode, given))
    assert {status for status, _ in found} == {200}
    assert all(served.is_right(x, y) for x, (_, y) in zip(given, found, strict=True))


def test_recordings_in_and_out(server, served):
    (x,) = drawn([100])
    status, body = server.post(wav(x), Content_Type="audio/wav", Accept="audio/wav")
    assert status == 200
    samples, rate = soundfile.read(io.BytesIO(body), dtype="float32")
    assert rate == 24_000
    np.testing.assert_allclose(samples, np.clip(served.expected(x), -1, 1), atol=1 / 2**14)


def test_what_curl_sends_without_a_word_about_it_is_an_array(server):
    (x,) = drawn([100])
    assert server.post(npy(x), Content_Type="application/x-www-form-urlencoded")[0] == 200


X = drawn([60])[0]
SPOILT = np.where(X > 2, np.nan, X)
REFUSED = {
    "not a file": ({"body": b"junk"}, 400, "whole .npy file"),
    "a file that breaks off": ({"body": npy(X)[:-5]}, 400, "must hold 960 bytes. Received: 955"),
    "a pickle": ({"body": npy(np.array([{}]))}, 400, "must be numeric"),
    "a recording that breaks off": ({"body": wav(X)[:-5], "Content_Type": "audio/wav"}, 400, "it breaks off after"),
    "another kind": ({"body": b"{}", "Content_Type": "application/json"}, 415, "must be one of"),
    "NaN": ({"body": npy(SPOILT)}, 422, "must be finite"),
    "another width": ({"body": npy(X[:, :3])}, 422, "float32[None, 4] (None: any length from 1)"),
    "nothing": ({"body": npy(X[:0])}, 422, "Received: float32[0, 4]"),
    "too long": ({"body": npy(np.zeros((5001, 4), "float32"))}, 413, "at most 5000 positions"),
    "too large": ({"body": bytes(2 << 20)}, 413, "at most 1048576 bytes"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name, server):
    given, status, sentence = REFUSED[name]
    found, body = server.post(**given)
    assert (found, sentence in json.loads(body)["error"]) == (status, True), body


def test_live_streams_are_the_whole_decode(server, served):
    given = drawn([CHUNK * chunks for chunks in (8, 20, 33, 12, 50, 9, 17, 25, 40, 10)])

    async def all_of_them():
        return await asyncio.gather(*(server.stream(x, 0.01) for x in given))

    found = asyncio.run(all_of_them())
    assert all(served.is_right(x, y) for x, y in zip(given, found, strict=True))


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (b"123", "whole chunks of 64 bytes, float32[4, 4]. Received: 3 bytes"),
        ("start", 'must be "end" or whole chunks'),
        (np.full((4, 4), np.nan, "float32").tobytes(), "Chunks must be finite. Received: 16"),
        (None, "for 5 seconds"),
    ],
)
def test_a_stream_that_is_not_as_it_should_be_ends_with_a_sentence(message, sentence, server):
    async def said():
        async with websockets.connect(f"ws://127.0.0.1:{server.live_port}/live") as live:
            if message is not None:
                await live.send(message)
            (only,) = await asyncio.wait_for(_until_closed(live), LIMIT)
            return only

    assert sentence in json.loads(asyncio.run(said()))["error"]


def test_samples_are_not_compressed(server):
    async def extensions():
        async with websockets.connect(f"ws://127.0.0.1:{server.live_port}/live") as live:
            return live.protocol.extensions

    assert asyncio.run(extensions()) == []


@pytest.mark.parametrize(
    ("costs", "waiting", "rows"),
    [({1: 2, 8: 12, 32: 45}, 1, 1), ({1: 2, 8: 12, 32: 45}, 6, 1), ({1: 2.1, 8: 12, 32: 45}, 6, 8),
     ({1: 2, 8: 12, 32: 45}, 32, 32), ({1: 1, 8: 12, 32: 45}, 32, 1), ({4: 3}, 1, 4)],
)  # fmt: skip
def test_streams_step_in_what_is_done_soonest(costs, waiting, rows, monkeypatch):
    monkeypatch.syspath_prepend(PROGRAM.parent)
    assert importlib.import_module("workers").soonest(costs)[waiting] == rows


async def _until_closed(live):
    found = []
    with contextlib.suppress(websockets.ConnectionClosedError):
        async for piece in live:
            found.append(piece)
    return found


def test_more_streams_than_there_is_room_for_are_refused(server):
    async def said():
        async with contextlib.AsyncExitStack() as stack:
            address = f"ws://127.0.0.1:{server.live_port}/live"
            for _ in range(24):
                await stack.enter_async_context(websockets.connect(address))
            assert server.health()["streams"] == 24
            return await _until_closed(await stack.enter_async_context(websockets.connect(address)))

    (only,) = asyncio.run(said())
    assert "one stream more than 24" in json.loads(only)["error"]


def test_clients_that_go_away_leave_nothing_behind(server):
    async def gone():
        live = await websockets.connect(f"ws://127.0.0.1:{server.live_port}/live")
        await live.send(X[:CHUNK].tobytes())
        live.transport.abort()

    asyncio.run(gone())
    with socket.create_connection(("127.0.0.1", server.port)) as half:
        half.sendall(b"POST /decode HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n" + npy(X)[:100])
    deadline = time.monotonic() + LIMIT
    while server.health()["streams"]:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert server.decode(X)[0] == 200


def test_a_full_queue_refuses_and_loses_nothing(server, served):
    given = drawn([2000] * 150)
    with concurrent.futures.ThreadPoolExecutor(150) as pool:
        found = list(pool.map(server.decode, given))
    statuses = {status for status, _ in found}
    assert statuses == {200, 503}
    for x, (status, y) in zip(given, found, strict=True):
        assert served.is_right(x, y) if status == 200 else "try again later" in y


def test_a_replica_that_is_killed_costs_no_answer(server, served):
    given = drawn([200 + number for number in range(120)])
    before = set(server.replicas("Decoder"))
    assert len(before) == 2
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        found = [pool.submit(server.decode, x) for x in given]
        concurrent.futures.wait(found[:20])
        os.kill(min(before), signal.SIGKILL)
        answers = [one.result() for one in found]
    assert {status for status, _ in answers} <= {200, 503}
    right = [served.is_right(x, y) for x, (status, y) in zip(given, answers, strict=True) if status == 200]
    assert all(right)
    assert len(right) > 100
    deadline = time.monotonic() + LIMIT
    while len(set(server.replicas("Decoder")) - before) < 1:
        assert time.monotonic() < deadline
        time.sleep(0.5)


def test_streams_go_on_where_the_replica_that_stepped_them_is_killed(server, served):
    given = drawn([CHUNK * 60] * 8)

    async def all_of_them():
        streams = asyncio.gather(*(server.stream(x, 0.05) for x in given))
        await asyncio.sleep(1)
        os.kill(min(server.replicas("Stepper")), signal.SIGKILL)
        return await streams

    found = asyncio.run(all_of_them())
    assert all(served.is_right(x, y) for x, y in zip(given, found, strict=True))


def test_streams_are_told_that_the_server_ends_and_begin_anew_where_it_is_killed(served):
    """The front is what holds the streams: stepping replicas come and go, it does not."""

    async def until_told(started):
        async with websockets.connect(f"ws://127.0.0.1:{started.live_port}/live") as live:
            await live.send(X[:CHUNK].tobytes())
            await live.recv()
            os.kill(*started.replicas("Front"), signal.SIGKILL)
            assert await asyncio.wait_for(_until_closed(live), LIMIT) == []
        deadline = time.monotonic() + LIMIT
        while True:
            try:
                live = await websockets.connect(f"ws://127.0.0.1:{started.live_port}/live", open_timeout=LIMIT)
                break
            except (OSError, websockets.WebSocketException):  # the one that is killed may still take a connection
                assert time.monotonic() < deadline
                await asyncio.sleep(0.5)
        await live.send(X[:CHUNK].tobytes())
        await live.recv()
        started.process.send_signal(signal.SIGINT)
        (said,) = await asyncio.wait_for(_until_closed(live), LIMIT)
        return said, live.close_code

    with Server("--live", *served.live) as started:
        said, code = asyncio.run(until_told(started))
    assert (json.loads(said)["error"], code) == (
        "A stream must have its server. Received: one that ends; connect again",
        1012,
    )


def test_metrics_tell_what_was_done(server):
    deadline = time.monotonic() + LIMIT
    wanted = (
        "lucid_positions",
        "lucid_batch_signals_bucket",
        "lucid_step_streams_bucket",
        'lucid_refused.*status="422"',
        'lucid_refused.*status="1007"',
        'lucid_refused.*status="1013"',
    )
    while not all(re.search(name, server.metrics()) for name in wanted):
        assert time.monotonic() < deadline, server.metrics()[-3000:]
        time.sleep(1)


async def seconds_alone(server, latency):
    """The shortest time in which a stream has its answer that sends a message each second and has none beside it."""
    chunk, found = drawn([CHUNK])[0].T.tobytes(), []
    async with websockets.connect(f"ws://127.0.0.1:{server.live_port}/live") as live:
        for chunks in (latency // CHUNK + 1, 1, 1, 1):  # of what is late there is no answer
            await asyncio.sleep(1)
            begin = time.monotonic()
            await live.send(chunk * chunks)
            await live.recv()
            found.append(time.monotonic() - begin)
    return min(found)


async def beside_one_that_pauses(server, x):
    async with websockets.connect(f"ws://127.0.0.1:{server.live_port}/live"):
        return await server.stream(x, 0.1, axis=1)


def test_a_file_is_served_as_a_saved_model_is_and_streams_of_channels_first(served, served_channels_first):
    latency = served_channels_first.latency
    assert latency > 0
    options = "--channels-first", "--latency", latency, "--live-wait", 5
    with Server(served.tflite, "--live", *served_channels_first.live, *options) as started:
        given = drawn([20, 33, 300])
        x = drawn([CHUNK * 20])[0].T
        begin = time.monotonic()
        assert served_channels_first.is_right(x, asyncio.run(beside_one_that_pauses(started, x)))
        assert time.monotonic() - begin < 5, "none is waited for, that pauses, longer than a message lasts"
        assert asyncio.run(seconds_alone(started, latency)) < 0.2, "there is no other stream to wait for"
        assert all(served.is_right(x, started.decode(x)[1]) for x in given)
        status, body = started.post(npy(X), Accept="audio/wav")
        assert (status, "needs a rate" in json.loads(body)["error"]) == (406, True)
        children = processes("-P", started.process.pid)
        assert children
    assert started.process.returncode == 0
    assert not [pid for pid in children if pathlib.Path(f"/proc/{pid}").exists()]


def test_replicas_become_more_while_there_is_more_to_do(served):
    with Server(served.saved_model, "--most-replicas", 2, "--together", 2) as started:
        assert len(started.replicas("Decoder")) == 1
        deadline = time.monotonic() + LIMIT
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            while len(started.replicas("Decoder")) < 2:
                assert time.monotonic() < deadline
                assert {status for status, _ in pool.map(started.decode, drawn([1000] * 64))} <= {200, 503}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "There must be a model, or --live"),
        (("missing.tflite",), "The artefact must exist. Received: missing.tflite"),
        ((str(PROGRAM),), "LiteRT must be able to load the file"),
        (("LIVE",), "must have one input and one output"),
        (("--live", "TFLITE"), "A live artefact must step"),
        (("TFLITE", "--port", "TAKEN"), "The port must be a free one"),
    ],
)
def test_what_cannot_be_served_is_one_line(arguments, sentence, served):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        names = {"LIVE": served.live[0], "TFLITE": served.tflite, "TAKEN": taken.getsockname()[1]}
        given = [str(names.get(one, one)) for one in arguments]
        done = subprocess.run(
            [sys.executable, str(PROGRAM), *given], capture_output=True, text=True, check=False, timeout=LIMIT
        )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("ray_serve: ")
    assert sentence in done.stderr
