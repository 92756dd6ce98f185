"""Whether ONNX Runtime and OpenVINO read an exported SavedModel or .tflite file and give its numbers.

    python export/check_other_runtimes.py ARTEFACT DATA.npz --input mel --output keras

DATA holds an input and the expected output, as `saved_models/golden/outputs.npz` does. Each runtime is tried if its
packages are installed: `openvino`; `tf2onnx`, `onnxruntime` and `tensorflow`. This script needs NumPy alone.
"""

import argparse
import importlib.util
import pathlib
import runpy
import subprocess
import sys
import tempfile

import numpy as np

# By its path: importing the package would bring TensorFlow, whose versions these runtimes do not always stand.
ACCURACY = pathlib.Path(__file__).parents[1] / "lucid_keras" / "export" / "accuracy.py"
FLOOR_DB = 60.0  # a float artefact that reads correctly is far above, a wrong one far below


def openvino(path, array):
    """The first output under OpenVINO, on the CPU in float32."""
    import openvino as ov

    compiled = ov.Core().compile_model(ov.Core().read_model(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return next(iter(compiled([array]).values()))


def onnx(path, array):
    """The first output under ONNX Runtime, after tf2onnx."""
    import onnxruntime

    source = "--saved-model" if path.is_dir() else "--tflite"
    with tempfile.TemporaryDirectory() as folder:
        target = pathlib.Path(folder) / "model.onnx"
        command = [sys.executable, "-m", "tf2onnx.convert", source, str(path), "--output", str(target), "--opset", "17"]
        subprocess.run(command, check=True, capture_output=True, timeout=300)
        session = onnxruntime.InferenceSession(str(target), providers=["CPUExecutionProvider"])
        return session.run(None, {session.get_inputs()[0].name: array})[0]


RUNTIMES = {"OpenVINO": (openvino, ("openvino",)), "ONNX Runtime": (onnx, ("tf2onnx", "onnxruntime"))}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("artefact", type=pathlib.Path)
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--input", required=True, help="name of the input's array in the data")
    parser.add_argument("--output", required=True, help="name of the expected output's array")
    arguments = parser.parse_args()
    data, snr_db = np.load(arguments.data), runpy.run_path(str(ACCURACY))["snr_db"]
    failed = False
    for name, (run, packages) in RUNTIMES.items():
        missing = [package for package in packages if importlib.util.find_spec(package) is None]
        if missing:
            print(f"{name}: not installed ({', '.join(missing)})")
            continue
        decibels = snr_db(data[arguments.output], run(arguments.artefact, data[arguments.input]))
        failed |= decibels < FLOOR_DB
        print(f"{name}: {decibels:.1f} dB")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
