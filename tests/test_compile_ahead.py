"""Compiling ahead for accelerators: what XLA's text tells, compilers that do not answer, and the page's tables."""

import json
import subprocess
import sys

import pytest
from benchmarks import compile_ahead, compile_ahead_report, compile_ahead_worker
from benchmarks.compile_ahead_worker import called_bytes, size, tally

ON_TPU = """HloModule a_program, is_scheduled=true

%fused (p: bf16[8,4]) -> bf16[8,4] {
  ROOT %not.counted = bf16[8,4]{1,0} copy(%p), backend_config={"window_config":{"estimated_cycles":"9000"}}
}

ENTRY %main.1 (x.1: bf16[8,4]) -> (bf16[8,4], f32[4]) {
  %x.1 = bf16[8,4]{1,0:T(8,128)(2,1)} parameter(0)
  %copy-start.2 = (bf16[8,4]{1,0:T(8,128)(2,1)S(1)}, bf16[8,4]{1,0:T(8,128)(2,1)}, u32[]{:S(2)}) copy-start(%x.1)
  %fusion.3 = bf16[8,4]{1,0:T(8,128)(2,1)S(1)} fusion(%x.1), kind=kOutput, backend_config={"estimated_cycles":"1200"}
  %copy.4 = bf16[8,4]{0,1:T(4,128)(2,1)} copy(%fusion.3), backend_config={"estimated_cycles":"34","iterations":[]}
  %reduce.5 = f32[4]{0:T(256)} reduce(%copy.4, %zero), dimensions={0}, backend_config={"estimated_cycles":5}
  ROOT %tuple.6 = (bf16[8,4]{0,1:T(4,128)(2,1)}, f32[4]{0:T(256)}) tuple(%copy.4, %reduce.5)
}
"""
ON_GPU = """HloModule a_program

ENTRY %main.1 (x.1: bf16[8,5], w.2: bf16[2,5]) -> bf16[8,2] {
  %x.1 = bf16[8,5]{1,0} parameter(0)
  %w.2 = bf16[2,5]{1,0} parameter(1)
  %wrapped.3 = bf16[5,8]{1,0} fusion(%x.1), kind=kLoop, calls=%computation
  %conv.4 = (bf16[8,2]{1,0}, u8[4096]{0}) custom-call(%wrapped.3, %w.2), custom_call_target="__cudnn$convForward"
  ROOT %part.5 = bf16[8,2]{1,0} get-tuple-element(%conv.4), index=0
}
"""


def test_the_entry_alone_is_summed():
    assert tally(ON_TPU) == {"cycles": 1239, "fusions": 1, "copies": 1, "calls": {}}


def test_a_loop_has_no_sum():
    """What is in its body runs as often as it turns, which the entry does not tell."""
    looped = ON_TPU.replace("  ROOT %tuple.6", "  %while.7 = (s32[]) while(%copy.4), body=%fused\n  ROOT %tuple.6")
    assert tally(looped)["cycles"] is None


def test_of_a_gpu_the_calls_are_told_and_no_cycles():
    assert tally(ON_GPU) == {"cycles": None, "fusions": 1, "copies": 0, "calls": {"__cudnn$convForward": 1}}


def test_a_call_moves_its_operands_and_results_and_not_its_workspace():
    assert called_bytes(ON_GPU) == 2 * (5 * 8 + 2 * 5 + 8 * 2)
    assert called_bytes(ON_TPU) == 0


@pytest.mark.parametrize(
    ("shape", "count"), [("f32[3,4]{1,0}", 48), ("bf16[]", 2), ("(f32[2]{0:T(256)}, u8[99]{0})", 8), ("f32[0,7]", 0)]
)
def test_the_bytes_of_a_shape(shape, count):
    assert size(shape) == count


# The worker as it is, with a compiler of a few lines: it does what the path says.
SCRIPT = """
import os, runpy, sys, time
worker = runpy.run_path({path!r})
class Compiler:
    def __init__(self, target):
        if target == "none":
            raise ModuleNotFoundError("No module named 'jax'")
    def describe(self):
        return {{"device": "a device", "versions": {{}}}}
    def compile(self, path, allowed):
        print("what a compiler prints")
        if "refused" in path:
            raise RuntimeError("INTERNAL: no such | tiles\\nand so on")
        if "dies" in path:
            os.abort()
        worker["_end_after"](time.process_time() + allowed)
        while "slow" in path:
            pass
        time.sleep(30 if "hangs" in path else 0)
        return {{"cycles": 7}}
worker["main"].__globals__["Compiler"] = Compiler
worker["main"](*sys.argv[1:])
"""


