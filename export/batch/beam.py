"""Decode a folder, a Parquet file or a TFRecord of features to files, with Apache Beam.

    python export/batch/beam.py served/vocoder/1 mels/ voices/ --rate 24000
    python export/batch/beam.py vocoder.tflite mels.parquet voices/ --rate 24000 --direct_num_workers 2
    python export/batch/beam.py /models/vocoder/1 gs://bucket/mels/ gs://bucket/voices/ --runner DataflowRunner ...

A folder holds `.npy` files and recordings, at any depth. A row of Parquet has `name` and `features`, a list of a list
of numbers a position; an example of a TFRecord `name`, `features`, all numbers in order, and `shape`. Signals of any
lengths are decoded together, and each is what it is by itself.

What is in the folder of the outputs is not decoded again, and whatever is there is whole: a run that was broken off
goes on when it is started again. What cannot be decoded is named in `set_aside/`, with the reason. Options that are not
this program's are Beam's own; without `--runner` it runs here.
"""

import argparse
import collections
import contextlib
import os
import pathlib
import posixpath
import sys
import threading
import uuid

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

try:
    import apache_beam as beam
except ModuleNotFoundError:
    sys.exit("beam: decoding in batches needs Apache Beam: pip install 'lucid_keras[batch]'")
import numpy as np
from apache_beam.io import fileio
from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems
from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import ModelHandler, RunInference
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from lucid_keras.runtimes import Ragged, bytes_of, open_artefact, signal_of
from lucid_keras.runtimes.ragged import decoded_or_why
from lucid_keras.runtimes.signals import RECORDINGS

SUFFIXES = (".npy", *RECORDINGS)
ASIDE = "set_aside"
PARTIAL = ".partial"
# What goes from step to step, maybe to another machine, which knows no class of this program: signals are
# `(name, array, whether it is a recording)`, outputs `(name, samples or None, None or the reason)`.


class Named(beam.DoFn):
    """Outputs that are still missing, by name; a name that would lead out of the folder is set aside."""

    def __init__(self, folder, suffix):
        self.folder, self.suffix = folder, suffix
        self.there = Metrics.counter("lucid_keras", "there")

    def process(self, element):
        name = element[0]
        parts = name.split("/")
        if {"", ".", ".."} & set(parts) or parts[0] in (ASIDE, PARTIAL):
            safe = "_".join(part for part in parts if part.strip(".")) or "unnamed"
            yield aside(safe, f"A name must be a path within the folder. Received: {name!r}")
        elif FileSystems.exists(posixpath.join(self.folder, name + self.suffix)):
            self.there.inc()
        else:
            yield element


class Read(beam.DoFn):
    """`(name, path)` to a signal."""

    def process(self, element):
        name, path = element
        try:
            with FileSystems.open(path) as file:
                array, rate = signal_of(file.read(), posixpath.splitext(path)[1].lower())
            yield name, array, rate is not None
        except (ValueError, OSError) as error:
            yield aside(name, str(error))


class Row(beam.DoFn):
    """`(name, features)` to a signal."""

    def process(self, element):
        name, features = element
        try:
            yield name, np.array(features, np.float32), False
        except (TypeError, ValueError) as error:
            yield aside(name, f"features must be a list of a list of numbers a position: {error}")


class Decoding(ModelHandler):
    """An artefact, loaded once a process; a signal that it does not decode costs the others nothing.

    Args:
        path: the artefact, on every machine that decodes.
        most: int, signals of a call.
    """

    def __init__(self, path, most):
        super().__init__(min_batch_size=4 * most, max_batch_size=4 * most)  # those alike in length share a call
        self.path, self.most = path, most

    def load_model(self):
        return Ragged(open_artefact(pathlib.Path(self.path)), self.most)

    def run_inference(self, batch, model, inference_args=None):
        fitting = []
        for name, array, recorded in batch:
            try:
                signal = model.of_recording(array) if recorded else array
                model.check(signal)
                fitting.append((name, signal))
            except (ValueError, IndexError) as error:
                yield name, None, str(error)
        found = decoded_or_why(model.decode, [signal for _, signal in fitting])
        for (name, _), (y, reason) in zip(fitting, found, strict=True):
            yield name, None if y is None else model.to_recording(y), reason


class Write(beam.DoFn):
    """Each output as a file, under its name when it is whole; what there is none of is set aside."""

    def __init__(self, folder, suffix, rate):
        self.folder, self.suffix, self.rate = folder, suffix, rate
        self.written = Metrics.counter("lucid_keras", "decoded")
        self.samples = Metrics.counter("lucid_keras", "samples")

    def process(self, output):
        name, samples, reason = output
        if samples is None:
            yield aside(name, reason)
            return
        write(self.folder, name + self.suffix, bytes_of(samples, self.suffix, self.rate))
        self.written.inc()
        self.samples.inc(len(samples))


class SetAside(beam.DoFn):
    """The reason of each that cannot be decoded, as a file."""

    def __init__(self, folder):
        self.folder = folder
        self.counted = Metrics.counter("lucid_keras", "set aside")

    def process(self, element):
        name, reason = element
        write(self.folder, f"{ASIDE}/{name}.txt", f"{reason}\n".encode())
        self.counted.inc()


def aside(name, reason):
    return beam.pvalue.TaggedOutput(ASIDE, (name, reason))


def write(folder, name, content):
    """A file that is whole when it has its name."""
    partial = posixpath.join(folder, PARTIAL, uuid.uuid4().hex)
    with FileSystems.create(partial, "application/octet-stream") as file:
        file.write(content)
    final = posixpath.join(folder, name)
    made(posixpath.dirname(final))
    FileSystems.rename([partial], [final])


