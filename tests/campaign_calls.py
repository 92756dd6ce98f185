"""A valid call of every public function, class and method, with what its tensors, data and states may be."""

import keras
import numpy as np
import tensorflow as tf
import torch
from campaign import Call, Reached, fits, made

import lucid_keras as lk
from lucid_keras.export.verify import verified

X = np.ones((1, 4, 5), "float32")
CHUNK = np.ones((1, 4, 2), "float32")
WEIGHT = np.ones((4, 2, 3), "float32")
HELD = {"weight": WEIGHT, "bias": np.zeros(2, "float32")}
ADDED = ("device", "dtype", "name")  # of layers: None each
OF_KERAS = [f"{of}_{kind}" for of in ("weight", "bias") for kind in ("initializer", "regularizer", "constraint")]


def reached(*_, **__):
    """In the place of what an export does: its arguments were accepted."""
    raise Reached


def never(_):
    """No value of the pool is legal."""
    return False


def tensors(*shapes, kinds="f"):
    """A predicate: whether a value is a tensor, or becomes one, of one of the shapes, None for any extent."""

    def legal(value):
        if isinstance(value, (keras.KerasTensor, tf.TensorSpec)):
            return True  # as `keras.Input` gives it: its shape is checked, nothing is computed
        try:
            array = tf.convert_to_tensor(value).numpy()
        except Exception:
            return False
        fitting = [shape for shape in shapes if len(shape) == array.ndim]
        return array.dtype.kind in kinds and any(
            all(one in (None, other) for one, other in zip(shape, array.shape, strict=True)) for shape in fitting
        )

    return legal


def optional(legal):
    """A predicate that takes None too."""
    return lambda value: value is None or legal(value)


def in_a_graph(function):
    """The function while a graph is traced, which then runs."""
    return lambda **given: tf.function(lambda: function(**given), autograph=False)()


def operation_calls():
    """`conv_transpose1d` and `ConvTranspose1d`, eagerly, in a graph and on Keras's symbolic tensors."""
    geometry = {"stride": 2, "padding": 1, "output_padding": 0, "groups": 1, "dilation": 1}
    chosen = {"data_format": "channels_first", "lowering": "auto"}
    operation = {"x": X, **HELD, **geometry, **chosen}
    shapes = {
        "x": tensors((None, 4, None), (4, None)),
        "weight": tensors((4, None, None)),
        "bias": optional(tensors((2,))),
    }
    layer = {
        "in_channels": 4,
        "out_channels": 2,
        "kernel_size": 3,
        **geometry,
        **chosen,
        "bias": True,
        "jit_compile": False,
        **dict.fromkeys((*ADDED, *OF_KERAS)),
    }
    up = lk.ConvTranspose1d(4, 2, 3, stride=2)
    theirs = keras.layers.Conv1DTranspose(2, 3)
    theirs.build((None, None, 4))
    constants = optional(
        lambda value: callable(value) or value is None or tensors(WEIGHT.shape, (2,), kinds="fi")(value)
    )
    sizes = {"output_size": made(11, (11,), (1, 2, 11), (1, 2), np.int64(11))}
    symbolic = {"x": keras.Input((4, 5)), "output_size": None}
    sized = {"x": X, "output_size": 11}
    quirk = {"x": lambda value: shapes["x"](value) or getattr(value, "dtype", "") in ("O", "M8[s]")}  # TensorFlow's own
    return {
        "conv_transpose1d": Call(lk.conv_transpose1d, operation, lk.conv_transpose1d, shapes),
        "conv_transpose1d of Keras": Call(
            lk.conv_transpose1d, {**operation, "x": keras.Input((4, 5))}, lk.conv_transpose1d, shapes
        ),
        "conv_transpose1d in a graph": Call(in_a_graph(lk.conv_transpose1d), operation, lk.conv_transpose1d, shapes),
        "ConvTranspose1d": Call(
            lk.ConvTranspose1d, layer, lk.ConvTranspose1d.__init__, dict.fromkeys(OF_KERAS, constants)
        ),
        "from_keras": Call(lk.from_keras, {"layer": theirs}, lk.from_keras, {"layer": never}),
        "ConvTranspose1d()": Call(up, sized, up.call, shapes, sizes),
        "ConvTranspose1d() in a graph": Call(in_a_graph(up), sized, up.call, quirk, sizes),
        "ConvTranspose1d() of Keras": Call(up, symbolic, up.call, shapes, sizes),
        "ConvTranspose1d.forward": Call(up.forward, sized, up.forward, shapes, sizes),
        "ConvTranspose1d.compute_output_shape": Call(
            up.compute_output_shape,
            {"input_shape": (1, 4, 5), "output_size": None},
            up.call,
            {"input_shape": never},
            {"input_shape": made((1, 4, 1.5), (1, "4", 5), (1, 4, -5), {-2: 4})},
        ),
        "ConvTranspose1d.compute_output_spec": Call(up.compute_output_spec, symbolic, up.call, shapes),
    }


