"""What runs a whole decoder: each subject makes its artefact in one process and runs it in another.

A maker takes a decoder and the folder that holds the reference (`checkpoint.pt`, `features.npz`) and writes its file
there; a runner takes the same and gives a function of one second of features. This is a registry of `bench.worker`.
"""

import os
import pathlib
import subprocess

import numpy as np

from benchmarks import footprint
from benchmarks.model_cases import DECODERS, recording_at, seconds_of, without_weight_norm
from lucid_keras.bench.prepared import Prepared

THREADS = 2
LEAST_SNR = 20  # dB, of a quantized file
LITERT_TORCH = "LUCID_KERAS_LITERT_TORCH"  # the Python of an environment that has litert-torch


def make_reference(decoder, folder):
    """The original's state dict, and its samples for seconds of features: the fifth second of each five is held out."""
    import torch

    original = decoder.original()
    torch.save(original.state_dict(), folder / "checkpoint.pt")
    seconds = seconds_of(decoder.features(original, recording_at(decoder.rate)), decoder.frames)
    held_out = seconds[4::5]
    calibration = np.delete(seconds, np.arange(4, len(seconds), 5), axis=0)
    decoding = decoder.decoding(without_weight_norm(original)).eval()
    with torch.inference_mode():
        outputs = [decoding(torch.from_numpy(decoder.to_native(x[np.newaxis]))).numpy().ravel() for x in held_out]
    np.savez(folder / "features.npz", calibration=calibration, held_out=held_out, samples=np.stack(outputs))


def _original(decoder, folder):
    import torch

    torch.set_num_threads(THREADS)
    original = decoder.original()
    original.load_state_dict(torch.load(folder / "checkpoint.pt"))
    return decoder.decoding(without_weight_norm(original)).eval()


def _keras_model(decoder, folder, length=None):
    import lucid_keras as lk

    model = decoder.keras_model(length)
    lk.interop.load_state_dict(model, folder / "checkpoint.pt", rename=decoder.rename)
    return model


def _make_litert(decoder, folder, quantization, name=None, *, unrolled=False, **options):
    import lucid_keras as lk

    with np.load(folder / "features.npz") as features:
        calibration, held_out = features["calibration"], features["held_out"]
    calibrated = quantization == "int8"
    model = _keras_model(decoder, folder, decoder.frames if calibrated or unrolled else None)
    options |= {"calibration_data": calibration} if calibrated else {}
    path = folder / f"{name or quantization}.tflite"
    lk.export.to_tflite(
        model,
        path,
        length=decoder.frames if None in model.inputs[0].shape[1:] else None,
        quantization=quantization,
        verification_data=held_out,
        floor_db=LEAST_SNR if quantization != "float32" else None,
        timing_seconds=0,
        **options,
    )


def _make_litert_torch(decoder, folder):
    """litert-torch's file, converted in the environment that has it from the program that `torch.export` writes."""
    import torch

    python = os.environ.get(LITERT_TORCH)
    if not python:
        raise RuntimeError(f"{LITERT_TORCH} names no Python with litert-torch")
    x = torch.from_numpy(decoder.to_native(np.load(folder / "features.npz")["held_out"][:1]))
    torch.export.save(torch.export.export(_original(decoder, folder), (x,)), folder / "program.pt2")
    script = pathlib.Path(__file__).with_name("convert_with_litert_torch.py")
    command = [python, str(script), str(folder / "program.pt2"), str(folder / "litert_torch.tflite")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])


def _make_onnx(decoder, folder):
    import torch

    x = torch.from_numpy(decoder.to_native(np.load(folder / "features.npz")["held_out"][:1]))
    path = folder / "model.onnx"
    torch.onnx.export(_original(decoder, folder), (x,), path, input_names=["x"], output_names=["y"], dynamo=False)


