"""What the network sees of the server: limits, kinds of bodies, refusals, retries; and the states of live streams."""

import asyncio
import json
import math
import time

import fastapi
import numpy as np
import ray
import uvicorn
from ray import serve
from ray.serve import exceptions
from ray.util import metrics

from lucid_keras.runtimes import bytes_of, signal_of

KINDS = {
    "application/octet-stream": ".npy",
    "application/x-npy": ".npy",
    "application/x-www-form-urlencoded": ".npy",  # as curl calls whatever it sends
    "audio/wav": ".wav",
    "audio/x-wav": ".wav",
    "audio/flac": ".flac",
    "audio/ogg": ".ogg",
}
PATIENCE = 0.25  # of what the shortest message lasts, for which streams wait for one another
LEAST_WAIT = 0.005  # seconds, where one stream sends as fast as it can
ATTEMPTS = 3  # a replica that goes away takes what it computes with it; nothing is lost by computing it again
AWAY = (ray.exceptions.RayActorError, exceptions.ReplicaUnavailableError)
app = fastapi.FastAPI(title="lucid_keras")


class RefusedError(Exception):
    """A status of HTTP, and a sentence."""

    def __init__(self, status, sentence):
        super().__init__(sentence)
        self.status, self.sentence = status, sentence


@app.exception_handler(RefusedError)
async def _refused(request, refused):
    headers = {"Retry-After": "1"} if refused.status == 503 else None
    return fastapi.responses.JSONResponse({"error": refused.sentence}, refused.status, headers)