def istft_calls():
    """`ISTFT`, eagerly and in a graph."""
    istft = lk.ISTFT(16, 4)
    names = ("hann", "hamming", "rectangular")
    window = {"window": lambda value: value in names if isinstance(value, str) else tensors((16,))(value)}
    sizes = {"n_fft": 16, "hop_length": 4, "win_length": 16, "window": "hann", "center": True}
    given = {**sizes, "data_format": "channels_first", "dtype": None, "name": None}
    spectrum = {"spectrum": np.ones((1, 18, 5), "float32")}
    return {
        "ISTFT": Call(lk.ISTFT, given, lk.ISTFT.__init__, window, {"hop_length": made(2**30), "n_fft": made(2**20)}),
        "ISTFT()": Call(istft, spectrum, istft.call, {"spectrum": never}),
        "ISTFT() in a graph": Call(in_a_graph(istft), spectrum, istft.call, {"spectrum": never}),
        "ISTFT.compute_output_shape": Call(
            istft.compute_output_shape, {"input_shape": (1, 18, 5)}, istft.call, {"input_shape": never}
        ),
    }


def attention_calls():
    """`WindowedAttention`, eagerly and in a graph."""
    attention, inputs = lk.WindowedAttention(2, 3), ("query", "key", "value")
    given = {"heads": 2, "window": 3, "key_heads": None, "rotary_base": 10_000.0, "dtype": None, "name": None}
    shares = {"key_heads": optional(lambda value: fits(value, int) and int(value) in (1, 2))}
    tensor_of = {name: np.ones((1, 5, 4), "float32") for name in inputs}
    legal, shapes = dict.fromkeys(inputs, tensors((1, 5, 4))), {f"{name}_shape": (1, 5, 4) for name in inputs}
    return {
        "WindowedAttention": Call(lk.WindowedAttention, given, lk.WindowedAttention.__init__, shares),
        "WindowedAttention()": Call(attention, tensor_of, attention.call, legal),
        "WindowedAttention() in a graph": Call(in_a_graph(attention), tensor_of, attention.call, legal),
        "WindowedAttention.compute_output_shape": Call(
            attention.compute_output_shape, shapes, attention.call, dict.fromkeys(shapes, never)
        ),
    }


def states_of(name, begun):
    """States that are none, and some that are."""
    return made(
        {name: begun.numpy()},
        {name: begun.numpy().tolist()},
        {f"{name}_": begun},
        {name: begun, "more": begun},
        {name: begun.numpy().astype("float64")},
        {name: tf.concat([begun, begun], 0)},
        {name: begun[0]},
        {name: None},
        {name: "x"},
        {0: begun},
        {name: keras.KerasTensor(begun.shape)},
    )


def stream_calls(streaming, shapes):
    """What the streaming layer and the streaming model share; `shapes` are those that a chunk may have."""
    kind, begun = type(streaming), streaming.initial_state(1)
    ((name, shape),) = streaming.state_shapes.items()
    of_state = tensors((None, *shape), *([shape] if len(shapes) > 1 else []))
    legal = {
        "state": lambda value: isinstance(value, dict) and set(value) == {name} and of_state(value[name]),
        "x": tensors(*shapes, kinds="fiu"),
        "rows": tensors((1,), kinds="b"),
        "chunks": lambda value: isinstance(value, (list, tuple, dict, set, frozenset)) and not value,
        "batch": optional(lambda value: fits(value, int) and 0 <= int(value) < 2**31),
    }
    further = {
        "state": states_of(name, begun[name]),
        "chunks": made(["a"], [None], [CHUNK, CHUNK[0]], [CHUNK, np.concatenate([CHUNK, CHUNK])]),
    }
    chunk, state = {"x": CHUNK}, {"state": begun}
    calls = {
        "chunk_shape": (streaming.chunk_shape, {"batch": 1, "positions": 2}),
        "initial_state": (streaming.initial_state, {"batch": 1}),
        "step": (streaming.step, chunk | state),
        "step in a graph": (in_a_graph(streaming.step), chunk | state),
        "flush": (streaming.flush, state),
        "reset": (streaming.reset, state | {"rows": np.array([True])}),
        "stream": (lambda chunks: list(streaming.stream(chunks)), {"chunks": [CHUNK]}),
        "whole": (streaming.whole, chunk),
    }
    return {
        f"{kind.__name__}.{title}": Call(run, given, getattr(kind, title.split()[0]), legal, further)
        for title, (run, given) in calls.items()
    }