def _run_litert(name):
    def run(decoder, folder):
        from ai_edge_litert.interpreter import Interpreter

        loaded = Interpreter(str(folder / f"{name}.tflite"), num_threads=THREADS)
        loaded.allocate_tensors()
        (source,), (target,) = loaded.get_input_details(), loaded.get_output_details()

        def compute(x):
            fits = x.shape == tuple(source["shape"])
            loaded.set_tensor(source["index"], x if fits else decoder.to_native(x))
            loaded.invoke()
            return loaded.get_tensor(target["index"])

        return compute

    return run


def _run_cached(name):
    """The file by CompiledModel, with the cache of laid out weights that an app may ask of XNNPACK."""

    def run(decoder, folder):
        loaded = footprint.compiled(folder / f"{name}.tflite", folder / f"{name}.weights")
        (source,), (target,) = loaded.create_input_buffers(0), loaded.create_output_buffers(0)
        samples = decoder.frames * decoder.hop

        def compute(x):
            source.write(x)
            loaded.run_by_index(0, [source], [target])
            return target.read(samples, np.float32)

        return compute

    return run


def _run_keras(**options):
    def run(decoder, folder):
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(THREADS)
        function = tf.function(_keras_model(decoder, folder), autograph=False, **options)
        return lambda x: function(tf.constant(x)).numpy()

    return run


def _run_torch(compiled=False):
    def run(decoder, folder):
        import torch

        model = _original(decoder, folder)
        if compiled:
            model = torch.compile(model)

        def compute(x):
            with torch.inference_mode():
                return model(torch.from_numpy(decoder.to_native(x))).numpy()

        return compute

    return run


def _run_onnx(decoder, folder):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(folder / "model.onnx", options, ["CPUExecutionProvider"])
    return lambda x: session.run(None, {"x": decoder.to_native(x)})[0]


def _make(quantization, name=None, **options):
    return lambda decoder, folder: _make_litert(decoder, folder, quantization, name, **options)


EXACT = "ours LiteRT float32, all products"
CACHED = "ours LiteRT float32, weight cache"
ORIGINAL = "torch eager"  # what it makes, the reference, all others need

# Name: (what makes its file and that file's name, or None; what runs it).
SUBJECTS = {
    "ours LiteRT float32": (_make("float32"), "float32.tflite", _run_litert("float32")),
    EXACT: (_make("float32", "exact", exact_products=True), "exact.tflite", _run_litert("exact")),
    CACHED: (_make("float32", "cached", unrolled=True), "cached.tflite", _run_cached("cached")),
    "ours LiteRT int8": (_make("int8"), "int8.tflite", _run_litert("int8")),
    "ours LiteRT dynamic int8": (_make("dynamic_int8"), "dynamic_int8.tflite", _run_litert("dynamic_int8")),
    "ours XLA": (None, None, _run_keras(jit_compile=True)),
    "ours tf.function": (None, None, _run_keras()),
    ORIGINAL: (make_reference, None, _run_torch()),
    "torch.compile": (None, None, _run_torch(compiled=True)),
    "ONNX Runtime": (_make_onnx, "model.onnx", _run_onnx),
    "litert-torch": (_make_litert_torch, "litert_torch.tflite", _run_litert("litert_torch")),
}
QUANTIZED = ("ours LiteRT int8", "ours LiteRT dynamic int8")


def made(name, model, folder):
    """Make the subject's file, if it has one; its size, and what LiteRT keeps of it."""
    maker, file, _ = SUBJECTS[name]
    folder = pathlib.Path(folder)
    if maker is not None:
        maker(DECODERS[model](), folder)
    if file is None:
        return {}
    kept = {"footprint": footprint.of(folder / file)} if file.endswith(".tflite") else {}
    return {"bytes": (folder / file).stat().st_size, **kept}


def prepared(name, model, folder):
    """What a worker times, one second; what is judged, the samples of all seconds that are held out."""
    folder = pathlib.Path(folder)
    with np.load(folder / "features.npz") as features:
        held_out = features["held_out"]
    compute = SUBJECTS[name][2](DECODERS[model](), folder)
    results = lambda: [np.stack([compute(x[np.newaxis]).ravel() for x in held_out])]  # noqa: E731
    return Prepared(call=lambda: compute(held_out[:1]), results=results, held=None)
