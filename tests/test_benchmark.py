"""The benchmark: its judge, what it refuses, that it waits for the numbers, and one run from end to end."""

import dataclasses
import json
import subprocess
import sys
import time

import numpy as np
import pytest
import reference
import tensorflow as tf
from arrays import normals
from benchmarks import costs, pjrt, pjrt_write, report
from benchmarks.goals import verdicts
from benchmarks.named import NAMED
from benchmarks.pjrt import NAMES
from cases import CASES
from tolerances import relative_tolerance

from lucid_keras._lowering.lowerings import LOWER
from lucid_keras.bench import commands, judge, rounds, worker
from lucid_keras.bench.measured import quartiles, ratio, times
from lucid_keras.bench.memory import peak_mib
from lucid_keras.bench.subjects import LITERT_TORCH, SUBJECTS, named, refusal
from lucid_keras.bench.workload import MODES, Workload
from lucid_keras.cli import main
from lucid_keras.runtimes.protocol import Spec
from lucid_keras.runtimes.stablehlo import call

SMALL = Workload(4, 2, 4, stride=2, padding=1, length=8)
SLOW = ("torch.compile", "litert-torch")  # one compiles for seconds, the other needs an interpreter of its own


@pytest.mark.parametrize("name", CASES)
def test_the_judge_is_the_reference(name, rng):
    case = CASES[name]
    data = normals(case, rng, "float64")
    bias = np.zeros(case.out_channels) if data.bias is None else data.bias
    tolerance = relative_tolerance("float64", case.kernel_size * max(case.in_channels, case.length) * 4)
    y = judge.forward(data.x, data.weight, bias, **case.parameters)
    pairs = [(y, reference.conv_transpose1d(data.x, data.weight, data.bias, **case.parameters))]
    got = judge.gradients(data.x, data.weight, data.dy, **case.parameters)
    pairs += zip(got, reference.gradients(data.x, data.weight, data.dy, **case.parameters), strict=True)
    for array, wanted in pairs:
        assert array.shape == wanted.shape
        assert np.abs(array - wanted).max(initial=0) <= tolerance * np.abs(wanted).max(initial=0)


def test_wrong_numbers_shapes_and_nan_do_not_pass():
    wanted = [np.array([1.0, -4.0])]
    judged = lambda *results: rounds._judged(list(results), wanted, SUBJECTS["torch"], "forward")  # noqa: E731
    assert judged(np.array([1.0, -4.0])) == {"error": 0.0, "milliseconds": []}
    off = judged(np.array([1.0, -4.1]))
    assert "largest error 0.025" in off["skipped"]
    assert off["error"] == pytest.approx(0.025)
    assert "largest error nan" in judged(np.array([np.nan, -4.0]))["skipped"]
    assert "wrong shapes: [[3]]" in judged(np.zeros(3))["skipped"]


def test_int8_is_judged_by_all_of_its_numbers():
    """Of many its ranges clip the largest: by 0.17 of it in a wide upsampler, with 36 dB over all."""
    rng = np.random.default_rng(0)
    wanted = rng.standard_normal(500_000)
    int8 = SUBJECTS["ours LiteRT int8"]
    clipped = np.round(np.clip(wanted, -3.9, 3.9) * 32) / 32
    assert judge.largest_error([clipped], [wanted]) > 0.15
    assert "skipped" not in rounds._judged([clipped], [wanted], int8, "forward")
    assert "mean error" in rounds._judged([np.roll(wanted, 1)], [wanted], int8, "forward")["skipped"]


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_call_ends_when_its_numbers_are_there(jit_compile):
    """Reading the result is a copy; had the call only started the work, reading would take the work's time."""
    x = tf.random.normal([1000, 1000])

    @tf.function(jit_compile=jit_compile, autograph=False)
    def heavy(x):
        for _ in range(20):
            x = tf.tanh(x @ x)
        return x

    heavy(x)
    seconds = {"call": [], "read": []}
    for _ in range(3):
        start = time.perf_counter()
        y = heavy(x)
        called = time.perf_counter()
        y[:1, :1].numpy()
        seconds["call"].append(called - start)
        seconds["read"].append(time.perf_counter() - called)
    assert min(seconds["read"]) < 0.2 * min(seconds["call"])


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"length": 0}, "length must be at least 1. Received: length=0"),
        ({"batch": 0}, "batch must be at least 1. Received: batch=0"),
        ({"mode": "backward"}, "mode must be one of 'forward', 'train'. Received: mode='backward'"),
        ({"groups": 3}, "in_channels must be divisible by groups. Received: in_channels=4, groups=3"),
        ({"length": 1, "padding": 2}, "An empty output cannot be timed. Received: length=1"),
    ],
)
def test_a_workload_that_cannot_be_timed_is_refused(changes, rule):
    arguments = {"in_channels": 4, "out_channels": 2, "kernel_size": 4, "stride": 2} | changes
    with pytest.raises(ValueError, match=rule.replace("(", r"\(")):
        Workload(**arguments)