def streaming_calls(decoder):
    """The streaming layer and the streaming model."""
    layer, of_layer = lk.StreamingConvTranspose1d, {"layer": lk.ConvTranspose1d(4, 2, 3), "trim": 0, "name": None}
    model = lk.StreamingModel
    of_model = {"decoder": decoder, "pointwise": (), "data_format": None, "name": None}
    streaming = layer(lk.ConvTranspose1d(4, 2, 3, stride=2))
    called = {"x": CHUNK, "overlap": streaming.initial_state()["overlap"]}
    return {
        "StreamingConvTranspose1d": Call(layer, of_layer, layer.__init__, {"layer": never}),
        "StreamingConvTranspose1d()": Call(
            streaming, called, streaming.call, {"x": tensors((1, 4, None), kinds="fiu"), "overlap": never}
        ),
        **stream_calls(streaming, [(None, 4, None), (4, None)]),
        "StreamingModel": Call(model, of_model, model.__init__, {"decoder": never}),
        **stream_calls(model(decoder), [(None, 4, None)]),
    }


def export_calls(model, streaming, folder):
    """Every exporter, up to where its work begins."""
    data = np.random.default_rng(3).standard_normal((2, 4, 5)).astype("float32")
    proof = {"verification_data": data, "floor_db": 30.0, "timing_seconds": 0.0}
    int8 = {"quantization": "int8", "calibration_data": data, "compare_layers": False}
    live = {"model": streaming, "chunk": 2, "batch": 1}
    kept = {"float_layers": ["conv_transpose1d"], "exact_products": True}
    legal = {
        **dict.fromkeys(("verification_data", "calibration_data"), optional(tensors((None, 4, 5)))),
        "model": never,
        "length": _length,
    }
    lengths = made(
        *({"mel": 5}, {"mel": np.int64(5)}, {"mel": "dynamic"}, {"mel": None}, {"mel": -1}, {"mel": True}),
        *({"mel": 5, "typo": 5}, {"typo": 5}, {"mel": 5, 3: 5}, 4, [5, 6], [5, 5], [np.int64(5), "dynamic"]),
        *([{"mel": 5}], [[5]]),
    )
    given = {
        "to_tflite": {"model": model, **int8, **kept, "length": 5, "integer_io": False, "prove_on": ("compiled",)},
        "smallest_tflite": {
            "model": model,
            "device": "npu",
            "calibration_data": data,
            "length": 5,
            "time_limit": 60.0,
            "prove_on": ("compiled",),
        },
        "to_saved_model": {"model": model, "length": 5},
        "to_stablehlo": {"model": model, "length": 5, "batch": 1, "vjp": False, "platform": "tpu"},
        "streaming_to_saved_model": live,
        "streaming_to_tflite": {**live, **int8, **kept, "states": "explicit", "prove_on": ["compiled"]},
    }
    return {
        name: Call(
            getattr(lk.export, name),
            {**arguments, **proof, "path": str(folder / f"{name}.out")},
            getattr(lk.export, name),
            legal,
            {"length": lengths},
        )
        for name, arguments in given.items()
    }


def refused_export(model, folder):
    """What is raised for a file that stays below its floor."""
    try:
        lk.export.to_tflite(model, folder / "refused.tflite", length=5, quantization="dynamic_int8", floor_db=500)
    except lk.export.BelowFloorError as refusal:
        return refusal


def _length(value):
    """Whether a length is one for the model of one open input, `mel`."""
    if isinstance(value, (list, tuple)):
        return all(map(_length, value))
    if isinstance(value, dict):
        return set(value) == {"mel"} and _length(value["mel"])
    return value == "dynamic" if isinstance(value, str) else fits(value, int)