def made(folder):
    """The folder, there."""
    with contextlib.suppress(OSError):  # BeamIOError is one: it is there
        FileSystems.mkdirs(folder)


def check_folder(folder):
    """Raises where two files of a folder would become one output, or there is none."""
    (found,) = FileSystems.match([posixpath.join(folder, "**")])
    counts = collections.Counter(name_in(folder, one.path) for one in found.metadata_list if is_signal(one))
    if twice := sorted(name for name, count in counts.items() if count > 1):
        raise ValueError(f"Files must differ by more than their endings. Received: {', '.join(twice[:5])}")
    if not counts:
        raise ValueError(f"The folder must hold files of {', '.join(SUFFIXES)}. Received: {folder}")


def is_signal(metadata):
    return posixpath.splitext(metadata.path)[1].lower() in SUFFIXES


def name_in(folder, path):
    """What a file of a folder is called: its path there without the ending."""
    return posixpath.splitext(path)[0][len(folder) :].strip("/")


def signals(pipeline, source, missing):
    """The signals of a source whose outputs are `missing`, and what is set aside."""
    if source.endswith(".parquet"):
        rows = pipeline | beam.io.ReadFromParquet(source) | beam.Map(lambda row: (row["name"], row["features"]))
    elif source.endswith((".tfrecord", ".tfrecords")):
        rows = pipeline | beam.io.ReadFromTFRecord(source) | beam.Map(of_example)
    else:
        check_folder(source)
        rows = (
            pipeline
            | fileio.MatchFiles(posixpath.join(source, "**"))
            | beam.Filter(is_signal)
            | beam.Map(lambda one: (name_in(source, one.path), one.path))
            | beam.Reshuffle()  # onto all workers
        )
        return read(rows, missing, Read())
    return read(rows, missing, Row())


def read(rows, missing, reader):
    wanted, wrong = rows | "Missing" >> beam.ParDo(missing).with_outputs(ASIDE, main="wanted")
    found, damaged = wanted | "Read" >> beam.ParDo(reader).with_outputs(ASIDE, main="read")
    return found, (wrong, damaged)


def of_example(record):
    """The name and the features of a serialized `tf.train.Example`."""
    import tensorflow as tf

    given = tf.train.Example.FromString(record).features.feature
    shape = tuple(given["shape"].int64_list.value)
    features = np.array(given["features"].float_list.value, np.float32)
    name = given["name"].bytes_list.value[0].decode()
    return name, features.reshape(shape) if features.size == np.prod(shape) else features


def run(given, options):
    """The whole pipeline; the counts of what was decoded, was there, and was set aside."""
    folder, suffix = given.out.rstrip("/"), given.format
    if folder == given.source.rstrip("/"):
        raise ValueError(f"The outputs must have a folder of their own. Received: {folder} for both")
    begun = posixpath.join(folder, PARTIAL)
    made(begun)
    (left,) = FileSystems.match([posixpath.join(begun, "*")])  # by a run that was broken off
    FileSystems.delete([one.path for one in left.metadata_list])
    runner = None if any(one.startswith("--runner") for one in options) else FnApiRunner()
    pipeline = beam.Pipeline(runner=runner, options=PipelineOptions(options, save_main_session=True))
    found, wrong = signals(pipeline, given.source.rstrip("/"), Named(folder, suffix))
    outputs = found | RunInference(Decoding(given.model, given.together))
    written = outputs | beam.ParDo(Write(folder, suffix, given.rate)).with_outputs(ASIDE, main="written")
    (*wrong, written[ASIDE]) | beam.Flatten() | beam.ParDo(SetAside(folder))
    with shown(folder, suffix) if runner else contextlib.nullcontext():
        result = pipeline.run()
        result.wait_until_finish()
    counters = result.metrics().query()["counters"]
    return {one.key.metric.name: one.committed for one in counters if one.key.metric.namespace == "lucid_keras"}


@contextlib.contextmanager
def shown(folder, suffix):
    """How many outputs there are, while they become more."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    ended = threading.Event()
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("starting", total=None)

        def count():
            while not ended.wait(1):
                (found,) = FileSystems.match([posixpath.join(folder, "**" + suffix)])
                progress.update(task, description=f"{len(found.metadata_list)} outputs in {folder}")

        threading.Thread(target=count, daemon=True).start()
        try:
            yield
        finally:
            ended.set()


def parser():
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("model", help="a SavedModel or .tflite file of open length")
    made.add_argument("source", help="a folder, a .parquet file or a .tfrecord")
    made.add_argument("out", help="the folder of the outputs")
    made.add_argument("--rate", type=int, help="Hz of the recordings that are written; without it .npy")
    made.add_argument("--format", choices=SUFFIXES, help="default: .wav with --rate, .npy without")
    made.add_argument("--together", type=int, default=8, help="signals that are decoded in a call (default: 8)")
    return made


def main(argv=None):
    given, options = parser().parse_known_args(argv)
    given.format = given.format or (".wav" if given.rate else ".npy")
    if given.format != ".npy" and not given.rate:
        sys.exit(f"beam: a recording needs a rate: --rate. Received: --format {given.format} without one")
    try:
        print(Decoding(given.model, given.together).load_model().describe())
        counts = run(given, options)
    except (BeamIOError, ImportError, OSError, RuntimeError, ValueError) as error:
        sys.exit(f"beam: {str(error).strip().splitlines()[-1]}")
    told = ", ".join(f"{counts.get(name, 0)} {name}" for name in ("decoded", "there", "set aside"))
    print(f"{told}: {given.out}" + (f" ({ASIDE}/ says why)" if counts.get("set aside") else ""))


if __name__ == "__main__":
    main()
