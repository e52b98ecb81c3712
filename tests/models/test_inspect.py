"""What inspect shows: the lineage as a tree that fits the terminal, and how weights differ."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from forgetkit.files.header import read_record
from forgetkit.files.lineage import lineage
from forgetkit.models.checkpoint import load_tensors
from forgetkit.models.weight_diff import Changed, difference
from tests.conftest import Run

BEFORE = {"same": torch.ones(3), "moved": torch.tensor([3.0, 4.0]), "zero": torch.zeros(2), "gone": torch.ones(1)}
AFTER = {
    "same": torch.ones(3),
    "moved": torch.tensor([3.0, 4.5]),
    "zero": torch.tensor([0.0, 2.0]),
    "gone": torch.ones(2),
}


def test_difference_by_hand() -> None:
    found = difference(BEFORE, AFTER)
    assert found.changed == [Changed("moved", 0.1, 0.5), Changed("zero", None, 2.0)]
    assert (found.same, found.added, found.removed) == (1, ["gone"], ["gone"])


def test_diff_names_each_tensor_that_a_step_changed(forgetkit: Run, model: Path) -> None:
    Path("ids.txt").write_text("0\n1\n2\n")
    forgetkit("relabel", model, "--ids", "ids.txt", "--rate", "0.1", "-o", "r.st")
    ran = forgetkit("inspect", "r.st", "--diff", model, "--json")
    before, after = (load_tensors(Path(path), read_record(Path(path))) for path in (model, "r.st"))
    assert [one["name"] for one in ran.json["diff"]["changed"]] == list(after)
    moved = ran.json["diff"]["changed"][0]
    expected = (after[moved["name"]] - before[moved["name"]]).abs().max()
    assert moved["largest"] == pytest.approx(float(expected))
    shown = forgetkit("inspect", "r.st", "--diff", model).out
    assert f"compared with {model}: {len(after)} tensors changed, 0 unchanged" in shown


def test_diff_with_itself_says_that_nothing_differs(forgetkit: Run, model: Path) -> None:
    assert (
        forgetkit("inspect", model, "--diff", model)
        .lines[-1]
        .endswith("0 tensors changed, 6 unchanged: the weights are equal")
    )


def test_diff_with_a_missing_file_is_an_error(forgetkit: Run, model: Path) -> None:
    ran = forgetkit("inspect", model, "--diff", "nowhere.st")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: nowhere.st")


def test_each_step_stands_beside_the_digest_of_what_it_made(forgetkit: Run, model: Path) -> None:
    Path("ids.txt").write_text("0\n1\n2\n")
    forgetkit("neutralize", model, "--ids", "ids.txt", "--stop", "zero", "-o", "n.st")
    forgetkit("distill", "n.st", "--teacher", model, "--epochs", "1", "-o", "d.st")
    lines = forgetkit("inspect", "d.st").lines
    made = [line[4:12] for line in lines if line.startswith(("  ├─", "  └─"))]
    assert made == [read_record(Path(path)).digest[:8] for path in (model, "n.st", "d.st")]
    assert lines[-1].strip() == f"└ teacher {made[0]}"


def test_a_training_counts_every_id_that_it_leaves_out(forgetkit: Run, model: Path) -> None:
    Path("first.txt").write_text("0\n1\n2\n")
    Path("both.txt").write_text("2\n3\n")
    forgetkit("relabel", model, "-i", "first.txt", "--rate", "0.1", "-o", "one.st")
    options = ("--rate", "0.1", "--sequence-limit", 3, "--on-limit", "retrain")
    forgetkit("relabel", "one.st", "-i", "both.txt", *options, "-o", "two.st")
    forgetkit("train", "--like", "one.st", "--exclude", "both.txt", "--epochs", 1, "-o", "like.st")
    forgetkit("train", "--like", "like.st", "--epochs", 1, "-o", "again.st")
    shown = {name: forgetkit("inspect", f"{name}.st").lines[6][12:] for name in ("two", "like", "again")}
    assert shown["two"].startswith("  train without 4 ids, 3 of them forgotten before: ")
    assert shown["like"].startswith("  train without 4 ids, 3 of them forgotten before: ")
    assert shown["again"].startswith("  train without 4 ids, all of them forgotten before: ")


def test_a_training_counts_no_id_that_was_forgotten_after_it(forgetkit: Run, model: Path) -> None:
    Path("ids.txt").write_text("0\n1\n")
    Path("more.txt").write_text("0\n2\n")
    forgetkit("train", "--like", model, "--exclude", "ids.txt", "--epochs", 1, "-o", "like.st")
    forgetkit("train", "--from", "like.st", "--exclude", "more.txt", "--epochs", 1, "-o", "on.st")
    steps = [line for line in forgetkit("inspect", "on.st").lines if "─" in line]
    assert "train without 2 ids: " in steps[0]
    assert "train without 3 ids, 2 of them forgotten before: " in steps[1]


@given(width=st.integers(40, 120))
def test_no_line_is_wider_than_asked(digits_model: Path, width: int) -> None:
    record = read_record(digits_model)
    record = replace(record, steps=[*record.steps * 3])
    assert max(len(line) for line in lineage("model.st", record, width=width)) <= width


def test_lineage_of_a_large_file_needs_no_weights(forgetkit: Run, model: Path) -> None:
    """The weights are cut off: they cannot have been read."""
    content = model.read_bytes()
    length = 8 + int.from_bytes(content[:8], "little")
    with Path("large.st").open("wb") as stream:
        stream.write(content[:length])
        stream.truncate(1 << 30)
    ran = forgetkit("inspect", "large.st")
    assert (ran.code, ran.lines[1:]) == (0, forgetkit("inspect", model).lines[1:])
