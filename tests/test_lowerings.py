"""Every lowering against the float64 reference, exactly on integers: forward and gradients, eager, graph and XLA."""

import dataclasses
import os
import pathlib
import subprocess
import sys

import arrays
import numpy as np
import pytest
import reference
import tensorflow as tf
from cases import CASES, Case

from lucid_keras import conv_transpose1d
from lucid_keras._geometry import ConvTranspose1dGeometry
from lucid_keras._lowering.choice import LOWERINGS, choose_lowering, has_two_taps
from lucid_keras._lowering.lowerings import LOWER
from lucid_keras._lowering.target import Target, current_target, lowering_for

HERE = pathlib.Path(__file__).parent


SECOND_ORDER = (
    "hifigan_up",
    "wavegan_up",
    "grouped_dilated",
    "bigvgan_up",
    "depthwise_many_taps",
    "depthwise_dilated",
    "dilated",
    "common_factor",
)


def each(names):
    """A test of every case and lowering, but of polyphase once more by another name."""
    chosen = [
        pytest.param(CASES[name], lowering, id=f"{name}-{lowering}")
        for name in names
        for lowering in LOWER
        if lowering != "fast_fir" or has_two_taps(geometry_of(CASES[name]))
    ]
    return pytest.mark.parametrize(("case", "lowering"), chosen)


def geometry_of(case):
    return ConvTranspose1dGeometry.of_weight(case.weight_shape, **case.parameters)


def value_and_gradients(case, data, lowering, data_format="channels_first"):
    """A function of `x, weight[, bias]` to the output and the gradients of `sum(y * dy)`."""
    dy = arrays.in_layout(data.dy, data_format)

    def compute(*tensors):
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            y = conv_transpose1d(*tensors, **case.parameters, data_format=data_format, lowering=lowering)
            loss = tf.reduce_sum(y * dy)
        return y, tape.gradient(loss, tensors)

    return compute


def tensors_of(data, data_format="channels_first"):
    tensors = [tf.constant(arrays.in_layout(data.x, data_format)), tf.constant(data.weight)]
    return tensors + ([] if data.bias is None else [tf.constant(data.bias)])


def assert_exact(case, data, result, data_format="channels_first"):
    y, gradients = result
    want = reference.conv_transpose1d(data.x, data.weight, data.bias, **case.parameters)
    wanted = list(reference.gradients(data.x, data.weight, data.dy, **case.parameters))[: len(gradients)]
    np.testing.assert_array_equal(arrays.in_layout(y.numpy(), data_format), want)
    np.testing.assert_array_equal(arrays.in_layout(gradients[0].numpy(), data_format), wanted[0])
    for gradient, expected in zip(gradients[1:], wanted[1:], strict=True):
        np.testing.assert_array_equal(gradient.numpy(), expected)


def test_type_checkers_know_the_same_lowerings():
    assert ("auto", *LOWER) == LOWERINGS


@each(CASES)
def test_eager(case, lowering, rng):
    data = arrays.integers(case, rng)
    for data_format in ("channels_first", "channels_last"):
        compute = value_and_gradients(case, data, lowering, data_format)
        assert_exact(case, data, compute(*tensors_of(data, data_format)), data_format)


@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
@pytest.mark.parametrize("name", ["hifigan_up", "bigvgan_up", "grouped", "dilated", "stride_not_dividing_kernel"])
def test_eager_calls_again_and_again(name, data_format, rng):
    """The first shape has a graph of its own, the later ones a graph of any shape."""
    for length, batch in ((9, 2), (9, 2), (12, 2), (12, 0), (15, 1), (9, 2)):
        case = dataclasses.replace(CASES[name], length=length, batch=batch)
        data = arrays.integers(case, rng)
        compute = value_and_gradients(case, data, "auto", data_format)
        assert_exact(case, data, compute(*tensors_of(data, data_format)), data_format)


def test_eager_calls_of_either_rank_and_any_dtype(rng):
    case = CASES["encodec_up"]
    data = arrays.integers(case, rng)
    want = reference.conv_transpose1d(data.x, data.weight, data.bias, **case.parameters)
    for dtype in ("float32", "float64", "float32", "float64"):
        x, weight, bias = (tensor.astype(dtype) for tensor in (data.x, data.weight, data.bias))
        np.testing.assert_array_equal(conv_transpose1d(x, weight, bias, **case.parameters), want)
        np.testing.assert_array_equal(conv_transpose1d(x[0], weight, bias, **case.parameters), want[0])


