"""What every example shows of its model, whole and live: how near the reference it is, the file's size, its speed."""

import argparse
import pathlib
import sys
import time

import numpy as np

import lucid_keras as lk

# transformers has PyTorch look for triton, which comes with a PyTorch for GPUs, PyPI's own on Linux: its library ends a
# process that loaded TensorFlow's before. Nothing here is compiled for a GPU.
sys.modules.setdefault("triton", None)


def relative_error(ours, reference):
    """The largest difference over the largest magnitude of the reference."""
    ours, reference = np.asarray(ours, np.float64), np.asarray(reference, np.float64)
    if ours.shape != reference.shape:
        raise ValueError(f"shapes must be equal. Received: {ours.shape} and {reference.shape}")
    return np.abs(ours - reference).max() / np.abs(reference).max()


def randomize(model):
    """The PyTorch model with convolutions drawn so that a signal leaves them about as loud as it came.

    What PyTorch itself draws lets it fade to a constant, on which any file would look exact.
    """
    import torch

    torch.manual_seed(0)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.Conv1d | torch.nn.ConvTranspose1d):
                of_one_output = module.weight.numel() / module.out_channels
                if isinstance(module, torch.nn.ConvTranspose1d):
                    of_one_output /= module.stride[0]
                weight = of_one_output**-0.5 * torch.randn_like(module.weight)
                if torch.nn.utils.parametrize.is_parametrized(module):
                    module.weight = weight  # weight norm takes it apart
                else:
                    module.weight.copy_(weight)
                if module.bias is not None:
                    module.bias.normal_(std=0.02)
    return model


def run_tflite(path, x, threads=2, repeats=10):
    """The output of a `.tflite` file for `x`, an array or a dict of them by input name, and the median seconds."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=threads)
    interpreter.allocate_tensors()
    for source in interpreter.get_input_details():
        array = next(array for name, array in x.items() if name in source["name"]) if isinstance(x, dict) else x
        interpreter.set_tensor(source["index"], np.asarray(array, source["dtype"]))
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        interpreter.invoke()
        seconds.append(time.perf_counter() - start)
    output = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return output, float(np.median(seconds[1:]))


def print_comparison(path, x, keras_output, reference_output, audio_seconds):
    """Print how near the Keras model and the file are to the reference, and how big and how fast the file is.

    The same numbers are returned: `keras_error` and `file_error`, relative; `file_snr_db`; `bytes`; `milliseconds` for
    `audio_seconds` of audio on 2 threads.
    """
    tflite_output, seconds = run_tflite(path, x)
    numbers = {
        "keras_error": float(relative_error(keras_output, reference_output)),
        "file_error": float(relative_error(tflite_output, reference_output)),
        "file_snr_db": lk.export.snr_db(reference_output, tflite_output),
        "bytes": pathlib.Path(path).stat().st_size,
        "milliseconds": 1e3 * seconds,
        "audio_seconds": audio_seconds,
    }
    print(f"Keras against the reference:    relative error {numbers['keras_error']:.1e}")
    print(
        f"the file against the reference: relative error {numbers['file_error']:.1e}, "
        f"SNR {numbers['file_snr_db']:.1f} dB"
    )
    print(f"{path}: {numbers['bytes'] / 1e6:.1f} MB")
    print(
        f"{numbers['milliseconds']:.1f} ms for {audio_seconds:.2f} s of audio, 2 threads: "
        f"{audio_seconds / seconds:.1f} times faster than real time"
    )
    return numbers


def decode_live(path, x, positions=1, threads=2):
    """The decode of `x` through a live `.tflite` file, so many positions a step, and the seconds of each step.

    `x` is an array `[batch, length, channels]` or a dict of them by input name. The samples begin with the latency.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=threads)
    step, states = interpreter.get_signature_runner("step"), interpreter.get_signature_runner("initial_state")()
    inputs, pieces, seconds = x if isinstance(x, dict) else {"x": x}, [], []
    for first in range(0, next(iter(inputs.values())).shape[1], positions):
        chunk = {name: array[:, first : first + positions] for name, array in inputs.items()}
        start = time.perf_counter()
        states = step(**chunk, **states)
        seconds.append(time.perf_counter() - start)
        pieces.append(states.pop("y"))
    if "flush" in interpreter.get_signature_list():
        pieces.append(interpreter.get_signature_runner("flush")(**states)["y"])
    return np.concatenate(pieces, axis=1), np.array(seconds)


def print_live(decoder, path, x, rate, pointwise=()):
    """Write a Keras decoder as a live file of one frame a step, decode `x` with it, and print how near, late and fast.

    The same numbers are returned: `latency` in samples, `file_error` relative to the whole decode, operators `outside`
    the delegate, and of each frame's `frame_milliseconds` of audio the milliseconds that it took, `p50` and `p99`.
    """
    streaming = lk.StreamingModel(decoder, pointwise=pointwise)
    frame = streaming.granularity  # positions
    report = lk.export.streaming_to_tflite(streaming, path, chunk=frame, timing_seconds=0)
    tell("decoding frame by frame")
    samples, seconds = decode_live(path, x, frame)
    whole = streaming.whole(x).numpy()
    p50, p99 = 1e3 * np.percentile(seconds, [50, 99])
    numbers = {
        "latency": streaming.latency,
        "file_error": float(relative_error(samples[:, streaming.latency :], whole)),
        "bytes": report.bytes,
        "outside": report.total - report.delegated,
        "frame_milliseconds": 1e3 * float(frame * streaming.samples_per_position) / rate,
        "p50": float(p50),
        "p99": float(p99),
    }
    print(f"{path}: {report.bytes / 1e6:.1f} MB, {report.snr_db:.1f} dB")
    print(f"{report.total} operators, {report.delegated} delegated in {report.partitions} partition(s)")
    print(f"latency:                        {streaming.latency} samples, {1e3 * streaming.latency / rate:.1f} ms")
    print(f"live against the whole decode:  relative error {numbers['file_error']:.1e}, {whole.shape[1]} samples")
    print(f"a frame of {numbers['frame_milliseconds']:.1f} ms, 2 threads:   {p50:.2f} ms (p50), {p99:.2f} ms (p99)")
    return numbers


def parser_of(doc):
    """An argument parser whose help is a script's docstring, its commands as they stand there."""
    return argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)


def add_live(parser):
    """The flag that all decoders have which stream."""
    parser.add_argument("--live", action="store_true", help="a live file, one frame a step, and what it does")


def tell(step):
    """Say on standard error what is going on, for what takes its time."""
    print(f"{step} ...", file=sys.stderr, flush=True)


def run(main):
    """A script's `main`, whose errors are told without a traceback."""
    try:
        main()
    except ModuleNotFoundError as error:
        raise SystemExit(f"this needs {error.name}: pip install {error.name}") from None
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        raise SystemExit(f"{error}") from None
