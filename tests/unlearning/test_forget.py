"""``forget``: with a second teacher, judged on the tune half; else a retraining, and the record says why."""

from pathlib import Path
from shutil import copytree

import pytest
import torch
from torch import nn

from forgetkit.cli import app as cli
from forgetkit.data.open import open_dataset
from forgetkit.errors import ForgetkitError, NotReached
from forgetkit.events import silent
from forgetkit.files.header import read_record
from forgetkit.files.id_list import draw
from forgetkit.models.checkpoint import load_model
from forgetkit.training.classifier import on_machine
from forgetkit.training.device import set_up
from forgetkit.unlearning import attempt as attempting
from forgetkit.unlearning.attempt import Attempt, Meter
from forgetkit.unlearning.forget_options import Forget
from forgetkit.unlearning.inputs import Request
from tests.conftest import Run

IMPOSSIBLE = -1.0
"""A margin that asks for twice the accuracy there can be."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with ``m.st``, trained on digits for 12 epochs, and ``ids.txt``."""
    folder = tmp_path_factory.mktemp("forget")
    assert cli.run(["train", "--dataset", "digits", "--epochs", "12", "-o", str(folder / "m.st"), "-q"]) == 0
    assert cli.run(["forget-ids", str(folder / "m.st"), "--count", "65", "-q", "-o", str(folder / "ids.txt")]) == 0
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path) -> Path:
    """Return ``tmp_path`` with what was made."""
    copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


def attempts(path: str) -> list[dict[str, object]]:
    """Return what the record says was tried."""
    found: list[dict[str, object]] = read_record(Path(path)).steps[-1].metrics["attempts"]
    return found


def test_it_forgets_within_its_budget_and_the_record_says_how(forgetkit: Run, here: Path) -> None:
    ran = forgetkit("forget", "m.st", "-i", "ids.txt", "--json")
    assert (ran.code, ran.json["outputs"]) == (0, ["m.forget.st"]), ran.err
    step = read_record(Path("m.forget.st")).steps[-1]
    assert (step.command, step.options["way"], step.options["norm_statistics"]) == (
        "forget",
        "second teacher",
        "updated",
    )
    assert (step.options["teacher_epochs"], step.options["steps"]) == (2, 79)  # 0.17 · 12 · 1,232 / 32
    assert 0 < step.metrics["cost"] <= 0.45
    assert step.metrics["steps"] == 79
    assert step.metrics["sharpness"] > 1  # after two epochs a teacher is unsure
    assert step.metrics["test_accuracy"] >= step.metrics["test_accuracy_before"] - 0.03
    assert int(read_record(Path("m.forget.st")).forgotten.contains(Path("ids.txt").read_text().split()).sum()) == 65


def test_where_nothing_was_memorised_it_warns_that_no_evaluation_can_tell(forgetkit: Run, here: Path) -> None:
    ran = forgetkit("forget", "m.st", "-i", "ids.txt", "--json")
    assert [entry["code"] for entry in ran.json["warnings"]] == ["nothing-memorised"]
    assert "forget: it looks right, but so did the original, at " in ran.err


def test_the_same_again_is_up_to_date(forgetkit: Run, here: Path) -> None:
    first, again = (forgetkit("forget", "m.st", "-i", "ids.txt", "--json") for _ in range(2))
    assert (first.json["up_to_date"], again.json["up_to_date"]) == (False, True)
    assert first.json["digest"] == again.json["digest"]


def test_beyond_the_budget_it_retrains_to_the_bytes_of_train(forgetkit: Run, here: Path) -> None:
    ran = forgetkit("forget", "m.st", "-i", "ids.txt", "--budget", "1%", "--json")
    assert (ran.code, [entry["code"] for entry in ran.json["warnings"]]) == (0, ["retraining"]), ran.err
    assert "next: forgetkit audit m.forget.st --original m.st\n" in ran.err
    forgetkit("train", "--like", "m.st", "--exclude", "ids.txt", "-o", "plain.st")
    assert read_record(Path("plain.st")).digest == ran.json["digest"]
    assert attempts("m.forget.st") == [{"way": "second teacher", "cost": 0.0, "refused": "it would exceed the budget"}]
    assert forgetkit("forget", "m.st", "-i", "ids.txt", "--budget", "1%", "--json").json["up_to_date"]


