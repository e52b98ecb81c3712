"""When is a command's output already there? Only when the file is what the command would write."""

import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from forgetkit.errors import ForgetkitError, NotReached
from forgetkit.files.header import read_record
from forgetkit.files.id_digests import KeySet
from forgetkit.models.checkpoint import load_model, save_checkpoint
from tests.conftest import Run


def test_another_retain_set_is_not_up_to_date(forgetkit: Run, model: Path, tmp_path: Path) -> None:
    record = read_record(model)
    forgotten = KeySet.of([str(row) for row in range(40)], record.forgotten.salt)
    save_checkpoint(tmp_path / "same-weights.st", load_model(model, record), replace(record, forgotten=forgotten))
    forgetkit("train", "--from", "model.st", "--epochs", 1, "-o", "z.st")
    ran = forgetkit("train", "--from", "same-weights.st", "--epochs", 1, "-o", "z.st", "--json")
    assert ran.json["code"] == "output-exists"


def test_a_damaged_output_is_not_up_to_date(forgetkit: Run, model: Path, tmp_path: Path) -> None:
    args = ("train", "--from", "model.st", "--epochs", 1, "-o", "c.st")
    forgetkit(*args)
    whole = (tmp_path / "c.st").read_bytes()
    (tmp_path / "c.st").write_bytes(whole[:-4000])
    assert forgetkit(*args).code == 2
    assert forgetkit(*args, "--force").code == 0
    assert (tmp_path / "c.st").read_bytes() == whole


def test_a_missing_log_is_not_up_to_date(forgetkit: Run, model: Path, tmp_path: Path) -> None:
    args = ("train", "--from", "model.st", "--epochs", 1, "-o", "c.st")
    forgetkit(*args)
    assert forgetkit(*args, "--log", "new.jsonl").code == 2
    assert forgetkit(*args, "--log", "new.jsonl", "--force").code == 0
    assert len((tmp_path / "new.jsonl").read_text().splitlines()) == 1


def test_a_log_changes_nothing_of_the_checkpoint(forgetkit: Run, tmp_path: Path) -> None:
    args = ("train", "--dataset", "digits", "--epochs", "2", "-q")
    assert forgetkit(*args, "-o", "one.st").code == 0
    assert forgetkit(*args, "-o", "two.st", "--log", "two.jsonl").code == 0
    assert (tmp_path / "one.st").read_bytes() == (tmp_path / "two.st").read_bytes()


def test_replicas_need_a_log_each(forgetkit: Run, model: Path) -> None:
    args = ("train", "--like", "model.st", "--replicas", 2, "-o", "r{n}.st", "--log", "l.jsonl")
    assert "--log" in forgetkit(*args).err


def test_distill_goes_on_when_its_ids_are_forgotten_already(forgetkit: Run, model: Path, ids: Path) -> None:
    forgetkit("relabel", "model.st", "--ids", "ids.txt", "--rate", 0.1)
    ran = forgetkit("distill", "model.relabel.st", "--teacher", "model.st", "--ids", "ids.txt", "--epochs", 1)
    assert (ran.code, ran.lines) == (0, ["model.relabel.distill.st"])


def test_distill_with_nothing_forgotten_says_that_it_is_plain_training(forgetkit: Run, model: Path) -> None:
    ran = forgetkit("distill", "model.st", "--teacher", "model.st", "--epochs", 1)
    assert "warning: nothing was forgotten yet" in ran.err


@pytest.mark.parametrize("problem", [ForgetkitError("usage", "what", "do"), NotReached("not done", "more")])
def test_errors_survive_the_way_from_another_process(problem: ForgetkitError) -> None:
    found = pickle.loads(pickle.dumps(problem))  # noqa: S301 - our own
    assert (type(found), found.code, found.message, found.hint) == (
        type(problem),
        problem.code,
        problem.message,
        problem.hint,
    )


def test_more_threads_than_a_machine_can_have_are_refused(forgetkit: Run, model: Path, ids: Path) -> None:
    ran = forgetkit("audit", "model.st", "--ids", "ids.txt", "--threads", 20000, "--json")
    assert (ran.code, ran.json["code"]) == (2, "usage")


def test_an_empty_choice_does_not_leave_a_stale_list_behind(forgetkit: Run, model: Path, ids: Path) -> None:
    forgetkit("forget-ids", "model.st", "--ids", "ids.txt", "-o", "stale.txt")
    ran = forgetkit("forget-ids", "model.st", "--ids", "ids.txt", "--minus", "ids.txt", "-o", "stale.txt", "--json")
    assert (ran.code, ran.json["code"]) == (2, "ids-empty")


@pytest.mark.parametrize("table", ["id,w\n1,a\n1,b\n", "id,w,w\n1,a,b\n"])
def test_a_table_that_says_two_things_is_refused(forgetkit: Run, model: Path, tmp_path: Path, table: str) -> None:
    (tmp_path / "t.csv").write_text(table)
    ran = forgetkit("forget-ids", "model.st", "--where", "w=a", "--attributes", "t.csv", "--json")
    assert (ran.code, ran.json["code"]) == (2, "attributes-malformed")
