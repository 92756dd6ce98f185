"""A `.tflite` file as a C array for a microcontroller, proven by TensorFlow Lite Micro's interpreter on those bytes.

    lucid-keras runtimes install micro
    lucid-keras export MODEL.keras NAME.tflite --quantization int8 --calibration DATA.npy --integer-io
    python export/micro/c_array.py NAME.tflite MODEL.keras FOLDER [--data DATA.npy] [--floor 20]

FOLDER/NAME.cc holds the bytes, aligned; FOLDER/NAME.h their length, the size of the arena that they need beside them,
and what each number that goes in or comes out means. Nothing is written of a file that is below the floor there.
"""

import argparse
import hashlib
import os
import pathlib
import re
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's notes would hide the results

import keras

import lucid_keras as lk  # noqa: F401  registers the layers that a .keras file may hold
from lucid_keras.export.elsewhere import chosen, proven_elsewhere
from lucid_keras.export.proof import Floor
from lucid_keras.export.verify import opened
from lucid_keras.runtimes import RUNTIMES, LiteRT

HEADER = """\
// {file} for TensorFlow Lite for Microcontrollers: {decibels:.1f} dB against its Keras model in {runtime}.
// SHA-256 {sha256}
#pragma once
#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif
extern const uint8_t {name}_tflite[];
#ifdef __cplusplus
}}
#endif

enum {{
  {name}_tflite_length = {length},
  {name}_arena_size = {arena},  // bytes, aligned to 16; measured with pointers of 64 bits, and those of 32 need less
}};

// Of numbers with a scale, the real one is (number - zero point) * scale.
{ends}
"""
SOURCE = """\
#include "{name}.h"

alignas(16) const uint8_t {name}_tflite[] = {{
{numbers}
}};
"""


def source(name, content):
    """The text of the array."""
    lines = [content[start : start + 16] for start in range(0, len(content), 16)]
    numbers = "\n".join("    " + " ".join(f"0x{byte:02x}," for byte in line) for line in lines)
    return SOURCE.format(name=name, numbers=numbers)


def bytes_of(text):
    """The bytes that the text of an array holds."""
    return bytes(int(number, 16) for number in re.findall(r"0x([0-9a-f]{2}),", text))


def ends(name, content):
    """A line or three for each input and output of the file's first signature, in the order of the interpreter's."""
    runtime = LiteRT(content)
    both = runtime.details(next(iter(runtime.signatures)))
    orders = runtime.interpreter.get_input_details(), runtime.interpreter.get_output_details()
    for kind, details, order in zip(("input", "output"), both, orders, strict=True):
        called = {detail["index"]: own for own, detail in details.items()}
        for number, detail in enumerate(order):
            yield from _end(name, kind, number, called[detail["index"]], detail)


def _end(name, kind, number, called, detail):
    shape = ", ".join(map(str, detail["shape"]))
    scale, zero_point = detail["quantization"]
    yield f"// {kind} {number}, {called}: {detail['dtype'].__name__} [{shape}]"
    if scale:
        yield f"static const float {name}_{kind}_{number}_scale = {scale:.9g}f;"
        yield f"static const int32_t {name}_{kind}_{number}_zero_point = {zero_point};"


def write(path, model, folder, data, floor):
    """The two files; what is said of them."""
    name = re.sub(r"\W", "_", path.stem)
    name = f"_{name}" if name[:1].isdigit() else name
    (runtime,) = chosen(["micro"], "tflite")
    _, model, claims = opened(path, model, data)
    text = source(name, path.read_bytes())
    content = bytes_of(text)
    (proof,) = proven_elsewhere(model, claims, content, (runtime,), Floor(floor, yields=False, recipe=path.name))
    facts = {
        "file": path.name,
        "name": name,
        "decibels": proof.snr_db,
        "runtime": proof.runtime,
        "sha256": hashlib.sha256(content).hexdigest(),
        "length": len(content),
        "arena": RUNTIMES[runtime](content).coverage().memory,
        "ends": "\n".join(ends(name, content)),
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.cc").write_text(text)
    (folder / f"{name}.h").write_text(HEADER.format(**facts))
    return "{file}: {length:,} bytes of constants, {arena:,} of arena, {decibels:.1f} dB in {runtime}".format(**facts)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=pathlib.Path, help="the .tflite file")
    parser.add_argument("model", help="the .keras file that it was made of")
    parser.add_argument("folder", type=pathlib.Path, help="where the two files go")
    parser.add_argument(
        "--data", help="what to compare on, as for lucid-keras verify; default: numbers drawn at random"
    )
    parser.add_argument("--floor", type=float, default=20.0, help="least dB against the Keras model; default 20")
    given = parser.parse_args()
    try:
        print(write(given.file, keras.models.load_model(given.model), given.folder, given.data, given.floor))
    except (ImportError, OSError, ValueError) as error:
        sys.exit(f"c_array: {error}")


if __name__ == "__main__":
    main()
