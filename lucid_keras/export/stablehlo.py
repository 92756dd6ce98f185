"""`to_stablehlo`: a Keras model's XLA program as portable StableHLO with a manifest, for any PJRT device."""

import hashlib
import json
import os
import sys

import tensorflow as tf
from tensorflow.compiler.tf2xla.ops import gen_xla_ops

from lucid_keras.export.files import checked_destination, folder_atomically
from lucid_keras.export.litert import milliseconds
from lucid_keras.export.report import ExportReport
from lucid_keras.export.samples import SYNTHETIC, read_samples, synthetic_samples, windows
from lucid_keras.export.signatures import DYNAMIC, call_by_name, frozen, model_inputs, signatures
from lucid_keras.export.verify import accuracies, check_floor, reference_outputs
from lucid_keras.export.versions import versions

FLOOR_DB = 110.0
MANIFEST = "manifest.json"
STAGE = "stablehlo_serialized"
CALLING_CONVENTION = 10  # of TensorFlow's XlaCallModule: positional arguments, no platform index


def to_stablehlo(
    model, path, *, length=None, batch=1, vjp=False, verification_data=None, floor_db=FLOOR_DB, timing_seconds=0.3
):
    """Export a Keras model to a folder with its StableHLO program and a manifest of names, shapes and dtypes.

    The program holds the weights; `forward.stablehlo` takes the inputs and gives the outputs in the manifest's order.
    The serialized programs themselves are run, by
    TensorFlow's XLA, and compared before the folder takes its name.

    Args:
        model: a built `keras.Model` that knows its inputs.
        path: the folder to make; it must not exist, and appears whole or not at all.
        length: positions of the inputs where the model leaves them open, an int or a dict by input name; StableHLO
            programs of this exporter have static shapes.
        batch: samples of a call. Default 1.
        vjp: whether `vjp.stablehlo` is written too: inputs and the outputs' cotangents to the inputs' cotangents
            (inputs and outputs need different names).
        verification_data: as `to_tflite`'s. Default: standard normal samples.
        floor_db: least signal-to-noise ratio against the Keras model in dB. Default 110.
        timing_seconds: how long the latency is measured, in seconds. Default 0.3.

    Returns:
        An `ExportReport`.

    Raises:
        ValueError: the model is not built, a length is open, the path exists, or the program stays below the floor.
        OSError: the path cannot be written.

    Example:

    >>> import keras, lucid_keras as lk, tempfile
    >>> layer = lk.ConvTranspose1d(4, 2, kernel_size=4, stride=2, padding=1)
    >>> model = keras.Sequential([keras.Input((4, 8)), layer])
    >>> report = to_stablehlo(model, tempfile.mkdtemp() + "/up.stablehlo")
    >>> sorted(file.name for file in report.path.iterdir())
    ['forward.stablehlo', 'manifest.json']

    Source: https://openxla.org/stablehlo, "Compatibility": portable artifacts.
    """
    inputs = model_inputs(model)
    if length == DYNAMIC or isinstance(length, (list, tuple)):
        raise ValueError(f"length must be an int or a dict for StableHLO. Received: length={length!r}")
    (signature,) = signatures(model, length, batch)
    path = checked_destination(path, folder=True)
    traced = frozen(model, signature, "xla")
    described = {"inputs": _described(signature.inputs, _names(traced)), "outputs": _outputs(traced)}
    programs = _programs(traced, signature, described, vjp)
    samples, verified_on = _samples(signature, inputs, verification_data)
    runners = {name: StableHloRunner(program, *_order(name, described)) for name, program in programs.items()}
    results = [runners["forward"](sample) for sample in samples]
    outputs = accuracies(signature.name, inputs, samples, reference_outputs(model, samples), results)
    if vjp:
        outputs += _vjp_accuracies(model, inputs, runners["vjp"], samples, results)
    check_floor(outputs, floor_db)
    with folder_atomically(path) as folder:
        for name, program in programs.items():
            (folder / f"{name}.stablehlo").write_bytes(program)
        (folder / MANIFEST).write_text(json.dumps(_manifest(programs, described), indent=2) + "\n")
    return ExportReport(
        path=path,
        kind="stablehlo",
        quantization="float32",
        bytes=sum(map(len, programs.values())),
        signatures={signature.name: {kind: tuple(map(_text, rows)) for kind, rows in described.items()}},
        ops=(),
        delegated=None,
        milliseconds=milliseconds(lambda: runners["forward"](samples[0]), timing_seconds),
        outputs=tuple(outputs),
        floor_db=floor_db,
        verified_on=verified_on,
        versions=versions(),
        sha256=hashlib.sha256(programs["forward"]).hexdigest(),
    )


