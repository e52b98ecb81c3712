"""Where results are written, when nothing is, and that no file is ever lost."""

from pathlib import Path

import pytest
import torch
from torch import nn

from forgetkit.training.classifier import Classifier
from forgetkit.training.evaluate import about, pass_seconds
from tests.conftest import Ran, Run

RELABEL = ("relabel", "model.st", "--ids", "ids.txt", "--rate", "0.1")


def state_of(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return bytes and time of change of every file."""
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def next_ids(folder: Path, start: int) -> str:
    name = f"ids-{start}.txt"
    (folder / name).write_text(f"{start}\n{start + 1}\n")
    return name


def test_repeated_step_counts(forgetkit: Run, model: Path, tmp_path: Path) -> None:
    path = "model.st"
    for number, expected in enumerate(["model.relabel.st", "model.relabel-2.st", "model.relabel-3.st"]):
        ran = forgetkit("relabel", path, "--ids", next_ids(tmp_path, number * 2), "--rate", "0.01")
        assert (ran.code, ran.lines) == (0, [expected])
        path = expected


def test_output_stands_beside_the_input(forgetkit: Run, model: Path, ids: Path, tmp_path: Path) -> None:
    (tmp_path / "sub.folder").mkdir()
    model.rename(tmp_path / "sub.folder" / "my.model.st")
    ran = forgetkit("relabel", "sub.folder/my.model.st", "--ids", "ids.txt", "--rate", "0.01")
    assert ran.lines == ["sub.folder/my.model.relabel.st"]


def test_other_step_starts_its_own_count(forgetkit: Run, model: Path, ids: Path) -> None:
    assert forgetkit(*RELABEL).lines == ["model.relabel.st"]
    ran = forgetkit("distill", "model.relabel.st", "--teacher", "model.st", "--epochs", "1")
    assert ran.lines == ["model.relabel.distill.st"]


def test_out_is_used_as_given_and_its_folders_are_made(forgetkit: Run, model: Path, ids: Path, tmp_path: Path) -> None:
    ran = forgetkit(*RELABEL, "-o", "a/b/new.st")
    assert (ran.code, ran.lines) == (0, ["a/b/new.st"])
    assert (tmp_path / "a" / "b" / "new.st").is_file()


@pytest.mark.parametrize("name", ["model.st", "./model.st", "sub/../model.st", "link.st", "ids.txt"])
def test_output_is_never_an_input(forgetkit: Run, model: Path, ids: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "link.st").symlink_to(model)
    before = state_of(tmp_path)
    assert forgetkit(*RELABEL, "--out", name, "--force").code == 2
    assert state_of(tmp_path) == before


def test_same_command_again_is_up_to_date(forgetkit: Run, model: Path, ids: Path, tmp_path: Path) -> None:
    forgetkit(*RELABEL)
    before = state_of(tmp_path)
    ran = forgetkit(*RELABEL)
    assert (ran.code, ran.lines) == (0, ["model.relabel.st"])
    assert "up to date" in ran.err
    assert forgetkit(*RELABEL, "--json").json["up_to_date"] is True
    assert forgetkit(*RELABEL, "--dry-run").out == ""
    assert state_of(tmp_path) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ("neutralize", "model.st", "--ids", "ids.txt", "--stop", "chance", "--log", "log.jsonl"),
        ("distill", "model.st", "--teacher", "model.st", "--ids", "ids.txt", "--epochs", "1", "--log", "log.jsonl"),
        ("train", "--dataset", "digits", "--epochs", "1", "-o", "new.st", "--log", "log.jsonl"),
        (*RELABEL, "--keep-optimizer"),
    ],
)
def test_same_command_with_a_second_file_is_up_to_date(
    forgetkit: Run, model: Path, ids: Path, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    first = forgetkit(*arguments)
    before = state_of(tmp_path)
    again = forgetkit(*arguments)
    assert (again.code, again.lines) == (0, first.lines)
    assert state_of(tmp_path) == before


@pytest.mark.parametrize(
    "change",
    [
        ("--seed", "1"),
        ("--rate", "0.2"),
        ("--optimizer", "sgd"),
        ("--labels-per-id", "1"),
        ("--order", "shuffle"),
        ("--ids", "other.txt"),
    ],
)
def test_changed_command_finds_the_output_taken(
    forgetkit: Run, model: Path, ids: Path, tmp_path: Path, change: tuple[str, str]
) -> None:
    (tmp_path / "other.txt").write_text("1\n")
    forgetkit(*RELABEL)
    before = state_of(tmp_path)
    ran: Ran = forgetkit(*RELABEL, *change, "--json")
    assert (ran.code, ran.json["code"]) == (2, "output-exists")
    assert state_of(tmp_path) == before


def test_same_ids_in_another_order_are_another_step(forgetkit: Run, model: Path, ids: Path) -> None:
    forgetkit(*RELABEL)
    ids.write_text("".join(reversed(ids.read_text().splitlines(keepends=True))))
    assert forgetkit(*RELABEL, "--json").json["code"] == "output-exists"


def test_force_replaces_an_output(forgetkit: Run, model: Path, ids: Path) -> None:
    digest = forgetkit(*RELABEL, "--json").json["digest"]
    ran = forgetkit(*RELABEL, "--rate", "0.05", "--force", "--json")
    assert (ran.code, ran.json["outputs"]) == (0, ["model.relabel.st"])
    assert ran.json["digest"] != digest


@pytest.mark.parametrize(
    "arguments",
    [
        RELABEL,
        ("neutralize", "model.st", "--ids", "ids.txt", "--stop", "chance", "--log", "log.jsonl"),
        ("distill", "model.st", "--teacher", "model.st", "--ids", "ids.txt"),
        ("train", "--dataset", "digits", "-o", "sub/new.st"),
        ("audit", "model.st", "--ids", "ids.txt"),
        ("forget-ids", "model.st", "--count", "3", "-o", "some.txt"),
        ("inspect", "model.st"),
    ],
)
def test_dry_run_writes_nothing_and_leaves_stdout_empty(
    forgetkit: Run, model: Path, ids: Path, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    before = state_of(tmp_path)
    ran = forgetkit(*arguments, "--dry-run")
    assert (ran.code, ran.out) == (0, "")
    assert forgetkit(*arguments, "-n", "--json").out == ""
    assert state_of(tmp_path) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ids.txt", "model.st"]


def test_dry_run_says_the_plan_on_stderr(forgetkit: Run, model: Path, ids: Path) -> None:
    ran = forgetkit(*RELABEL, "--dry-run")
    assert "30 ids, 1267 retained samples of digits" in ran.err
    assert "→ model.relabel.st" in ran.err
    assert "  optimizer adadelta, rate 0.1, momentum 0.0, mix per-id, labels-per-id 9, order file, " in ran.err
    assert "one training pass takes less than a second over the ids and " in ran.err
    assert "estimated training time: " in forgetkit("train", "--like", "model.st", "-o", "new.st", "--dry-run").err


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "less than a second"), (90, "about 90 s"), (500, "about 8.3 min"), (9000, "about 2.5 h")],
)
def test_an_estimate_is_coarse(seconds: float, words: str) -> None:
    assert about(seconds) == words


def test_an_estimate_times_a_batch_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 9.0, 10.0, 10.5])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    model = Classifier(nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4), nn.Linear(4, 3)), mean=[0.0], std=[1.0])
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    samples = torch.ones(10, 1, 2, 2), torch.zeros(10, dtype=torch.int64)
    assert pass_seconds(model, samples, 1000) == 50.0
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_quiet_leaves_the_result(forgetkit: Run, model: Path, ids: Path) -> None:
    ran = forgetkit(*RELABEL, "--quiet")
    assert (ran.lines, ran.err) == (["model.relabel.st"], "")


def test_optimizer_state_of_others_is_not_replaced(forgetkit: Run, model: Path, ids: Path, tmp_path: Path) -> None:
    (tmp_path / "model.relabel.optimizer.st").write_text("mine")
    before = state_of(tmp_path)
    assert forgetkit(*RELABEL, "--keep-optimizer", "--json").json["code"] == "output-exists"
    assert state_of(tmp_path) == before