def checkpoint_calls(folder):
    """`interop`: reading, listing, loading, folding."""
    target = lk.ConvTranspose1d(4, 2, 3)
    path = str(folder / "held.npz")
    np.savez(path, **HELD)
    renames = made({".*": "weight"}, {"(": ""}, {"w": 3}, {"w": r"\9"}) | {"to int": lambda: lambda name: 3}
    sources = made(
        *({"weight": "a", "bias": "b"}, {"weight": None, "bias": None}, {"weight": [[1], [1, 2]], "bias": [0, 0]}),
        *({0: WEIGHT}, {name: array.astype(int) for name, array in HELD.items()}),
        {name: array.astype(object) for name, array in HELD.items()},
    )
    load = {"target": target, "source": HELD, "rename": None}
    legal = {
        **dict.fromkeys(("path", "target"), never),
        "source": lambda value: isinstance(value, dict),  # names that do not fit are no error unless strict
        "state": lambda value: (
            isinstance(value, dict) and all(np.asarray(one).dtype.kind in "fi" for one in value.values())
        ),
    }
    given = {
        "read_state_dict": {"path": path, "key": None},
        "describe": {"path": path, "key": None},
        "load_state_dict": {**load, "strict": False},
        "load_state_dict strictly": {**load, "strict": True},
        "to_state_dict": {"target": target},
        "fold_weight_norm": {"state": HELD},
    }
    return {
        title: Call(
            getattr(lk.interop, title.split()[0]),
            arguments,
            getattr(lk.interop, title.split()[0]),
            legal | ({"source": never} if arguments.get("strict") else {}),
            {"rename": renames, "source": sources, "state": sources},
        )
        for title, arguments in given.items()
    }


def torch_calls():
    """`from_torch`, whose work is long: its arguments alone are asked for here."""
    module, x = torch.nn.Conv1d(2, 3, 3), torch.zeros(1, 2, 9)
    given = {
        "module": module,
        "example_inputs": x,
        "data_format": "channels_last",
        "other_inputs": [(torch.ones(1, 2, 20),)],
    }
    legal = dict.fromkeys(("module", "example_inputs"), never) | {"other_inputs": lambda value: value is None}

    def documented(module, example_inputs, data_format: lk.ops.DataFormat, other_inputs, name: str | None):
        """Its signature names PyTorch's classes, which are there only where types are checked."""

    return {"from_torch": Call(lk.interop.from_torch, given | {"name": "a"}, documented, legal)}


def snake_calls():
    """`Snake`, eagerly and in a graph."""
    snake = lk.Snake()
    x = {"x": np.ones((1, 5, 4), "float32")}
    shape = {"weight_shape": lambda value: True}  # it is compared with the channels when these are known
    given = {"separate_beta": True, "logarithmic": False, "weight_shape": (1, 4, 1), "epsilon": 1e-9}
    given |= dict.fromkeys(ADDED[1:])
    return {
        "Snake": Call(lk.Snake, given, lk.Snake.__init__, shape),
        "Snake()": Call(snake, x, snake.call, {"x": tensors((None, None, 4))}),
        "Snake() in a graph": Call(in_a_graph(snake), x, snake.call, {"x": tensors((None, None, 4))}),
    }


def calls(folder):
    """All of them, by a name that a failure shows."""
    decoder = keras.Sequential([keras.Input((4, None), name="mel"), lk.ConvTranspose1d(4, 2, 3, stride=2)])
    report = lk.export.to_tflite(decoder, folder / "whole.tflite", length=5, timing_seconds=0)
    refusal = refused_export(decoder, folder)
    pair = {"reference": X, "result": X}
    artefact = {"path": report.path, "model": decoder, "data": None}
    of_artefact = {"path": never, "model": never, "data": optional(tensors((None, 4, 5)))}
    return {
        **operation_calls(),
        **istft_calls(),
        **attention_calls(),
        **snake_calls(),
        **torch_calls(),
        **streaming_calls(decoder),
        **export_calls(decoder, lk.StreamingModel(decoder), folder),
        "snr_db": Call(lk.export.snr_db, pair, lk.export.snr_db, dict.fromkeys(pair, tensors(X.shape, kinds="fiu"))),
        "BelowFloorError.retry": Call(refusal.retry, {"float_layers": ["up"], "floor_db": 5.0}, refusal.retry),
        "ExportReport.save_json": Call(report.save_json, {"path": str(folder / "r.json")}, report.save_json),
        "ExportReport.save_html": Call(report.save_html, {"path": str(folder / "r.html")}, report.save_html),
        "verified": Call(verified, artefact, verified, of_artefact),
        **checkpoint_calls(folder),
    }
