"""Audits of ids that were learned, and forgotten, at different times: which original they need, and what says so."""

import shutil
from pathlib import Path

import pytest

from forgetkit.cli import app as cli
from forgetkit.files.header import read_record
from tests.conftest import Run

FILES = ("first.st", "forgot.st", "more.st", "twice.st", "both.st", "both-forgot.st", "a.txt", "b.txt", "ab.txt")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of models that learned ids 0 to 599, and then 600 to 1199.

    ``twice.st`` forgot ``a.txt`` before it learned the others, and then ``b.txt`` of these; ``both-forgot.st`` learned
    all (``both.st``) and then forgot both lists.
    """
    folder = tmp_path_factory.mktemp("trained")
    lists = {"early": range(600), "late": range(600, 1200), "a": range(25), "b": range(600, 625)}
    for name, rows in lists.items():
        (folder / f"{name}.txt").write_text("".join(f"{row}\n" for row in rows))
    (folder / "ab.txt").write_text((folder / "a.txt").read_text() + (folder / "b.txt").read_text())
    for command in (
        "train --dataset digits --only early.txt --epochs 2 -o first.st",
        "relabel first.st -i a.txt --rate 0.01 -o forgot.st",
        "train --from forgot.st --only late.txt --epochs 2 -o more.st",
        "relabel more.st -i b.txt --rate 0.01 -o twice.st",
        "train --from first.st --only late.txt --epochs 2 -o both.st",
        "relabel both.st -i ab.txt --rate 0.01 -o both-forgot.st",
    ):
        parts = [str(folder / part) if part.endswith((".st", ".txt")) else part for part in command.split()]
        assert cli.run([*parts, "-q"]) == 0
    return folder


@pytest.fixture
def here(trained: Path, tmp_path: Path) -> Path:
    """Return ``tmp_path`` with these models and lists."""
    for name in FILES:
        shutil.copy(trained / name, tmp_path)
    return tmp_path


@pytest.mark.parametrize(("original", "forgot", "never"), [("first.st", 0, 25), ("more.st", 25, 0)])
def test_an_original_that_knew_some_of_the_ids_is_refused_with_how_to_audit_them_apart(
    forgetkit: Run, here: Path, original: str, forgot: int, never: int
) -> None:
    refused = forgetkit("audit", "twice.st", "--original", original, "--json")
    assert (refused.code, refused.json["code"]) == (2, "checkpoint-mismatch")
    assert f"of the 50 ids in question it forgot {forgot} and never saw {never}" in refused.json["message"]
    assert refused.json["hint"].startswith("audit the 25 ids that it knows apart, with --ids")


@pytest.mark.parametrize(("ids", "original"), [("a.txt", "first.st"), ("b.txt", "more.st")])
def test_ids_of_different_trainings_are_audited_apart_and_the_others_are_the_earlier_group(
    forgetkit: Run, here: Path, ids: str, original: str
) -> None:
    found = forgetkit("audit", "twice.st", "--ids", ids, "--original", original, "--json")
    assert found.code in {0, 1, 3}, found.err
    checks = {(check["group"], check["id"]): check for check in found.json["checks"]}
    assert checks["ids", "integrity"]["verdict"] == "pass"
    assert checks["ids", "membership-original"]["n"] == checks["earlier", "membership"]["n"] == 25


def test_a_model_that_forgot_ids_of_both_trainings_is_audited_with_the_one_that_learned_both(
    forgetkit: Run, here: Path
) -> None:
    refused = forgetkit("audit", "both-forgot.st", "--original", "first.st", "--json")
    digest = read_record(here / "both.st").digest
    hint = f"give the model that this one was before it forgot anything: sha256:{digest[:8]}"
    assert (refused.code, refused.json["hint"]) == (2, hint)
    assert forgetkit("audit", "both-forgot.st", "--original", "both.st").code in {0, 1, 3}


def test_a_lost_list_is_what_the_original_knows_and_the_model_does_not(forgetkit: Run, here: Path) -> None:
    forgetkit("forget-ids", "twice.st", "--fraction", 1, "-o", "kept.txt")
    forgetkit("forget-ids", "more.st", "--fraction", 1, "--minus", "kept.txt", "-o", "found.txt")
    assert (here / "found.txt").read_text() == (here / "b.txt").read_text()


def test_the_next_command_names_no_original_that_the_audit_would_refuse(forgetkit: Run, here: Path) -> None:
    ran = forgetkit("relabel", "more.st", "-i", "b.txt", "--rate", "0.01", "-o", "again.st")
    assert ran.err.splitlines()[-1] == "next: forgetkit audit again.st --ids IDS.txt --original more.st"
    ran = forgetkit("relabel", "first.st", "-i", "a.txt", "--rate", "0.01", "-o", "again.st", "-f")
    assert ran.err.splitlines()[-1] == "next: forgetkit audit again.st --original first.st"
