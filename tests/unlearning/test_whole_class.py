"""A class that is forgotten whole: what is said of accuracy does not count it as lost."""

import re
from pathlib import Path

import pytest
import torch

from forgetkit.training.evaluate import OnUnseen
from tests.conftest import Run

RELABEL = ("relabel", "model.st", "--ids", "threes.txt", "--rate", "0.005", "--allow-unforgotten", "-o", "out.st")


def test_accuracies_are_of_the_classes_that_are_kept_and_of_the_others() -> None:
    right, truth = torch.tensor([True, True, False, True, False]), torch.tensor([0, 1, 1, 2, 2])
    found = OnUnseen(right, truth, torch.tensor([0, 1, 3]), torch.zeros(3))
    whole = {"test_accuracy": 3 / 5, "tune_accuracy": 1.0}
    assert found.accuracies() == found.accuracies(torch.tensor([True] * 3)) == whole
    apart = {"kept_test_accuracy": 2 / 3, "kept_tune_accuracy": 1.0, "vanished_accuracy": 1 / 2}
    assert found.accuracies(torch.tensor([True, True, False])) == whole | apart


@pytest.fixture
def threes(forgetkit: Run, model: Path) -> None:
    """Write ``threes.txt``, every id of the class 3."""
    assert forgetkit("forget-ids", "model.st", "--class", "3", "-q", "-o", "threes.txt").code == 0


def test_a_step_says_two_accuracies_and_does_not_warn_of_the_class(forgetkit: Run, threes: None) -> None:
    ran = forgetkit(*RELABEL, "--json")
    metrics = ran.json["metrics"]
    assert ran.json["warnings"] == []
    assert metrics["tune_accuracy"] < metrics["tune_accuracy_before"] - 0.05
    assert metrics["kept_test_accuracy"] > metrics["kept_test_accuracy_before"] - 0.02
    assert re.search(
        r"% \(chance 10%\), of classes with retained samples\n  … of classes without any   .*% → ", ran.err
    )


def test_so_do_a_training_the_lineage_and_an_audit(forgetkit: Run, threes: None) -> None:
    ran = forgetkit("train", "--like", "model.st", "--exclude", "threes.txt", "-o", "r.st")
    assert " (chance 10%) of classes trained on, 0.00% of the others, epoch 3 of 3" in ran.err
    assert "% test set of classes with retained samples" in forgetkit("inspect", "r.st").out
    ran = forgetkit("audit", "r.st", "--original", "model.st", "--all")
    assert "check half of unseen without classes of which nothing is retained " in " ".join(ran.out.split())
    rates = forgetkit("audit", "r.st", "--original", "model.st", "--json").json["accuracy"]
    assert rates["unseen"] < rates["kept_unseen"] - 0.05
    assert rates["kept_original_unseen"] != rates["original_unseen"]
