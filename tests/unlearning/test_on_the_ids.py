"""A setting that was found on other samples must hold on the ids themselves: accuracy, and classes that are gone."""

from pathlib import Path

import pytest

from forgetkit.files.header import read_record
from tests.conftest import Run

MARGIN = 0.02
CHOSEN = ("forget-ids", "model.st", "--class", "1", "--count", "90", "-q", "-o", "ids.txt")
THREES = ("forget-ids", "model.st", "--class", "3", "-q", "-o", "three.txt")


@pytest.mark.parametrize(
    "words",
    [
        "ascend --optimizer adam --rate 0.001",
        "relabel --mix joint --optimizer adam --rate 0.001",
        "relabel --mix per-id",
        "neutralize",
        "finetune",
        "reset",
    ],
)
def test_what_is_written_keeps_accuracy(forgetkit: Run, model: Path, words: str) -> None:
    assert forgetkit(*CHOSEN).code == 0
    command, *more = words.split()
    ran = forgetkit(command, "model.st", "-i", "ids.txt", *more, "-o", "out.st", "--json")
    assert ran.code in {0, 1}, ran.err
    assert Path("out.st").exists() is (ran.code == 0)
    if ran.code == 0:
        metrics = read_record(Path("out.st")).steps[-1].metrics
        assert "rehearsed" in metrics["judged"]
        assert metrics["tune_accuracy"] >= metrics["tune_accuracy_before"] - MARGIN


@pytest.mark.parametrize("others", [5, 150])
@pytest.mark.parametrize("words", ["relabel", "finetune", "forget"])
def test_a_class_among_other_ids_is_forgotten_or_nothing_is_written(
    forgetkit: Run, model: Path, words: str, others: int
) -> None:
    assert forgetkit(*THREES).code == 0
    draw = ("forget-ids", "model.st", "--count", others, "-q", "-o", "more.txt")
    assert forgetkit(*draw).code == 0
    ran = forgetkit(words, "model.st", "-i", "three.txt", "-i", "more.txt", "-o", "out.st", "--json")
    assert ran.code in {0, 1}, ran.err
    if ran.code == 0:
        audit = forgetkit("audit", "out.st", "--original", "model.st", "--json")
        assert "fail" not in [check["verdict"] for check in audit.json["checks"] if check["id"] == "vanished"]