@pytest.mark.parametrize("length", [4, 5, 6, 200])
def test_a_weight_that_outweighs_the_signal(length, rng):
    """On both sides of the length where "auto" goes from overlap-add to polyphase."""
    case = Case(10, 6, 8, stride=4, padding=2, batch=2, length=length)
    data = arrays.integers(case, rng)
    for jit_compile in (False, True):
        compute = tf.function(value_and_gradients(case, data, "auto"), jit_compile=jit_compile, autograph=False)
        assert_exact(case, data, compute(*tensors_of(data)))


def test_the_target_is_what_the_graph_is_for():
    def target_of(jit_compile, nested=False):
        seen = []
        inner = tf.function(lambda: seen.append(current_target().name) or tf.constant(0), autograph=False)
        tf.function(inner.python_function if not nested else inner, jit_compile=jit_compile, autograph=False)()
        return seen[0]

    assert current_target().name == "tensorflow"
    assert target_of(False) == "tensorflow"
    assert target_of(True) == "xla"
    assert target_of(True, nested=True) == "xla"
    with lowering_for("litert"):
        assert target_of(True) == current_target().name == "litert"


TPU = {
    "hifigan_up": "conv2d_transpose",
    "bigvgan_up": "overlap_add",
    "wavegan_up": "polyphase",
    "stride_1": "polyphase",
}


@pytest.mark.parametrize("name", TPU)
def test_a_tpu_has_lowerings_of_its_own(name, monkeypatch, rng):
    """Which XLA estimates the best for it; what is computed is the same, and so is what a processor takes."""
    case = CASES[name]
    geometry = geometry_of(case)
    assert choose_lowering(geometry, Target("xla", platform="tpu"), 1, 1000, "float32") == TPU[name]
    for platform in ("cpu", "cuda", ""):
        assert choose_lowering(geometry, Target("xla", platform=platform), 1, 1000, "float32") == "polyphase"
    devices = [tf.config.LogicalDevice(f"/device:{name}:0", name) for name in ("CPU", "TPU")]
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda *_: devices)
    assert current_target().platform == "tpu"
    data = arrays.integers(case, rng)
    compute = tf.function(value_and_gradients(case, data, "auto"), jit_compile=True, autograph=False)
    assert_exact(case, data, compute(*tensors_of(data)))


@each(CASES)
def test_unknown_batch_and_length(case, lowering, rng):
    data = arrays.integers(case, rng)
    shapes = [[None, case.in_channels, None], case.weight_shape, [case.out_channels]]
    specs = [tf.TensorSpec(shape) for shape in shapes[: 3 if case.bias else 2]]
    compute = tf.function(value_and_gradients(case, data, lowering), input_signature=specs, autograph=False)
    assert_exact(case, data, compute(*tensors_of(data)))


@each([*SECOND_ORDER, "one_tap_dilated", "grouped", "kokoro_pool"])
def test_an_unknown_batch_that_is_empty(case, lowering, rng):
    """TensorFlow's CPU kernels know neither its shape nor its gradients (2.21)."""
    case = dataclasses.replace(case, batch=1)
    data = arrays.integers(case, rng)
    shapes = [[None, case.in_channels, case.length], case.weight_shape]
    specs = [tf.TensorSpec(shape) for shape in (*shapes, [case.out_channels])[: 3 if case.bias else 2]]
    compute = tf.function(value_and_gradients(case, data, lowering), input_signature=specs, autograph=False)
    for nothing in (False, True):
        part = dataclasses.replace(data, x=data.x[:0], dy=data.dy[:0]) if nothing else data
        assert_exact(case, part, compute(*tensors_of(part)))


@each(CASES)
def test_xla(case, lowering, rng):
    data = arrays.integers(case, rng)
    compute = tf.function(value_and_gradients(case, data, lowering), jit_compile=True, autograph=False)
    assert_exact(case, data, compute(*tensors_of(data)))


@each(CASES)
def test_an_empty_batch_in_a_graph(case, lowering, rng):
    """TensorFlow's CPU kernels divide by zero or misshape it if they are asked; they are not."""
    case = dataclasses.replace(case, batch=0)
    data = arrays.integers(case, rng)
    compute = tf.function(value_and_gradients(case, data, lowering), autograph=False)
    assert_exact(case, data, compute(*tensors_of(data)))


@each(["wavegan_up", "grouped_dilated", "bigvgan_up", "depthwise_dilated", "hifigan_up"])
def test_an_empty_batch_under_xla(case, lowering, rng):
    case = dataclasses.replace(case, batch=0)
    data = arrays.integers(case, rng)
    compute = tf.function(value_and_gradients(case, data, lowering), jit_compile=True, autograph=False)
    assert_exact(case, data, compute(*tensors_of(data)))


