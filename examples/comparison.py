"""What every example shows of its model: the difference from the reference, the file's size, and how fast it runs."""

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


def parser_of(doc):
    """An argument parser whose help is a script's docstring, its commands as they stand there."""
    return argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)


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
