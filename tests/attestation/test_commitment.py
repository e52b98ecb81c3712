"""Commitments: the audit that was announced is the one that was made."""

import json
from pathlib import Path
from typing import Any

import pytest

from forgetkit.attestation.audit_report import Audit, audit_of
from forgetkit.attestation.commitment import differs
from forgetkit.errors import ForgetkitError
from forgetkit.files.header import read_record
from tests.conftest import Run

AUDIT = ("audit", "forgot.st", "--original", "model.st")
COMMIT = (*AUDIT, "--commit", "c.json")


@pytest.fixture
def audit(folder: Path) -> Audit:
    path = folder / "forgot.st"
    return audit_of(folder / "open.json", read_record(path).digest, path)


def test_the_audit_that_was_announced_keeps_its_commitment(forgetkit: Run, folder: Path, audit: Audit) -> None:
    ran = forgetkit(*COMMIT)
    assert (ran.code, ran.out, "now hand it to whoever will check" in ran.err) == (0, "c.json\n", True)
    assert differs(folder / "c.json", audit) is None


def test_nothing_is_evaluated(forgetkit: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forgetkit.auditing.run.evidence_of", None)
    ran = forgetkit(*COMMIT, "--json")
    assert (ran.code, ran.json["outputs"], ran.json["up_to_date"]) == (0, ["c.json"], False)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--level", "0.1"), "policy"),
        (("--criterion", "chance"), "policy"),
        (("--ids", "few.txt"), "inputs"),
        (("--relearn",), "optional"),
        (("--attacks", "loss,lira"), "optional"),
    ],
)
def test_another_audit_does_not_keep_it(
    words: tuple[str, ...], part: str, forgetkit: Run, folder: Path, audit: Audit
) -> None:
    (folder / "few.txt").write_text("0\n10\n")
    assert forgetkit(*COMMIT, *words).code == 0
    assert differs(folder / "c.json", audit) == part


def test_optional_checks_are_announced_by_their_ids(forgetkit: Run, folder: Path) -> None:
    words = ("--attacks", "loss,phi")
    assert forgetkit(*COMMIT, *words).code == 0
    report = forgetkit(*AUDIT, *words, "--json", "-q").out
    (folder / "r.json").write_text(report)
    path = folder / "forgot.st"
    assert differs(folder / "c.json", audit_of(folder / "r.json", read_record(path).digest, path)) is None


def test_a_commitment_is_repeated_but_never_replaced(forgetkit: Run, folder: Path) -> None:
    assert forgetkit(*COMMIT).code == 0
    before = (folder / "c.json").read_bytes()
    assert "c.json is up to date" in forgetkit(*COMMIT).err
    ran = forgetkit(*COMMIT, "--level", "0.1")
    assert (ran.code, "error: c.json exists already" in ran.err) == (2, True)
    assert (folder / "c.json").read_bytes() == before


@pytest.mark.parametrize(
    "words",
    [("audit", "forgot.st", "model.st", "--commit", "c.json"), ("audit", "--scores", "s", "--commit", "c.json")],
)
def test_only_the_audit_of_one_checkpoint_can_be_announced(
    words: tuple[str, ...], forgetkit: Run, folder: Path
) -> None:
    (folder / "s").write_text("")
    assert (forgetkit(*words).code, (folder / "c.json").exists()) == (2, False)


@pytest.mark.parametrize("content", ["", "[]", "{", json.dumps({"policy": 1}), "none"])
def test_what_is_no_commitment_is_not_kept(content: Any, folder: Path, audit: Audit) -> None:  # noqa: ANN401
    path = folder / "c.json"
    if content != "none":
        path.write_text(content)
    if content.startswith('{"'):
        assert differs(path, audit) == "inputs"
        return
    with pytest.raises(ForgetkitError) as refused:
        differs(path, audit)
    assert refused.value.code == ("commitment-missing" if content == "none" else "commitment-malformed")