def test_a_matrix_product_of_as_many_multiply_adds():
    rows, inner, columns = SMALL.product_shape
    assert rows * inner * columns == 8 * 4 * 4 * 2


def test_subjects_by_name():
    assert {f"ours {name}" for name in LOWER} <= SUBJECTS.keys()
    assert named("Ours-LiteRT-int8") == named("ours LiteRT int8") == "ours LiteRT int8"
    with pytest.raises(ValueError, match=r"A subject must be one of ours-eager, .*Received: lasagne"):
        named("lasagne")


@pytest.mark.parametrize(
    ("workload", "reason"),
    [
        (SMALL, None),
        (Workload(4, 2, 4, stride=2), None),
        (Workload(4, 4, 4, stride=2, groups=2), "has no groups"),
        (Workload(4, 2, 4, stride=2, dilation=3), "refuses a stride with dilation"),
        (Workload(4, 2, 4, stride=2, padding=1, output_padding=1), "has no such output padding"),
        (Workload(4, 2, 5, stride=2, padding=1), "has no such padding"),
        (Workload(4, 2, 2, stride=3), "has no such padding"),
    ],
)
def test_what_keras_cannot_express(workload, reason):
    assert refusal("Keras", workload) == reason


def test_why_a_subject_is_not_tried(monkeypatch):
    without = f"{LITERT_TORCH} names no Python that has litert-torch"
    monkeypatch.delenv(LITERT_TORCH, raising=False)
    assert refusal("litert-torch", SMALL) == without
    monkeypatch.setenv(LITERT_TORCH, "/no/such/python")
    assert refusal("litert-torch", SMALL) == without
    monkeypatch.setenv(LITERT_TORCH, sys.executable)
    assert refusal("litert-torch", SMALL) is None
    assert refusal("ours LiteRT", Workload(4, 2, 4, mode="train")) == "does not train"
    monkeypatch.setitem(SUBJECTS, "torch", SUBJECTS["torch"].__class__("in_torch", "layer", needs=("no_such_package",)))
    assert refusal("torch", SMALL) == "not installed: no_such_package"


def test_every_lowering_is_a_subject():
    """By name and not out of `LOWER`: a peer's process reads the subjects, and must not have TensorFlow."""
    forced = {subject.options.get("lowering"): name for name, subject in SUBJECTS.items() if name.startswith("ours ")}
    assert {lowering: forced.get(lowering) for lowering in LOWER} == {name: f"ours {name}" for name in LOWER}


def test_peers_do_not_share_a_process_with_tensorflow():
    script = """
import runpy, sys
runpy.run_path(sys.argv[1])["_imported"]("lucid_keras.bench.subjects")
for module in ("in_torch", "in_onnxruntime", "in_tensorflow"):
    __import__(f"lucid_keras.bench.{module}")
    print("tensorflow" in sys.modules)
"""
    command = [sys.executable, "-P", "-c", script, worker.__file__]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert shown == ["False", "False", "True"]


def test_a_process_that_ends_or_hangs_is_an_answer():
    unknown = rounds.Worker("nobody", threads=1, registry="no_such_module")
    assert unknown.ask(measure=0.1) == {"skipped": "its process ended with status 1"}
    assert unknown.process is None  # the next request starts a new one
    late = {"skipped": "took longer than 0.01 s"}
    assert rounds.Worker("ours graph", threads=1).ask(limit=0.01, measure=0.1) == late


