"""Train the autoencoder on several devices, on several machines, and after a machine has died.

    python examples/train_distributed.py                          one device, 60 steps
    python examples/train_distributed.py --devices 2              two of this machine, MirroredStrategy
    python examples/train_distributed.py --workers 2              two processes, MultiWorkerMirroredStrategy
    TF_CONFIG=... python examples/train_distributed.py            one of several machines, as TF_CONFIG says

All of them train the same: the batch of a step is drawn by the number of the step, and each device has its rows of it.
Every `--save-every` steps the first process saves weights, optimizer and the number of the step. Who is started again
goes on from there; with `--workers` all are started again when one dies. `fit` cannot train under
MultiWorkerMirroredStrategy in Keras 3, neither Keras's layers nor these, and `keras.distribution` knows JAX alone; a
loop of `strategy.run` can.
"""

import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's notes would hide the results

import keras
import numpy as np
import tensorflow as tf
from comparison import parser_of, run
from train_audio_autoencoder import BATCH, autoencoder, read_recording

RECORDING = pathlib.Path(__file__).resolve().parent.parent / "lucid_keras/recording/guitar_slide.flac"
LEARNING_RATE = 1e-3
ATTEMPTS = 5  # how often the processes are started again


def batch(recording, step, samples):
    """The excerpts of a step `[BATCH, samples, 1]`, the same whoever asks and however often."""
    starts = np.random.default_rng([7, step]).integers(0, len(recording) - samples, BATCH)
    return np.stack([recording[start : start + samples] for start in starts])[:, :, np.newaxis]


def strategy_for(devices):
    """The strategy that the environment and the arguments ask for."""
    if "TF_CONFIG" in os.environ:
        return tf.distribute.MultiWorkerMirroredStrategy()
    if devices == 1:
        return tf.distribute.get_strategy()
    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    if kind == "CPU" and len(tf.config.list_logical_devices("CPU")) < devices:
        raise ValueError(f"There must be {devices} devices. Received: {len(tf.config.list_logical_devices('CPU'))}")
    return tf.distribute.MirroredStrategy([f"{kind}:{number}" for number in range(devices)])


def trained(strategy, recording, steps, samples, folder, save_every, tell=print):
    """The model after so many steps, gone on from what is saved in the folder.

    Args:
        strategy: a `tf.distribute.Strategy`; `BATCH` must be a multiple of its devices.
        recording: `[samples]`, float32.
        steps: int, of all runs together.
        samples: int, of an excerpt.
        folder: where checkpoints are, or begin to be.
        save_every: int, steps.
        tell: called with a line at each checkpoint.
    """
    replicas = strategy.num_replicas_in_sync
    if BATCH % replicas:
        raise ValueError(f"A batch of {BATCH} must be shared out evenly. Received: {replicas} devices")
    with strategy.scope():
        keras.utils.set_random_seed(0)
        model = autoencoder()
        optimizer = keras.optimizers.Adam(LEARNING_RATE)
        optimizer.build(model.trainable_variables)
    done = tf.Variable(0, dtype=tf.int64)
    saved = tf.train.Checkpoint(model=model, optimizer=optimizer, done=done)
    manager = tf.train.CheckpointManager(saved, _own(folder, strategy), max_to_keep=2)
    saved.restore(tf.train.latest_checkpoint(str(folder)))

    def local_step(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model(x, training=True) - x)) / replicas
        # The optimizer sums the gradients of all devices before it takes them.
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return loss

    @tf.function
    def step(x):
        return strategy.reduce(tf.distribute.ReduceOp.SUM, strategy.run(local_step, [x]), axis=None)

    for number in range(int(done), steps):
        rows = np.split(batch(recording, number, samples), replicas)
        ours = strategy.experimental_distribute_values_from_function(
            lambda context, rows=rows: tf.constant(rows[context.replica_id_in_sync_group])
        )
        loss = step(ours)
        done.assign(number + 1)
        if (number + 1) % save_every == 0 or number + 1 == steps:
            manager.save()
            tell(f"step {number + 1}: loss {float(loss):.6f}")
    return model


def _own(folder, strategy):
    """Where a process saves: all must, but only what the first one saves is kept."""
    resolver = strategy.cluster_resolver
    first = resolver is None or resolver.task_id in (0, None)
    return str(folder if first else pathlib.Path(folder) / f"worker_{resolver.task_id}")


def supervised(count, arguments):
    """Start so many processes of this program; if one dies, end the others, and start all again."""
    for _ in range(ATTEMPTS):
        addresses = [f"127.0.0.1:{port}" for port in _free_ports(count)]
        with tempfile.TemporaryFile("w+") as said:
            processes = [_started(addresses, number, arguments, said) for number in range(count)]
            try:
                if _all_well(processes):
                    return
            finally:
                for one in processes:
                    one.kill()
                    one.wait()
            said.seek(0)
            last = (said.read().strip().splitlines() or ["it was killed"])[-1]
        print(f"a worker died, all of them go on from what is saved: {last}", flush=True)
    raise RuntimeError(f"Workers must come to the end. Received: {ATTEMPTS} times one that died; at last: {last}")


def _all_well(processes):
    """Whether all of them end well; False as soon as one does not."""
    waiting = list(processes)
    while waiting:
        for one in waiting:
            try:
                if one.wait(timeout=0.2):
                    return False
            except subprocess.TimeoutExpired:
                continue
            waiting.remove(one)
            break
    return True


def _started(addresses, number, arguments, said):
    config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": number}}
    return subprocess.Popen(
        [sys.executable, __file__, *arguments],
        env=os.environ | {"TF_CONFIG": json.dumps(config)},
        stdout=None if number == 0 else subprocess.DEVNULL,
        stderr=said,
    )


def _free_ports(count):
    trials = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [trial.getsockname()[1] for trial in trials]
    finally:
        for trial in trials:
            trial.close()


def main(argv=None):
    argv = sys.argv[1:] if argv is None else list(argv)
    parser = parser_of(__doc__)
    parser.add_argument("--audio", type=pathlib.Path, default=RECORDING, help="a recording (the package's guitar)")
    parser.add_argument("--steps", type=int, default=60, help="of all runs together (default: 60)")
    parser.add_argument("--samples", type=int, default=8192, help="of an excerpt (default: 8192)")
    parser.add_argument("--devices", type=int, default=1, help="of this machine (default: 1)")
    parser.add_argument("--workers", type=int, help="processes, each on a port of this machine")
    parser.add_argument("--save-every", type=int, default=10, help="steps (default: 10)")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("distributed"), help="a folder")
    given = parser.parse_args(argv)
    if given.workers:
        if given.workers < 2:
            raise ValueError(f"--workers must be at least 2. Received: {given.workers}")
        at = argv.index("--workers")
        supervised(given.workers, argv[:at] + argv[at + 2 :])
        return
    if given.devices > 1 and not tf.config.list_physical_devices("GPU"):
        (cpu,) = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * given.devices)
    strategy = strategy_for(given.devices)
    recording, _ = read_recording(given.audio)
    model = trained(strategy, recording, given.steps, given.samples, given.out, given.save_every)
    if strategy.cluster_resolver is None or strategy.cluster_resolver.task_id == 0:
        model.save(given.out / "autoencoder.keras")
        print(f"wrote {given.out / 'autoencoder.keras'}")


if __name__ == "__main__":
    run(main)
