"""Serve a proven artefact with Ray Serve: whole signals over HTTP, live streams over WebSockets.

    python export/serving/ray_serve.py served/vocoder/1                          a SavedModel
    python export/serving/ray_serve.py vocoder.tflite --rate 24000               a file of open length, WAV if wanted
    python export/serving/ray_serve.py --live live_1.tflite live_8.tflite        streams, up to eight in a step

    curl --data-binary @mel.npy -H 'Accept: audio/wav' http://127.0.0.1:8000/decode -o voice.wav
    curl http://127.0.0.1:8000/health

Signals of any lengths are decoded together and are what each is by itself (`lucid_keras.runtimes.Ragged`). A full queue
answers 503; a replica that dies is replaced, and what it computed is computed again, live streams included, for their
states are not its own. Metrics for Prometheus are at `--metrics-port`. Ctrl-C ends it.
"""

import argparse
import dataclasses
import logging
import os
import pathlib
import signal
import socket
import sys
import threading

HERE = pathlib.Path(__file__).resolve().parent
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # nothing is told to anybody


OPTIONS = "host", "live_port", "live_wait", "positions", "streams", "idle", "latency", "channels_first", "rate"


@dataclasses.dataclass(frozen=True)
class Limits:
    """Where live streams come to and how long, in seconds, one waits for others, and what a request may ask for.

    `bytes` and `positions` of a whole signal; `streams` at once, and seconds `idle` after which one ends; `latency`
    samples at the beginning of a stream that are to be left out, and whether it is `channels_first`; the `rate` of
    recordings in Hz.
    """

    host: str
    live_port: int
    live_wait: float
    bytes: int
    positions: int
    streams: int
    idle: float
    latency: int
    channels_first: bool
    rate: int | None


def parser():
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("model", nargs="?", type=pathlib.Path, help="a SavedModel or .tflite file of open length")
    made.add_argument("--live", nargs="+", type=pathlib.Path, default=[], help="streaming artefacts of one model")
    made.add_argument("--host", default="127.0.0.1", help="default: this machine alone")
    made.add_argument("--port", type=int, default=8000)
    made.add_argument("--live-port", type=int, default=8002, help="of live streams (default: 8002)")
    made.add_argument("--live-wait", type=float, default=0.03, help="seconds that a stream waits for others, at most")
    made.add_argument("--metrics-port", type=int, default=8001)
    made.add_argument("--replicas", type=int, default=1, help="at least so many processes of each kind")
    made.add_argument("--most-replicas", type=int, help="at most, while there is more to do (default: no more)")
    made.add_argument("--threads", type=int, default=1, help="of each of them (default: 1)")
    made.add_argument("--together", type=int, default=8, help="signals that are decoded in a call (default: 8)")
    made.add_argument("--wait", type=float, default=0.005, help="seconds that the first waits for others")
    made.add_argument("--queue", type=int, default=64, help="requests that may wait; more are refused (default: 64)")
    made.add_argument("--streams", type=int, default=100, help="at once; more are refused (default: 100)")
    made.add_argument("--idle", type=float, default=60, help="seconds after which a silent stream ends (default: 60)")
    made.add_argument("--latency", type=int, default=0, help="samples to leave out, as the export's report has them")
    made.add_argument("--channels-first", action="store_true", help="of live streams: [channels, positions]")
    made.add_argument("--megabytes", type=float, default=32, help="of a request at most (default: 32)")
    made.add_argument("--positions", type=int, default=100_000, help="of a signal at most (default: 100000)")
    made.add_argument("--rate", type=int, help="Hz, with which recordings are answered")
    return made