@pytest.fixture
def compiler(tmp_path, monkeypatch):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(path=compile_ahead_worker.__file__))
    monkeypatch.setattr(compile_ahead, "SCRIPT", script)
    made = []

    def make(target):
        made.append(compile_ahead.Compiler(sys.executable, target))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.parametrize(
    ("path", "patience", "said"),
    [
        ("slow", 60, "more than 1 s"),  # of the processor: a busy machine takes its time
        ("hangs", 1, "took longer than 1 s"),
        ("refused", 60, "RuntimeError: INTERNAL: no such | tiles"),
        ("dies", 60, "its process ended with status -6"),
    ],
)
def test_what_does_not_compile_is_a_sentence_and_the_next_program_is_compiled(
    compiler, monkeypatch, path, patience, said
):
    monkeypatch.setattr(compile_ahead, "PATIENCE", patience)
    one = compiler("v5e")
    assert one.compiled(path, 1) == {"skipped": said}
    monkeypatch.setattr(compile_ahead, "PATIENCE", 60)
    assert one.compiled("good", 1) == {"cycles": 7}


def test_an_environment_without_the_compilers_is_said(compiler):
    with pytest.raises(ValueError, match=r"must have the compilers of `make compile-ahead`. ModuleNotFoundError"):
        compiler("none").described()


def test_the_command_without_an_environment_is_one_line(capsys, monkeypatch, tmp_path):
    out = tmp_path / "out.json"
    monkeypatch.setattr(sys, "argv", ["compile_ahead", "--python", "/no/such/python", "--out", str(out)])
    with pytest.raises(SystemExit):
        compile_ahead.main()
    *_, said = capsys.readouterr().err.strip().splitlines()
    assert said.endswith("error: /no/such/python must have the compilers of `make compile-ahead`.")
    assert not out.exists()


def test_what_was_too_much_is_not_tried_again(monkeypatch):
    asked = []

    class Fake:
        def __init__(self, python, target):
            self.target = target

        def described(self):
            return {"device": self.target, "versions": {}}

        def compiled(self, path, limit):
            asked.append((self.target, path))
            late = "train-polyphase" in path or (self.target == "v6e" and "train-overlap_add" in path)
            return {"skipped": f"more than {limit} s"} if late else {"cycles": 7}

        def close(self):
            pass

    monkeypatch.setattr(compile_ahead, "Compiler", Fake)
    monkeypatch.setattr(compile_ahead, "_written", lambda folder, case, mode, dtype, lowering: f"{mode}-{lowering}")
    rows = [
        row
        for row in compile_ahead.run("python", ["h100", "v5e", "v6e"], ["demucs"], compile_ahead.DTYPES, 9)
        if "case" in row
    ]
    assert len(rows) == 2 * 3 * 2 * 3
    polyphase, overlap_add = (
        {(row["target"], row["dtype"]): row["skipped"] for row in rows if "skipped" in row and row["lowering"] == name}
        for name in ("polyphase", "overlap_add")
    )
    assert overlap_add == {
        ("v6e", "bfloat16"): "more than 9 s",
        ("v6e", "float32"): "not tried: more than 9 s for v6e in bfloat16",
    }
    assert polyphase == {
        ("h100", "bfloat16"): "more than 9 s",
        ("h100", "float32"): "not tried: more than 9 s for h100 in bfloat16",
        ("v5e", "bfloat16"): "more than 9 s",
        ("v5e", "float32"): "not tried: more than 9 s for v5e in bfloat16",
        ("v6e", "bfloat16"): "not tried: more than 9 s for v5e in bfloat16",
        ("v6e", "float32"): "not tried: more than 9 s for v5e in bfloat16",
    }
    assert asked.count(("v6e", "train-polyphase")) == 0
    assert asked.count(("v6e", "forward-polyphase")) == 2


def test_a_row_takes_the_place_of_the_same_program_alone():
    row = {"target": "v5e", "case": "demucs", "mode": "train", "dtype": "float32", "lowering": "polyphase", "cycles": 1}
    other = row | {"mode": "forward"}
    results = compile_ahead.merged({"devices": {"h100": "one"}, "runs": [row, other]}, row | {"cycles": 2})
    assert results == {"devices": {"h100": "one"}, "runs": [other, row | {"cycles": 2}]}
    results = compile_ahead.merged(results, {"target": "v5e", "device": "another", "versions": {"jax": "1"}})
    assert results["devices"] == {"h100": "one", "v5e": "another"}
    assert results["versions"] == {"jax": "1"}
    assert len(results["runs"]) == 2