def test_retrain_trains_at_once_to_the_bytes_of_train_and_tries_nothing(forgetkit: Run, here: Path) -> None:
    ran = forgetkit("forget", "m.st", "-i", "ids.txt", "--retrain")
    assert (ran.code, "warning" in ran.err, "teacher" in ran.err) == (0, False, False), ran.err
    assert forgetkit("train", "--like", "m.st", "--exclude", "ids.txt", "-o", "r.st", "-q").code == 0
    assert Path("m.forget.st").read_bytes() == Path("r.st").read_bytes()


def test_retrain_contradicts_otherwise_stop(forgetkit: Run, here: Path) -> None:
    ran = forgetkit("forget", "m.st", "-i", "ids.txt", "--retrain", "--otherwise", "stop")
    assert (ran.code, "contradicts --retrain" in ran.err) == (2, True)


def test_a_budget_of_nothing_and_no_retraining_writes_nothing(forgetkit: Run, here: Path) -> None:
    before = sorted(here.iterdir())
    ran = forgetkit("forget", "m.st", "-i", "ids.txt", "--budget", "0", "--otherwise", "stop", "--json")
    assert (ran.code, ran.json["code"]) == (1, "not-reached")
    assert sorted(here.iterdir()) == before


def test_a_model_that_loses_accuracy_is_refused_and_what_that_cost_is_told(here: Path) -> None:
    record, dataset = read_record(here / "m.st"), open_dataset("digits", here)
    request = Request(here / "m.st", record, dataset, draw(list(dataset.train.ids), 65, 0), ())
    machine = set_up("cpu", "float32", 1)
    attempt = Attempt(Forget(budget="1", utility_margin=IMPOSSIBLE), request, machine, 0, silent)
    with pytest.raises(NotReached, match=r"with a second teacher, at 3\d% of the cost of retraining") as raised:
        attempt.carry_out(on_machine(load_model(here / "m.st", record), record, machine))
    assert raised.value.attempts is not None
    assert "accuracy is lost" in str(raised.value.attempts[0]["refused"])


def test_where_the_second_teacher_diverges_it_retrains(
    forgetkit: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(*_: object, **__: object) -> None:
        raise ForgetkitError("diverged", "the loss is not finite in epoch 1")

    monkeypatch.setattr(attempting, "train_only", diverge)
    ran = forgetkit("forget", "m.st", "-i", "ids.txt", "--json")
    assert (ran.code, [entry["code"] for entry in ran.json["warnings"]]) == (0, ["retraining"]), ran.err
    assert {entry["refused"] for entry in attempts("m.forget.st")} == {"the loss is not finite in epoch 1"}


def test_an_image_costs_one_to_predict_and_three_to_train_on() -> None:
    model, meter = nn.Linear(2, 2), Meter(60)
    with meter.on(model):
        model(torch.zeros(4, 2))
        with torch.no_grad():
            model(torch.zeros(10, 2))
    model(torch.zeros(100, 2))
    assert meter.spent == 4 * 3 + 10
    with pytest.raises(NotReached, match="budget"), meter.on(model):
        model(torch.zeros(13, 2))


@pytest.mark.parametrize(("text", "share"), [("50%", 0.5), ("0.25", 0.25), ("0", 0.0), ("100 %", 1.0)])
def test_a_budget_is_a_share(text: str, share: float) -> None:
    assert Forget(budget=text).share == share


@pytest.mark.parametrize("text", ["", "half", "-1%", "101%", "nan", "2"])
def test_anything_else_is_one_line(text: str) -> None:
    with pytest.raises(ForgetkitError, match="not a share of a retraining"):
        _ = Forget(budget=text).share


def test_the_reason_of_a_retraining_is_printed_once(forgetkit: Run, here: Path) -> None:
    ran = forgetkit("forget", "m.st", "-i", "ids.txt", "--budget", "1%")
    assert ran.err.count("it would exceed the budget") == 1
    assert "warning: retraining, because this failed: with a second teacher: it would exceed the budget" in ran.err