class StableHloRunner:
    """A serialized program, compiled and run by TensorFlow's XLA; arrays by name in and out."""

    def __init__(self, program, parameters, results):
        self.program, self.parameters, self.results = program, parameters, results

    def __call__(self, arrays):
        outputs = gen_xla_ops.xla_call_module(
            args=[tf.constant(arrays[name], dtype) for name, _, dtype in self.parameters],
            version=CALLING_CONVENTION,
            module=self.program,
            Sout=[shape for _, shape, _ in self.results],
            Tout=[dtype for _, _, dtype in self.results],
            platforms=["CPU"],
            dim_args_spec=[],
            function_list=[],
            has_token_input_output=False,
            disabled_checks=[],
        )
        return {name: array.numpy() for (name, _, _), array in zip(self.results, outputs, strict=True)}


def _programs(traced, signature, described, vjp):
    """The serialized programs by name."""
    names = _names(traced)
    forward = tf.function(lambda *x: traced(**dict(zip(names, x, strict=True))), jit_compile=True)
    specs = [signature.inputs[name] for name in names]
    programs = {"forward": _program(forward, specs)}
    if vjp:
        cotangents = [tf.TensorSpec(shape, dtype) for _, shape, dtype in described["outputs"]]
        programs["vjp"] = _program(_vjp(forward, len(specs)), [*specs, *cotangents])
    return programs


def _order(name, described):
    """The parameters and the results of a program."""
    if name == "forward":
        return described["inputs"], described["outputs"]
    return described["inputs"] + described["outputs"], described["inputs"]


def _vjp_accuracies(model, inputs, run, samples, outputs):
    """`OutputAccuracy` of the vjp program against the Keras model's gradients, the outputs their own cotangents."""
    references = [_gradients(model, sample, cotangents) for sample, cotangents in zip(samples, outputs, strict=True)]
    results = [run(sample | cotangents) for sample, cotangents in zip(samples, outputs, strict=True)]
    return accuracies("vjp", inputs, samples, references, results)


def _gradients(model, sample, cotangents):
    tensors = {name: tf.constant(array) for name, array in sample.items()}
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        outputs = call_by_name(model, tensors)
    gradients = tape.gradient(outputs, tensors, output_gradients=cotangents)
    return {name: gradient.numpy() for name, gradient in gradients.items()}


def _names(traced):
    """The inputs in the order of the program's parameters."""
    return sorted(traced.structured_input_signature[1])


def _samples(signature, inputs, data):
    """Samples of the program's batch: each sample repeated to it."""
    rows = next(iter(signature.inputs.values())).shape[0]
    single = type(signature)(
        signature.name, {k: tf.TensorSpec([1, *s.shape[1:]], s.dtype) for k, s in signature.inputs.items()}
    )
    chosen = synthetic_samples(single, [1]) if data is None else windows(read_samples(data, inputs), single)
    verified_on = SYNTHETIC if data is None else f"{len(chosen)} samples given"
    return [{name: array.repeat(rows, 0) for name, array in sample.items()} for sample in chosen], verified_on


def _vjp(forward, input_count):
    def pull_back(*tensors):
        inputs, cotangents = list(tensors[:input_count]), list(tensors[input_count:])
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = tf.nest.flatten(forward(*inputs))
        return tape.gradient(outputs, inputs, output_gradients=cotangents)

    return tf.function(pull_back, jit_compile=True)


def _program(function, specs):
    """The serialized StableHLO of a jitted function, without this machine's folders in its debug locations.

    The program's strings have fixed places, so a folder gives way to as many dots.
    """
    try:
        program = function.experimental_get_compiler_ir(*specs)(stage=STAGE)
    except (ValueError, tf.errors.OpError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"XLA must be able to compile the model and, if asked for, its vjp. Received: {reason}"
        ) from None
    folders = {os.getcwd(), *filter(os.path.isabs, sys.path)}
    for folder in sorted(folders, key=len, reverse=True):
        if len(folder) > 1:
            program = program.replace(folder.encode(), b"." * len(folder.encode()))
    return program


def _described(specs, names):
    return [(name, specs[name].shape.as_list(), specs[name].dtype.name) for name in names]


def _outputs(traced):
    outputs = traced.structured_outputs
    return [(name, outputs[name].shape.as_list(), outputs[name].dtype.name) for name in sorted(outputs)]


def _text(row):
    name, shape, dtype = row
    return f"{name}: {dtype}{shape}"


def _manifest(programs, described):
    """What a loader needs: each program's parameters and results in order, and how the files were made."""
    return {
        "format": "StableHLO portable artifact",
        "programs": {
            name: {
                "file": f"{name}.stablehlo",
                "sha256": hashlib.sha256(program).hexdigest(),
                **dict(zip(("parameters", "results"), map(_rows, _order(name, described)), strict=True)),
            }
            for name, program in programs.items()
        },
        "versions": versions(),
    }


def _rows(described):
    return [dict(zip(("name", "shape", "dtype"), one, strict=True)) for one in described]