def recorded():
    """Results of wavegan, forward in bfloat16: `"auto"` takes polyphase of it."""
    told = {"operations": 3e9, "bytes": 5e7, "temporary": 0, "fusions": 3, "copies": 2, "calls": {}, "seconds": 0.5}
    kind = {"case": "wavegan", "mode": "forward", "dtype": "bfloat16"}
    cycles = {"conv2d_transpose": 1000, "polyphase": 1500}
    runs = [{"target": "v5e", "lowering": name, **kind, "cycles": count, **told} for name, count in cycles.items()]
    runs.append({"target": "v5e", "lowering": "overlap_add", **kind, "skipped": "more than 9 s"})
    bytes_moved = {"conv2d_transpose": 6e7, "overlap_add": 7e7, "polyphase": 5e7}
    calls = {"calls": {"__cudnn$convForward": 2, "__cublas$lt$matmul": 1}, "cycles": None}
    for name, count in bytes_moved.items():
        runs.append({"target": "h100", "lowering": name, **kind, **told, **calls, "bytes": count})
    batches = {"forward": 8, "train": 16}
    return {
        "versions": {"jax": "1.2"},
        "devices": {"v5e": "a TPU", "h100": "a GPU"},
        "batches": batches,
        "limit": 9,
        "runs": runs,
    }


def test_the_page_says_what_is_preferred_and_what_auto_takes():
    lines = compile_ahead_report.page(recorded())
    assert lines[0] == "By jax 1.2; forward at batch 8, training step at batch 16."
    assert lines[1].startswith(
        "Not every program was tried for TPU v5e in bfloat16 (3 of 96), TPU v5e in float32 (0 of"
    )
    tpu, gpu = (lines.index(heading) for heading in ("## TPU v5e", "## H100"))
    assert lines[tpu:gpu] == [
        "## TPU v5e",
        "",
        '- forward, bfloat16: `"auto"` takes what has the fewest cycles in 0 of 1; its cycles over the fewest 1.50 '
        "(geometric mean), at most 1.50 (wavegan).",
        "",
        '| cycles | `"auto"` takes | forward, bfloat16 |',
        "|---|---|---|",
        "| wavegan | polyphase | **conv2d_transpose**, 1.50 |",
        "",
        "<details markdown><summary>Every program: forward, bfloat16</summary>",
        "",
        "| case | lowering | cycles | million operations | MB moved | MB temporary | fusions | copies | seconds |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
        "| wavegan | conv2d_transpose | **1,000** | 3,000.0 | 50.0 | 0.0 | 3 | 2 | 0.5 |",
        "| wavegan | polyphase | 1,500 | 3,000.0 | 50.0 | 0.0 | 3 | 2 | 0.5 |",
        "| wavegan | overlap_add | more than 9 s | | | | | | |",
        "",
        "</details>",
        "",
    ]
    assert '- forward, bfloat16: `"auto"` takes what has the fewest bytes in 1 of 1; its' in "\n".join(lines[gpu:])
    assert "| wavegan | polyphase | the same |" in lines[gpu:]
    calls = "cudnn$convForward x 2, cublas$lt$matmul"
    assert f"| wavegan | polyphase | 3,000.0 | **50.0** | 0.0 | 3 | {calls} | 0.5 |" in lines[gpu:]


def test_where_nothing_or_not_what_auto_takes_compiled():
    results = recorded()
    told = ("target", "lowering", "case", "mode", "dtype")
    refused = {"skipped": "RuntimeError: a | b"}
    results["runs"][1] = {key: results["runs"][1][key] for key in told} | refused
    lines = compile_ahead_report.page(results)
    assert "| wavegan | polyphase | **conv2d_transpose**, `auto`'s did not compile |" in lines
    assert '- forward, bfloat16: `"auto"` takes what has the fewest cycles in 0 of 1.' in lines
    assert "| wavegan | polyphase | RuntimeError: a / b | | | | | | |" in lines
    results["runs"][0] = {key: results["runs"][0][key] for key in told} | refused
    assert "| wavegan | polyphase | none compiled |" in compile_ahead_report.page(results)
    del results["runs"][1]  # interrupted before it
    assert "| wavegan | polyphase | none compiled |" in compile_ahead_report.page(results)


def test_the_page_is_written_between_its_marks(tmp_path, monkeypatch):
    monkeypatch.setattr(compile_ahead_report, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(compile_ahead_report, "RESULTS", tmp_path / "results.json")
    marks = [f"<!-- generated by {compile_ahead_report.COMMAND}: {which} -->" for which in ("begin", "end")]
    compile_ahead_report.PAGE.write_text("before\n{}\nold\n{}\nafter\n".format(*marks))
    compile_ahead_report.RESULTS.write_text(json.dumps(recorded()))
    compile_ahead_report.main()
    assert compile_ahead_report.PAGE.read_text().splitlines()[2:-2] == compile_ahead_report.page(recorded())


def test_the_worker_needs_the_standard_library_alone_until_it_compiles():
    script = "import runpy, sys; runpy.run_path(sys.argv[1]); print({'jax', 'numpy', 'tensorflow'} & {*sys.modules})"
    command = [sys.executable, "-P", "-c", script, compile_ahead_worker.__file__]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "set()"