def test_quartiles_and_ratios():
    results = {"a": {"milliseconds": [2.0, 4.0, 9.0]}, "b": {"milliseconds": [1.0, 4.0, 3.0]}, "c": {"skipped": "no"}}
    assert quartiles([1.0, 2.0, 3.0, 4.0, 5.0]) == [2.0, 3.0, 4.0]
    assert quartiles([7.0]) == [7.0, 7.0, 7.0]
    assert ratio(results, "a", "b") == 2.0  # the median of 2, 1 and 3, not 4 over 3
    assert ratio(results, "a", "c") is None
    assert times(results, "nobody") is None


def test_files_that_xnnpack_splits_are_named():
    whole, split = ({"delegation": {"operators": 3, "delegated": 3 - n, "partitions": 1 + n}} for n in (0, 1))
    text = "XNNPACK runs 2 of 3 operators, in 2 partitions"
    assert commands._split({"a": whole, "b": split, "c": {"skipped": "no"}}) == {"b": text}


def test_peak_memory_is_what_a_call_takes_and_gives_back():
    assert peak_mib(lambda: np.ones(5 * 2**20)) == pytest.approx(40, abs=2)
    assert peak_mib(lambda: None) < 2


def test_the_node_is_the_one_that_pytorch_exports(tmp_path):
    onnx = pytest.importorskip("onnx")
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxruntime")
    from lucid_keras.bench.in_onnxruntime import model

    workload = Workload(4, 6, 5, stride=3, padding=1, output_padding=2, groups=2, dilation=2, length=8)
    path = str(tmp_path / "layer.onnx")
    arrays = workload.arrays()
    module = torch.nn.ConvTranspose1d(**workload.layer_arguments)
    torch.onnx.export(module, (torch.from_numpy(arrays.x),), path, dynamo=False)
    exported = {one.op_type: one for one in onnx.load(path).graph.node}["ConvTranspose"]
    (ours,) = model(workload, arrays).graph.node
    attributes = lambda node: {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}  # noqa: E731
    assert {name: attributes(exported)[name] for name in attributes(ours)} == attributes(ours)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["4", "2", "4", "--groups", "3"], "in_channels must be divisible by groups"),
        (["4", "2", "4", "--subjects", "lasagne"], "A subject must be one of ours-eager"),
        (["4", "2", "4", "--rounds", "0"], "--rounds must be at least 1. Received: 0"),
        (["4", "2", "4", "--threads", "0"], "--threads must be at least 1. Received: 0"),
        (["4", "2", "4", "--seconds", "-1"], "--seconds must be positive. Received: -1.0"),
        (["4", "2", "4", "--json", "/no/such/folder/x.json"], "The folder of --json must exist"),
        (["4", "4", "4", "--groups", "2", "--subjects", "keras"], "No subject could be timed"),
    ],
)
def test_errors_of_the_command_are_one_line(arguments, message, capsys):
    assert main(["bench", *arguments]) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("lucid-keras: ")
    assert message in error


@pytest.mark.parametrize(
    ("name", "mode"), [(name, mode) for name in SUBJECTS if name not in SLOW for mode in SUBJECTS[name].modes]
)
def test_every_subject_computes_the_operation(name, mode):
    """In this process, where speed does not matter."""
    workload = dataclasses.replace(SMALL, mode=mode)
    prepared = SUBJECTS[name].prepare(workload, workload.arrays(), threads=2)
    prepared.call()
    if prepared.results is None:
        assert name.endswith(("product", "product int8"))
    else:
        expected = rounds.wanted(workload, workload.arrays())
        assert "skipped" not in rounds._judged(prepared.results(), expected, SUBJECTS[name], mode)
    if SUBJECTS[name].module == "in_litert":
        assert prepared.facts["delegation"]["partitions"] == 1


