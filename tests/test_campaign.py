"""Every error is the documented one: bad arguments, bad words, damaged files; a part here, all of it in the sweep."""

import itertools
import re

import campaign
import campaign_calls
import campaign_commands
import campaign_files
import pytest

import lucid_keras as lk

WITHOUT_A_CALL = {"Stage", "__version__", "export", "interop", "LoadReport"}
WORK = (
    *("export.tflite.whole_claims", "export.saved_model.whole_claims", "export.stablehlo.whole_claims"),
    *("export.streaming.live_claims", "export.attempt.Attempt.export", "demo.ISTFT", "bench.rounds.Contest"),
)


def each(step):
    """Every so many-th try in `make test`, and all of them in the sweep."""
    return pytest.mark.parametrize("step", [step, pytest.param(1, marks=pytest.mark.sweep, id="all")])


def judge(tries, step):
    """Make the tries, print how many they were, and fail with those that got another answer than a documented one."""
    answers = [(label, check()) for label, check in itertools.islice(tries, 0, None, step)]
    wrong = [f"{label}: {fault}" for label, fault in answers if fault]
    print(f"{len(answers)} tried, {len(wrong)} undocumented")
    assert answers
    assert not wrong, "\n".join(wrong)


@pytest.fixture
def without_work(monkeypatch):
    """An end where the work of an export, of the demo and of the benchmark would begin."""
    for name in WORK:
        monkeypatch.setattr(f"lucid_keras.{name}", campaign_calls.reached)


@each(37)
def test_arguments(step, tmp_path, monkeypatch, request):
    monkeypatch.chdir(tmp_path)
    calls = campaign_calls.calls(tmp_path)
    request.getfixturevalue("without_work")
    public = {*lk.__all__, *lk.export.__all__, *lk.interop.__all__} - WITHOUT_A_CALL
    assert public == {re.split(r"\W", title)[0] for title in calls} - {"verified"}
    judge(campaign.tries(calls), step)
    judge(campaign.equals(calls), 1)


@each(37)
def test_words(step, tmp_path, monkeypatch, request):
    monkeypatch.chdir(tmp_path)
    campaign_commands.prepared(tmp_path)
    request.getfixturevalue("without_work")
    judge(campaign_commands.tries(), step)


@each(41)
def test_files(step, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    campaign_files.prepared(tmp_path)
    judge(campaign_files.tries(tmp_path, campaign_files.READERS, count=150), step)


@pytest.mark.sweep
def test_files_that_other_libraries_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    campaign_files.prepared(tmp_path)
    judge(campaign_files.tries(tmp_path, campaign_files.VERIFIED, count=100), 1)
