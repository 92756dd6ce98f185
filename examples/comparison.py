"""What every example shows of its model: the difference from the reference, the file's size, and how fast it runs."""

import pathlib
import time

import numpy as np


def relative_error(ours, reference):
    """The largest difference over the largest magnitude of the reference."""
    ours, reference = np.asarray(ours, np.float64), np.asarray(reference, np.float64)
    if ours.shape != reference.shape:
        raise ValueError(f"shapes must be equal. Received: {ours.shape} and {reference.shape}")
    return np.abs(ours - reference).max() / np.abs(reference).max()


def signal_to_noise(ours, reference):
    """The reference's energy over the difference's, in dB."""
    ours, reference = np.asarray(ours, np.float64), np.asarray(reference, np.float64)
    return 10 * np.log10(np.sum(reference**2) / np.sum((ours - reference) ** 2))


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
    """Print how near the Keras model and the file are to the reference, and how big and how fast the file is."""
    tflite_output, seconds = run_tflite(path, x)
    print(f"Keras against the reference:   relative error {relative_error(keras_output, reference_output):.1e}")
    print(
        f"the file against the reference: relative error {relative_error(tflite_output, reference_output):.1e}, "
        f"SNR {signal_to_noise(tflite_output, reference_output):.1f} dB"
    )
    print(f"{pathlib.Path(path).name}: {pathlib.Path(path).stat().st_size / 1e6:.1f} MB")
    print(
        f"{1e3 * seconds:.1f} ms for {audio_seconds:.2f} s of audio, 2 threads: "
        f"{audio_seconds / seconds:.1f} times faster than real time"
    )