def test_the_command_from_end_to_end(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    path = tmp_path / "out.json"
    options = ["--stride", "2", "--padding", "1", "--length", "16", "--rounds", "2", "--seconds", "0.001"]
    names = ["ours-litert", "torch", "litert-torch"]
    monkeypatch.delenv(LITERT_TORCH, raising=False)
    assert main(["bench", "4", "2", "4", *options, "--subjects", *names, "--json", str(path)]) == 0
    shown = capsys.readouterr().out
    (one,) = json.loads(path.read_text())["runs"]
    assert one["case"] == {**Workload(4, 2, 4, 2, 1).layer_arguments, "length": 16}
    assert list(one["subjects"]) == ["ours LiteRT", "torch", "litert-torch"]
    for name in ("ours LiteRT", "torch"):
        assert name in shown
        assert len(one["subjects"][name]["milliseconds"]) == 2
        assert 0 < one["subjects"][name]["error"] < 1e-5
        assert one["subjects"][name]["peak_mib"] > 0
    delegation = one["subjects"]["ours LiteRT"]["delegation"]
    assert delegation["partitions"] == 1
    assert delegation["delegated"] == delegation["operators"] > 0
    assert f"litert-torch: {LITERT_TORCH} names no Python" in shown


def _results(milliseconds):
    """Results of one run of hifi_up1, in which each subject took the same in each of two rounds."""
    subjects = {name: {"milliseconds": [value] * 2} for name, value in milliseconds.items()}
    run = {"case": "hifi_up1", "batch": 1, "mode": "forward", "subjects": subjects}
    return {"machine": {"versions": {"keras": "3"}, "processor": "a", "cores": 2}, "rounds": 2, "runs": [run]}


def _verdict(results, text):
    (one,) = (one for one in verdicts(results) if text in one.target)
    return one


def test_a_verdict_names_the_worst_and_is_met_or_not():
    results = _results({"ours LiteRT": 2.0, "LiteRT product": 1.5, "ours LiteRT int8": 0.5})
    share, int8 = _verdict(results, "share of the ceiling"), _verdict(results, "our float32")
    assert (share.measured, share.met) == ("0.75 (hifi_up1, batch 1); 0 of 1", False)
    assert (int8.measured, int8.met) == ("4.00 (hifi_up1, batch 1); 1 of 1", True)
    assert _verdict(results, "TRANSPOSE_CONV, depthwise").met is None


def test_an_error_is_one_line_without_folders():
    error = ValueError("\n/some/where/torch/conv.py:10: error: no\nand so on")
    assert worker._one_line(error) == "ValueError: conv.py:10: error: no"


def test_a_file_in_two_partitions_fails_its_target():
    results = _results({"ours LiteRT": 2.0})
    subject = results["runs"][0]["subjects"]["ours LiteRT"]
    for partitions, met in ((1, True), (2, False)):
        subject["delegation"] = {"operators": 3, "delegated": 3, "partitions": partitions}
        assert _verdict(results, "in one partition").met is met


def test_the_report_is_written_between_the_marks(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results.json")
    for name in ("README", "PAGE", "TABLES", "COSTS", "PICTURE"):
        monkeypatch.setattr(report, name, tmp_path / f"{name}.png")
    marks = [f"<!-- generated by {report.COMMAND}: {which} -->" for which in ("begin", "end")]
    for page in (report.README, report.PAGE):
        page.write_text("before\n{}\nold\n{}\nafter\n".format(*marks))
    results = _results({"ours LiteRT": 2.0, "TRANSPOSE_CONV": 5.0, "torch": 3.0})
    results["runs"][0]["subjects"]["litert-torch"] = {"skipped": "wrong numbers: off by 0.8 of it", "error": 0.8}
    report.RESULTS.write_text(json.dumps(results))
    report.main()
    readme, page, everything = (one.read_text() for one in (report.README, report.PAGE, report.TABLES))
    for text in (readme, page):
        assert text.startswith("before\n")
        assert text.endswith("after\n")
        assert "old" not in text
    assert "1 layers, the others' time over ours: TRANSPOSE_CONV 2.5 (2.5 to 2.5), torch 1.5 (1.5 to 1.5)." in readme
    assert "| litert-torch | wrong numbers | hifi_up1 |" in everything
    for text in (page, everything):
        assert "| hifi_up1 | 2.00 (2.00-2.00) | 2.50 | 1.50 |" in text
        assert "strided dense: at least 1.7 | 2.50 (hifi_up1, batch 1); 1 of 1 | yes |" in text
    assert report.PICTURE.stat().st_size > 1000
    report.README.write_text("no marks")
    with pytest.raises(ValueError, match=f"The file must have the lines {marks[0]}"):
        report.main()


def test_slopes_and_their_verdicts():
    linear = {"sizes": [1, 2, 4], "milliseconds": [3.0, 6.0, 12.0]}
    square = {"sizes": [1, 2, 4], "milliseconds": [3.0, 12.0, 48.0]}
    assert costs.slope(*square.values()) == pytest.approx(2)
    found = {f"{axis}, {name}": linear for axis in costs.GROWTHS for name in costs.GROWN}
    assert [one.met for one in costs.growth_verdicts(found)] == [True, True]
    found["length, ours XLA"] = square
    assert [one.met for one in costs.growth_verdicts(found)] == [True, False]
    groups = {f"ours XLA, {mode}": {"groups": [1, 4], "milliseconds": [2.0, 1.0]} for mode in MODES}
    assert [one.met for one in costs.grouping_verdicts(groups)] == [True, True, True]
    groups["ours XLA, train"]["milliseconds"][1] = 2.1
    assert [one.met for one in costs.grouping_verdicts(groups)] == [False, True, False]


def test_importing_and_starting_verdicts():
    found = {"import keras": [3.0], "import lucid_keras": [0.05], "first call": [0.1], "first call of Keras's": [0.2]}
    assert [one.met for one in costs.starting_verdicts(found)] == [True, True]
    assert [one.met for one in costs.starting_verdicts(found | {"import lucid_keras": [0.2]})] == [False, True]
    assert [one.met for one in costs.starting_verdicts(found | {"first call": [0.3]})] == [True, False]


def test_points_are_timed_in_this_process(monkeypatch):
    class Parsed:
        threads, rounds, seconds = 2, 1, 0.001

    small = [dataclasses.replace(SMALL, length=length) for length in (8, 16)]
    monkeypatch.setattr(costs, "GROWTHS", {"length": small})
    monkeypatch.setattr(costs, "GROWN", ("ours LiteRT",))
    found = costs.growth(Parsed)["length, ours LiteRT"]
    assert found["sizes"] == [8, 16]
    assert all(value > 0 for value in found["milliseconds"])
    assert costs.fresh("import sys; print(1.5, len(sys.argv))", "argument") == [1.5, 2.0]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The StableHLO folders of a small case."""
    folder = tmp_path_factory.mktemp("pjrt")
    NAMED["small"] = SMALL
    pjrt_write.write(folder, ["small"], {"forward": 1, "train": 2}, ["auto", "conv2d_transpose"])
    del NAMED["small"]
    return folder


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("lowering", ["auto", "conv2d_transpose"])
def test_the_programs_for_other_devices_give_the_numbers_beside_them(written, mode, lowering):
    path = written / f"small-{mode}"
    case = json.loads((path / "case.json").read_text())
    arrays = pjrt.inputs(case)
    assert pjrt.digest(arrays) == case["sha256"]
    expected = np.load(path / "expected.npz")
    shapes = [case["shapes"][name] for name in NAMES["train"][:3]] if mode == "train" else [case["shapes"]["dy"]]
    program = (path / f"{lowering}-float32.stablehlo").read_bytes()
    arguments = [tf.constant(arrays[name], "float32") for name in NAMES[mode]]
    results = [one.numpy() for one in call(program, arguments, [Spec("float32", tuple(shape)) for shape in shapes])]
    assert pjrt._error(results, expected, case["peaks"]) < 1e-6
    results[0] = results[0] + 1  # the check sees a wrong number
    assert pjrt._error(results, expected, case["peaks"]) > 0.05


def test_the_exported_folder_travels_along(written):
    assert (written / "small-forward" / "exported" / "forward.stablehlo").exists()
    assert not (written / "small-train" / "exported").exists()


def test_every_call_is_waited_for():
    waited = []
    assert pjrt.milliseconds(lambda: "numbers", waited.append, seconds=1e-9) > 0
    assert waited == ["numbers"] * 3  # the warm-up, the estimate, and the last of the timed


def test_the_run_on_a_device(written, tmp_path):
    pytest.importorskip("jax")
    pjrt.run(written, rounds=1, seconds=1e-3, out=tmp_path / "out.json", torch_python=sys.executable)
    runs = json.loads((tmp_path / "out.json").read_text())["runs"]
    assert len(runs) >= 4
    for one in runs:
        assert all("skipped" not in answer for answer in one["subjects"].values())
