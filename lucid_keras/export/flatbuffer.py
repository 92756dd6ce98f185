"""What is written in a `.tflite` file: signatures, operators, tensors and their quantization. Needs no TensorFlow."""

import collections
import dataclasses
import functools
import pathlib

from lucid_keras._extras import needed
from lucid_keras._untrusted import content_of
from lucid_keras.runtimes.protocol import Signature, Spec

IDENTIFIER = b"TFL3"


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A tensor of a file; `scales` is how many quantization scales it has: 0 is float, more than 1 is per channel."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    scales: int
    scale: float | None
    zero_point: int | None
    constant: bool


@dataclasses.dataclass(frozen=True)
class Operator:
    """An operator of a file, with the dtypes and shapes of its inputs and outputs, and their tensors' names."""

    name: str
    custom: bool
    dtypes: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    inputs: tuple[str, ...]
    output: str

    @property
    def groups(self) -> int:
        """Of a CONV_2D its groups of channels; 1 of any other."""
        return max(self.shapes[0][3] // self.shapes[1][3], 1) if self.name == "CONV_2D" else 1


@dataclasses.dataclass(frozen=True)
class FileContents:
    """The contents of a `.tflite` file."""

    bytes: int
    signatures: dict[str, Signature]
    operators: tuple[Operator, ...]
    tensors: tuple[Tensor, ...]

    def counts(self):
        """How often each operator occurs."""
        return dict(collections.Counter(operator.name for operator in self.operators))

    def as_dict(self):
        described = {name: signature.described() for name, signature in self.signatures.items()}
        return {**dataclasses.asdict(self), "signatures": described}


@functools.cache
def schema():
    """LiteRT's flatbuffer schema module."""
    return needed("ai_edge_litert.schema_py_generated", "reading a .tflite file needs LiteRT")


def read_content(path):
    """The bytes of a `.tflite` file; raises for a folder, a foreign or a truncated file."""
    path = pathlib.Path(path)
    if not path.exists():
        raise FileNotFoundError(f"The file must exist. Received: {path}")
    if path.is_dir():
        raise ValueError(f"A .tflite file is expected, not a folder. Received: {path}")
    content = content_of(path)
    if content[4:8] != IDENTIFIER:
        raise ValueError(f"A .tflite file begins with the identifier TFL3 at its fifth byte. Received: {path}")
    return content


def read(path):
    """The `FileContents` of the file at `path`.

    Raises:
        ValueError: a foreign or truncated file.
        OSError: there is no such file, or it cannot be read.
    """
    content = read_content(path)
    try:
        return contents(content)
    except Exception as error:  # the flatbuffer reader meets garbage in as many ways as there are
        raise ValueError(f"The .tflite file must be whole. Received: {path}, {len(content)} bytes: {error}") from None


def contents(content):
    """The `FileContents` of the bytes of a file."""
    model = schema().ModelT.InitFromPackedBuf(content)
    operators = [one for graph in graphs(model) for one in graph]
    tensors = [_tensor(model, one) for graph in model.subgraphs for one in graph.tensors]
    signatures = {}
    for one in model.signatureDefs or ():
        graph = model.subgraphs[one.subgraphIndex]
        specs = lambda ends: {entry.name.decode(): _spec(graph, entry) for entry in ends or ()}  # noqa: B023, E731
        signatures[one.signatureKey.decode()] = Signature(specs(one.inputs), specs(one.outputs))
    return FileContents(len(content), signatures, tuple(operators), tuple(tensors))


def graphs(model):
    """The `Operator`s of each graph of a file, its bytes or the schema's model."""
    if isinstance(model, bytes):
        model = schema().ModelT.InitFromPackedBuf(model)
    return [[_operator(model, graph, one) for one in graph.operators] for graph in model.subgraphs]


def names(content):
    """The names of the tensors of each graph of a file."""
    model = schema().ModelT.InitFromPackedBuf(content)
    return [[tensor.name.decode() for tensor in graph.tensors] for graph in model.subgraphs]


@functools.cache
def _names(enumeration):
    """The names of one of the schema's enumerations by number."""
    return {value: name for name, value in vars(getattr(schema(), enumeration)).items() if not name.startswith("_")}


def builtin_name(model, operator):
    """The name of an operator; a custom one's own."""
    code = model.operatorCodes[operator.opcodeIndex]
    if code.customCode:
        return code.customCode.decode()
    return _names("BuiltinOperator")[max(code.builtinCode, code.deprecatedBuiltinCode)]


def dtype_name(tensor):
    """The dtype of a tensor of the schema's."""
    return _names("TensorType")[tensor.type].lower()


def _operator(model, graph, operator):
    connected = [index for index in (*operator.inputs, *operator.outputs) if index >= 0]
    return Operator(
        name=builtin_name(model, operator),
        custom=bool(model.operatorCodes[operator.opcodeIndex].customCode),
        dtypes=tuple(dtype_name(graph.tensors[index]) for index in connected),
        shapes=tuple(_shape(graph.tensors[index]) for index in connected),
        inputs=tuple(graph.tensors[index].name.decode() for index in operator.inputs if index >= 0),
        output=graph.tensors[operator.outputs[0]].name.decode() if len(operator.outputs) else "",
    )


def _tensor(model, tensor):
    quantization = tensor.quantization
    scales = [] if quantization is None or quantization.scale is None else list(quantization.scale)
    zero_points = [] if quantization is None or quantization.zeroPoint is None else list(quantization.zeroPoint)
    buffer = model.buffers[tensor.buffer]
    return Tensor(
        name=tensor.name.decode(),
        dtype=dtype_name(tensor),
        shape=_shape(tensor),
        scales=len(scales),
        scale=float(scales[0]) if scales else None,
        zero_point=int(zero_points[0]) if zero_points else None,
        constant=buffer.data is not None and len(buffer.data) > 0,
    )


def _shape(tensor):
    """The shape, -1 where the file leaves an extent open."""
    shape = tensor.shape if tensor.shapeSignature is None else tensor.shapeSignature
    return () if shape is None else tuple(int(extent) for extent in shape)


def _spec(graph, entry):
    tensor = graph.tensors[entry.tensorIndex]
    shape = tuple(None if extent < 0 else extent for extent in _shape(tensor))
    return Spec(dtype_name(tensor), shape)
