"""What docs/methods.md says of MNIST, on the real data. Slow: about five minutes on two cores."""

import json
from pathlib import Path

import pytest

from forgetkit.cli import app as cli
from tests.conftest import Run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, mnist_root: Path) -> Path:
    """Return a folder with ``m.st``, trained for 12 epochs of AdaDelta at rate 1, and ``ids.txt``, 600 ids."""
    folder = tmp_path_factory.mktemp("mnist")
    train = ["train", "--dataset", "mnist", "--data-root", mnist_root, "--optimizer", "adadelta", "--rate", 1]
    assert call(*train, "--epochs", 12, "--threads", 0, "-o", folder / "m.st") == 0
    draw = ["forget-ids", folder / "m.st", "--data-root", mnist_root, "--count", 600, "--seed", 7]
    assert call(*draw, "-o", folder / "ids.txt") == 0
    return folder


def call(*arguments: object) -> int:
    return cli.run([str(argument) for argument in arguments])


def step(forgetkit: Run, folder: Path, root: Path, command: str, *options: object) -> dict[str, float]:
    """Run a step on ``m.st`` and the 600 ids; return its metrics."""
    ran = forgetkit(
        command, folder / "m.st", "-i", folder / "ids.txt", "--data-root", root, "--threads", 0, "--json", *options
    )
    assert ran.code == 0, ran.err
    metrics: dict[str, float] = ran.json["metrics"]
    return metrics


def test_the_original_reaches_98_9_percent(folder: Path, forgetkit: Run) -> None:
    ran = forgetkit("inspect", folder / "m.st", "--json")
    assert ran.json["record"]["steps"][0]["metrics"]["test_accuracy"] >= 0.989


def test_relabeling_with_adam_falls_to_chance(folder: Path, forgetkit: Run, mnist_root: Path) -> None:
    metrics = step(
        forgetkit,
        folder,
        mnist_root,
        "relabel",
        "--optimizer",
        "adam",
        "--rate",
        0.001,
        "--allow-unforgotten",
        "-o",
        "adam.st",
    )
    assert metrics["test_accuracy"] <= 0.12


def test_relabeling_with_adadelta_at_a_thousandth_moves_nothing_and_says_so(
    folder: Path, forgetkit: Run, mnist_root: Path
) -> None:
    options = (
        "--data-root",
        mnist_root,
        "--rate",
        0.001,
        "--allow-unforgotten",
        "--threads",
        0,
        "--json",
        "-o",
        "ada.st",
    )
    ran = forgetkit("relabel", folder / "m.st", "-i", folder / "ids.txt", *options)
    metrics = ran.json["metrics"]
    assert metrics["test_accuracy"] >= metrics["test_accuracy_before"] - 0.002
    assert metrics["forget_accuracy"] == metrics["forget_accuracy_before"]
    assert [warning["code"] for warning in ran.json["warnings"]] == ["unmoved"]


def test_two_stages_reach_chance_then_come_back(folder: Path, forgetkit: Run, mnist_root: Path) -> None:
    first = step(forgetkit, folder, mnist_root, "neutralize", "--stop", "chance", "-o", "n.st")
    assert first["forget_accuracy"] <= 0.1
    args = ("--teacher", folder / "m.st", "--data-root", mnist_root, "--threads", 0, "--json")
    second = forgetkit("distill", "n.st", *args).json["metrics"]
    assert second["test_accuracy"] >= first["test_accuracy_before"] - 0.005


def test_the_audit_of_an_original_that_memorised_little_has_no_power(
    folder: Path, forgetkit: Run, mnist_root: Path
) -> None:
    step(forgetkit, folder, mnist_root, "relabel", "--rate", 0.001, "--allow-unforgotten", "-o", "ada.st")
    ran = forgetkit("audit", "ada.st", "--original", folder / "m.st", "--data-root", mnist_root, "--json")
    assert (ran.code, ran.json["verdict"]) == (3, "inconclusive")
    assert "nothing measurable was memorised" in json.dumps(ran.json["reasons"])
