"""The graphs behind a call: for one target each, as many as their bound, and gone when nobody has them."""

import ast
import concurrent.futures
import functools
import gc
import itertools
import pathlib
import weakref

import arrays
import numpy as np
import pytest
import reference
import tensorflow as tf
from cases import CASES, Case

import lucid_keras
from lucid_keras import conv_transpose1d, ops
from lucid_keras._geometry import ConvTranspose1dGeometry
from lucid_keras._lowering.target import current_target, lowering_for

PACKAGE = pathlib.Path(lucid_keras.__file__).parent
GRADIENTS = ["dilated", "hifigan_up", "grouped", "depthwise_many_taps"]  # of our own: one of each kind


@pytest.fixture
def small_cache(monkeypatch):
    """The cache of traces with a bound that a few geometries exceed."""
    monkeypatch.setattr(ops, "_function", functools.lru_cache(maxsize=2)(ops._function.__wrapped__))
    return ops._function


def remembering(make, made):
    """`make`, with a weak reference to each thing that it makes in `made`."""

    def wrapped(*args, **options):
        thing = make(*args, **options)
        made.append(weakref.ref(thing))
        return thing

    return wrapped


def callers_of(name):
    """`(file, function)` for each call of `name` in the package."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef):
                for node in ast.walk(function):
                    if isinstance(node, ast.Call) and getattr(node.func, "id", None) == name:
                        yield path.relative_to(PACKAGE).as_posix(), function.name


def test_the_operation_reads_its_target_once():
    """Attention is an operation of its own; streams, which are no part of either, read theirs."""
    callers = [caller for caller in callers_of("current_target") if "streaming" not in caller[0]]
    assert callers == [("layers/windowed_attention.py", "call"), ("ops.py", "apply_geometry")]


def test_an_eager_call_for_another_target_has_a_graph_of_its_own(monkeypatch):
    seen = []
    lower = ops.LOWER["polyphase"]
    monkeypatch.setitem(ops.LOWER, "polyphase", lambda *args: seen.append(current_target().name) or lower(*args))
    call = functools.partial(conv_transpose1d, tf.ones([1, 3, 11]), tf.ones([3, 2, 9]), stride=7, padding=1)
    for name in ("litert", "saved_model"):
        call()
        with lowering_for(name):
            call()
            call()
    assert seen == ["tensorflow", "litert", "saved_model"]


def test_the_cache_of_traces_is_bounded():
    assert ops._function.cache_info().maxsize == 128


@pytest.mark.parametrize("jit_compile", [False, True])
def test_what_the_cache_lets_go_is_gone(jit_compile, small_cache, monkeypatch):
    made = []
    monkeypatch.setattr(ops.tf, "function", remembering(tf.function, made))
    for kernel_size in range(2, 7):
        geometry = ConvTranspose1dGeometry(4, 4, kernel_size, stride=2, dilation=3)
        weight = tf.ones(geometry.weight_shape)
        with tf.GradientTape() as tape:
            tape.watch(weight)
            y = ops.apply_geometry(
                geometry,
                tf.ones([1, 4, 20]),
                weight,
                None,
                data_format="channels_first",
                lowering="auto",
                jit_compile=jit_compile,
            )
        tape.gradient(y, weight)
    del tape, y
    gc.collect()
    assert small_cache.cache_info().currsize == 2
    assert [function() is not None for function in made] == [False] * 3 + [True] * 2


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("name", GRADIENTS)
def test_a_graph_with_gradients_of_our_own_is_gone_with_its_function(name, jit_compile, rng):
    """TensorFlow keeps what it registers for a gradient: the graph would stay, and with it a dead model's weights."""
    case = CASES[name]
    data = arrays.normals(case, rng)

    def graph_of_a_step():
        weight = tf.Variable(data.weight)

        def step(x):
            with tf.GradientTape() as outer:
                with tf.GradientTape() as tape:
                    loss = tf.reduce_sum(conv_transpose1d(x, weight, **case.parameters) ** 2)
                norm = tf.reduce_sum(tape.gradient(loss, weight) ** 2)
            return outer.gradient(norm, weight)

        function = tf.function(step, jit_compile=jit_compile, autograph=False)
        return weakref.ref(function.get_concrete_function(tf.TensorSpec(data.x.shape)).graph)

    graph = graph_of_a_step()
    gc.collect()
    assert graph() is None


def test_threads_share_the_traces(small_cache, rng):
    """More geometries than the cache holds, from several threads at once: each call has its own result."""
    cases = [Case(3, 2, kernel_size, stride=3) for kernel_size in range(2, 8)]
    problems = [(case, arrays.integers(case, rng)) for case in cases]

    def is_right(problem):
        case, data = problem
        y = conv_transpose1d(data.x, data.weight, data.bias, **case.parameters)
        return np.array_equal(y, reference.conv_transpose1d(data.x, data.weight, data.bias, **case.parameters))

    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        assert all(threads.map(is_right, itertools.chain(*[problems] * 5)))


@pytest.mark.parametrize("name", GRADIENTS)
def test_a_saved_model_of_tensorflow_s_own_keeps_the_gradients(name, rng, tmp_path):
    case = CASES[name]
    data = arrays.integers(case, rng)
    module = tf.Module()
    module.weight = tf.Variable(data.weight)
    module.apply = tf.function(
        lambda x: conv_transpose1d(x, module.weight, **case.parameters),
        input_signature=[tf.TensorSpec(data.x.shape)],
        autograph=False,
    )
    tf.saved_model.save(module, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(loaded.apply(data.x.astype("float32")) * data.dy)
    wanted = reference.gradients(data.x, data.weight, data.dy, **case.parameters)[1]
    np.testing.assert_array_equal(tape.gradient(loss, loaded.weight), wanted)