def application(decoder, steppers, given):
    """The deployments, bound: `decoder` as `workers.Decoder` takes it, or None; paths of streaming artefacts."""
    from front import Front
    from ray.serve.config import RequestRouterConfig
    from workers import Decoder, Stepper

    scaled = {
        "autoscaling_config": {
            "min_replicas": given.replicas,
            "max_replicas": given.most_replicas or given.replicas,
            "target_ongoing_requests": given.together,
            "upscale_delay_s": 5,
        },
        "ray_actor_options": {"num_cpus": given.threads},
        "max_ongoing_requests": 2 * given.together,
        "max_queued_requests": given.queue,
        # Who waits asks again that often whether there is room; by Ray's default a replica idles for half a second.
        "request_router_config": RequestRouterConfig(max_backoff_s=0.025),
        "health_check_period_s": 2,
        "graceful_shutdown_timeout_s": 10,
    }
    limits = Limits(
        bytes=int(given.megabytes * 2**20),
        **{name: getattr(given, name) for name in OPTIONS},
    )
    streams = {"max_ongoing_requests": max(2 * given.together, given.streams), "max_queued_requests": -1}
    decoders = Decoder.options(**scaled).bind(decoder, given.together, given.wait) if decoder else None
    stepped = Stepper.options(**scaled | streams).bind(steppers, given.threads) if steppers else None
    front = Front.options(ray_actor_options={"num_cpus": 0}, max_ongoing_requests=10_000)
    return front.bind(decoders, stepped, limits)


def checked(given):
    """Raises one sentence for what cannot be served; loads what is to be served, as a replica will."""
    from workers import artefact, opened_streams

    if not given.model and not given.live:
        raise ValueError("There must be a model, or --live. Received: neither")
    for path in (given.model, *given.live):
        if path and not path.exists():
            raise FileNotFoundError(f"The artefact must exist. Received: {path}")
    for port in (given.port, *([given.live_port] if given.live else [])):
        check_free(given.host, port)
    if given.model:
        print(f"{given.model}: {artefact(given.model, given.threads)(given.together).describe()}")
    if given.live:
        rows = opened_streams(given.live, given.threads)
        print(f"live: steps of {', '.join(map(str, rows))} streams")


def check_free(host, port):
    """Raises OSError where a port is taken."""
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError as error:
            raise OSError(f"The port must be a free one. Received: {port}: {error.strerror}") from None


def start(application, given):
    """Ray and its server on this machine, and the application once it answers."""
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    import ray
    from ray import serve

    replicas = given.most_replicas or given.replicas
    importable = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))  # by the replicas
    ray.init(
        address="local",
        num_cpus=max(os.cpu_count(), 2 * replicas * given.threads),
        include_dashboard=False,
        log_to_driver=False,
        configure_logging=False,
        runtime_env={"env_vars": {"PYTHONPATH": importable}},
        _metrics_export_port=given.metrics_port,
    )
    serve.start(http_options={"host": given.host, "port": given.port}, logging_config={"log_level": "ERROR"})
    return serve.run(application, name="lucid_keras", route_prefix="/")


def stop():
    """All of it."""
    import ray
    from ray import serve

    serve.shutdown()
    ray.shutdown()


def serve_until_ended(decoder, given):
    """Serve until Ctrl-C or a termination: `decoder` as `workers.Decoder` takes it, or None, and `--live`'s files."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    start(application(decoder, [path.resolve() for path in given.live], given), given)
    addresses = [f"http://{given.host}:{given.port}/health", f"metrics at port {given.metrics_port}"]
    if given.live:
        addresses.insert(1, f"ws://{given.host}:{given.live_port}/live")
    print("; ".join([*addresses, "Ctrl-C ends it"]), flush=True)
    ended.wait()
    stop()


def main(argv=None):
    given = parser().parse_args(argv)
    try:
        checked(given)
        from workers import artefact

        serve_until_ended(artefact(given.model.resolve(), given.threads) if given.model else None, given)
    except ModuleNotFoundError as error:
        sys.exit(f"ray_serve: serving needs {error.name}: pip install 'lucid_keras[serve]'")
    except (ImportError, OSError, ValueError, RuntimeError) as error:
        sys.exit(f"ray_serve: {error}")


if __name__ == "__main__":
    sys.path.insert(0, str(HERE))
    main()
