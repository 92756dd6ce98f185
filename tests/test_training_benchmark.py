"""The benchmark of training: one model in three frameworks, other losses are refused, and what the report says."""

import numpy as np
import pytest
import tensorflow as tf
from benchmarks import training, training_cases, training_profile, training_report, training_subjects


def losses(prepared):
    return prepared.results()[0]


@pytest.mark.parametrize("subject", ["ours", "Keras's Conv1DTranspose", "torch eager"])
def test_the_autoencoder_learns_the_same_everywhere(subject, tmp_path, monkeypatch):
    model = "autoencoder of the example"
    monkeypatch.setattr(training_cases.autoencoder, "CROP", 512)
    monkeypatch.setattr(training_cases.autoencoder, "BATCH", 2)
    training_subjects.made(training.ORIGINAL, model, tmp_path)
    expected = losses(training_subjects.prepared(training.ORIGINAL, model, tmp_path))
    found = losses(training_subjects.prepared(subject, model, tmp_path))
    assert expected[-1] < expected[0]
    np.testing.assert_allclose(found, expected, rtol=training.WITHIN)


class Answering:
    """A process that found these losses."""

    def __init__(self, found):
        self.found = found

    def ask(self, results, **_):
        np.savez(results, np.array(self.found))
        return {"steps": 1}


@pytest.mark.parametrize(("found", "refused"), [([0.5, 0.4], False), ([0.5, 0.41], True), ([0.5, np.nan], True)])
def test_other_losses_are_not_timed(found, refused, tmp_path):
    answer = training.ready(Answering(found), {"folder": str(tmp_path)}, {"losses": [0.5, 0.4]})
    assert ("other losses" in answer.get("skipped", "")) == refused


def test_the_report_says_what_was_measured():
    subjects = {
        "ours": {"milliseconds": [10.0, 11.0, 12.0], "losses": [0.5, 0.25]},
        "torch eager": {"milliseconds": [20.0, 22.0, 24.0], "losses": [0.5, 0.25]},
        "torch.compile": {"skipped": "other losses"},
    }
    machine = {"processor": "a processor", "cores": 2, "threads": 2, "versions": {"keras": "3.15.1", "torch": None}}
    profile = {"a decoder": {"products": 0.8, "copies": 0.2, "no operation": 0.1}}
    results = {"machine": machine, "rounds": 3, "models": {"a decoder": subjects}}
    text = "\n".join(training_report.page(results, profile))
    assert "a processor, 2 cores, 2 threads; keras 3.15.1; 3 interleaved rounds." in text
    assert "| ours | 11 (10-12) | 1.00 | 0.25000 |\n| torch eager | 22 (21-23) | 2.00 | 0.25000 |" in text
    assert "- not timed, torch.compile: other losses" in text
    assert "| ours, of what the operations take | products | copies | no operation of the time |" in text
    assert "| a decoder | 80% | 20% | 10% |" in text


def test_a_profile_says_what_operations_are_for():
    """A product, the reversal before it, and its sum, all large enough to be seen."""
    x = tf.random.normal([1200, 1200])
    call = tf.function(lambda: tf.reduce_sum(tf.reverse(x, [0]) @ x), autograph=False)
    call()
    shares = training_profile.profiled(call)
    rest = shares.pop("no operation")
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["products"] > 0.5 > shares["copies"] > 0 < shares[training_profile.REST]
    assert 0 <= rest < 1


def test_time_in_which_no_operation_runs():
    assert training_profile.covered([(0, 4), (1, 2), (6, 10)]) == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("node", "operation", "kind"),
    [
        ("gradient_tape/conv1d/Conv2DBackpropFilter", "_MklNativeConv2DBackpropFilter", "products"),
        ("up/transpose", "_MklTranspose", "copies"),
        ("adam/update_1", "AddV2", "optimizer"),
        ("decoder/lstm/while", "While", "functions"),
        ("leaky/LeakyRelu", "LeakyRelu", training_profile.REST),
    ],
)
def test_kinds_of_operations(node, operation, kind):
    assert training_profile.kind(node, operation) == kind