def test_unbatched(rng):
    case = CASES["grouped_dilated"]
    data = arrays.integers(case, rng)
    want = reference.conv_transpose1d(data.x, data.weight, data.bias, **case.parameters)[0]
    for data_format in ("channels_first", "channels_last"):
        x = arrays.in_layout(data.x[0], data_format)
        for shape in (x.shape, [None if extent == case.length else extent for extent in x.shape]):
            run = tf.function(
                lambda x, data_format=data_format: conv_transpose1d(
                    x, data.weight, data.bias, **case.parameters, data_format=data_format
                ),
                input_signature=[tf.TensorSpec(shape)],
                autograph=False,
            )
            np.testing.assert_array_equal(arrays.in_layout(run(x).numpy(), data_format), want)


@pytest.mark.parametrize("jit_compile", [False, True])
@each(SECOND_ORDER)
def test_second_order_gradients(case, lowering, jit_compile, rng):
    """The operation is linear in input and weight: along a direction `v` or `u`, with `<y, dy>` the inner product,

    `<dx, v> = <conv(v, weight), dy>`, whose gradient by the weight is the reference's at `v`, and
    `<dweight, u> = <conv(x, u), dy>`, whose gradient by the input is the reference's at `u`.
    """
    data = arrays.integers(case, rng)
    v, u = (rng.integers(-4, 5, array.shape).astype("float32") for array in (data.x, data.weight))

    def compute(x, weight):
        with tf.GradientTape(persistent=True) as outer:
            outer.watch([x, weight])
            with tf.GradientTape() as inner:
                inner.watch([x, weight])
                y = conv_transpose1d(x, weight, **case.parameters, lowering=lowering)
                loss = tf.reduce_sum(y * data.dy)
            dx, dweight = inner.gradient(loss, [x, weight])
            along_v, along_u = tf.reduce_sum(dx * v), tf.reduce_sum(dweight * u)
        return outer.gradient(along_v, weight), outer.gradient(along_u, x)

    by_weight, by_input = tf.function(compute, jit_compile=jit_compile, autograph=False)(*tensors_of(data)[:2])
    np.testing.assert_array_equal(by_weight, reference.gradients(v, data.weight, data.dy, **case.parameters)[1])
    np.testing.assert_array_equal(by_input, reference.gradients(data.x, u, data.dy, **case.parameters)[0])


@pytest.mark.parametrize("lowering", LOWER)
def test_a_length_known_only_at_run_time_is_checked_then(lowering):
    weight = tf.ones([1, 1, 2])
    run = tf.function(
        lambda x: conv_transpose1d(x, weight, padding=2, lowering=lowering),
        input_signature=[tf.TensorSpec([1, 1, None])],
        autograph=False,
    )
    assert run(tf.ones([1, 1, 3])).shape == (1, 1, 0)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"must not be negative.*Received: input length"):
        run(tf.ones([1, 1, 2]))
    with pytest.raises(tf.errors.InvalidArgumentError, match="Expected an input of at least one position"):
        run(tf.ones([1, 1, 0]))


def in_a_process_of_its_own(*arguments):
    """What Python prints for these arguments, with the tests and the package to import; for what may end a process."""
    search = os.pathsep.join([str(HERE.parent), str(HERE), os.environ.get("PYTHONPATH", "")])
    result = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": search},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, (result.returncode, result.stderr[-3000:])
    return result.stdout


def test_the_comparison_can_fail(rng):
    case = Case(2, 2, 3, stride=2)
    data = arrays.integers(case, rng)
    y, gradients = value_and_gradients(case, data, "polyphase")(*tensors_of(data))
    with pytest.raises(AssertionError):
        assert_exact(case, data, (y + 1, gradients))


SHORT = """
import numpy as np, reference
from lucid_keras import conv_transpose1d

for stride, taps, padding, output_padding in [(6, 6, 0, 5), (5, 5, 2, 4), (4, 4, 0, 3), (3, 3, 1, 2), (3, 6, 0, 2)]:
    for length in (1, 2, 3, 4, 5):
        x = np.arange(length, dtype="float32")[np.newaxis, np.newaxis] + 1
        weight, bias = np.arange(2 * taps, dtype="float32").reshape(1, 2, taps), np.ones(2, "float32")
        given = {"stride": stride, "padding": padding, "output_padding": output_padding, "groups": 1, "dilation": 1}
        for _ in range(2):
            y = conv_transpose1d(x, weight, bias, **given)
            np.testing.assert_array_equal(y, reference.conv_transpose1d(x, weight, bias, **given))
print("all")
"""


def test_short_signals_with_more_zeros_after_than_before_do_not_end_the_process():
    """Where TensorFlow fuses these zeros into a convolution, it does."""
    assert in_a_process_of_its_own("-c", SHORT).split()[-1:] == ["all"]