# Ray Serve freezes the class with what is defined before it.
def _chunks(content, shape, dtype):
    """The chunks in a message, each `[positions, channels]`; raises ValueError for anything else."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if content is None or not content or len(content) % size:
        received = "text" if content is None else f"{len(content)} bytes"
        wanted = f"whole chunks of {size} bytes, {dtype}{list(shape)}"
        raise ValueError(f'A message must be "end" or {wanted}. Received: {received}')
    chunks = np.frombuffer(content, dtype).reshape(-1, *shape)
    if not np.isfinite(chunks).all():
        raise ValueError(f"Chunks must be finite. Received: {np.sum(~np.isfinite(chunks))} numbers that are not")
    return chunks


async def _send(socket, samples, skipped, axis):
    """Send what is not to be left out at the beginning; how much is to be left out yet."""
    kept = samples[skipped:] if axis == 0 else samples[:, skipped:]
    if kept.size:
        await socket.send_bytes(np.ascontiguousarray(kept).tobytes())
    return max(0, skipped - samples.shape[axis])


async def _end(socket, code, sentence):
    try:
        await socket.send_text(json.dumps({"error": sentence}))
        await socket.close(code, sentence[:120])
    except RuntimeError:
        pass  # it is closed already


def _media_type(suffix):
    return next(name for name, kind in KINDS.items() if kind == suffix)


@serve.deployment
@serve.ingress(app)
class Front:
    """`POST /decode` and `GET /health` behind Ray's proxy, and the WebSocket `/live` at a port of its own.

    Through the proxy a message would take ten milliseconds.

    Args:
        decoder: a handle of `Decoder`, None where only streams are served.
        stepper: a handle of `Stepper`, None where only whole signals are.
        limits: a `Limits`.
    """

    async def __init__(self, decoder, stepper, limits):
        self.decoder, self.stepper, self.limits = decoder, stepper, limits
        self.sockets = {}  # seconds between the last two messages of each stream
        self.begun, self.most, self.asking = None, 1, asyncio.Lock()
        self.refusals = metrics.Counter("lucid_refused", "requests that were refused", tag_keys=("status",))
        self.live = metrics.Gauge("lucid_streams", "live streams")
        self.listening = asyncio.create_task(self._listen()) if stepper else None

    async def __del__(self):
        """Every stream is told that this process goes away."""
        for socket in list(self.sockets):
            await _end(socket, 1012, "A stream must have its server. Received: one that ends; connect again")

    async def _listen(self):
        live = fastapi.FastAPI()
        live.add_api_websocket_route("/live", self.stream)
        # Samples do not become shorter by compression, which takes longer than all else here.
        options = {"ws_per_message_deflate": False, "log_level": "error"}
        await uvicorn.Server(uvicorn.Config(live, self.limits.host, self.limits.live_port, **options)).serve()

    @app.get("/health")
    async def health(self):
        """What is served, and that it answers."""
        found = {"streams": len(self.sockets), "most_streams": self.limits.streams if self.stepper else 0}
        if self.decoder:
            found["decode"] = await self._answer(self.decoder.describe)
        return found

    @app.post("/decode")
    async def decode(self, request: fastapi.Request):
        """The bytes of a `.npy` file or of a recording to those of what the model makes of it, in the kind accepted."""
        try:
            suffix = self._kind(request)
            signal = await self._signal(request, suffix)
            kind = KINDS.get(request.headers.get("accept", "").split(",")[0].strip(), ".npy")
            if kind != ".npy" and self.limits.rate is None:
                raise RefusedError(406, "A recording needs a rate: --rate. Received: a server without one")
            samples = await self._answer(self.decoder.decode, signal, suffix != ".npy", kind != ".npy")
            return fastapi.Response(bytes_of(samples, kind, self.limits.rate), media_type=_media_type(kind))
        except ValueError as error:
            raise self._refusal(422, str(error)) from None
        except RefusedError as refused:
            raise self._refusal(refused.status, refused.sentence) from None

    async def stream(self, socket: fastapi.WebSocket):
        """Float32 chunks in and float32 samples out, both binary; the text `end` ends a stream, after its last samples.

        A stream that is not as it should be, or cannot go on, ends with a text `{"error": sentence}`.
        """
        await socket.accept()
        if len(self.sockets) >= self.limits.streams:
            most = self.limits.streams
            sentence = f"The server must have room. Received: one stream more than {most}; try again later"
            await self._refuse(socket, 1013, sentence)
            return
        self.sockets[socket] = math.inf
        try:
            await self._stream(socket)
        except fastapi.WebSocketDisconnect:
            pass  # who is gone needs no answer
        except ValueError as error:
            await self._refuse(socket, 1007, str(error))
        except RefusedError as refused:
            await self._refuse(socket, 1013, refused.sentence)
        finally:
            del self.sockets[socket]
            self._count()

    async def _refuse(self, socket, code, sentence):
        self._refusal(code, sentence)
        await _end(socket, code, sentence)

    def _count(self):
        """How many streams there are: where all of them wait, none else is waited for."""
        self.live.set(len(self.sockets))
        self._step.set_max_batch_size(max(1, min(self.most, len(self.sockets))))

    def _pace(self, socket, period):
        """What a stream's message lasts; none is made late by waiting for one that pauses."""
        self.sockets[socket] = period
        wait = max(LEAST_WAIT, PATIENCE * min(self.sockets.values()))
        self._step.set_batch_wait_timeout_s(min(self.limits.live_wait, wait))

    async def _beginning(self):
        """What a stream needs, asked for once."""
        async with self.asking:
            if self.begun is None:
                *self.begun, self.most = await self._answer(self.stepper.begin)
        return self.begun

    async def _stream(self, socket):
        shape, dtype, state = await self._beginning()
        self._count()
        skipped, axis = self.limits.latency, int(self.limits.channels_first)
        before = time.monotonic()
        while True:
            try:
                message = await asyncio.wait_for(socket.receive(), self.limits.idle)
            except TimeoutError:
                sentence = f"A stream must go on or end. Received: nothing for {self.limits.idle:g} seconds"
                raise RefusedError(503, sentence) from None
            if message["type"] == "websocket.disconnect":
                return
            if message.get("text") == "end":
                break
            period, before = time.monotonic() - before, time.monotonic()
            self._pace(socket, period)
            pieces = []
            for chunk in _chunks(message.get("bytes"), shape, dtype):
                y, state = await self._step((chunk, state))
                pieces.append(y)
            skipped = await _send(socket, np.concatenate(pieces, axis), skipped, axis)
        y, _ = await self._step((None, state))
        if y is not None:
            await _send(socket, y, skipped, axis)
        await socket.close(1000)

    @serve.batch(max_concurrent_batches=2)
    async def _step(self, given):
        """For the waiting streams' `(chunk, state)` their `(samples, state)`; a chunk of None ends a stream.

        By one call, for which Ray takes longer than most steps do.
        """
        found = [(None, None)] * len(given)
        stepping = [index for index, (chunk, _) in enumerate(given) if chunk is not None]
        ending = [index for index, (chunk, _) in enumerate(given) if chunk is None]
        if stepping:
            stacked = (np.stack([given[index][part] for index in stepping]) for part in (0, 1))
            for index, *one in zip(stepping, *await self._answer(self.stepper.step, *stacked), strict=True):
                found[index] = one
        if ending:
            states = np.stack([given[index][1] for index in ending])
            last = await self._answer(self.stepper.flush, states)
            for row, index in enumerate(ending):
                found[index] = (None if last is None else last[row], None)
        return found

    async def _answer(self, method, *arguments):
        """What a replica answers, another one's where it goes away; raises `RefusedError` where none can."""
        for attempt in range(ATTEMPTS):
            try:
                return await method.remote(*arguments)
            except exceptions.BackPressureError:
                raise RefusedError(503, "The server must have room. Received: a full queue; try again later") from None
            except AWAY:
                await asyncio.sleep(0.2 * attempt)
            except ray.exceptions.RayTaskError as error:
                raise error.cause from None
        raise RefusedError(503, f"A replica must answer. Received: none in {ATTEMPTS} attempts; try again later")

    def _kind(self, request):
        if self.decoder is None:
            raise RefusedError(404, "Whole signals must be served. Received: a server of live streams alone")
        kind = request.headers.get("content-type", "application/octet-stream").split(";")[0].strip()
        if kind not in KINDS:
            raise RefusedError(415, f"The content must be one of {', '.join(KINDS)}. Received: {kind}")
        return KINDS[kind]

    async def _signal(self, request, suffix):
        body = bytearray()
        async for piece in request.stream():
            body += piece
            if len(body) > self.limits.bytes:
                raise RefusedError(413, f"A request must be of at most {self.limits.bytes} bytes. Received: more")
        try:
            signal, _ = signal_of(bytes(body), suffix)
        except ValueError as error:
            raise RefusedError(400, f"The content must be a whole {suffix} file. Received: {error}") from None
        if max(signal.shape, default=0) > self.limits.positions:
            sentence = f"A signal must have at most {self.limits.positions} positions. Received: {list(signal.shape)}"
            raise RefusedError(413, sentence)
        return signal

    def _refusal(self, status, sentence):
        self.refusals.inc(tags={"status": str(status)})
        return RefusedError(status, sentence)
