"""attest and verify on the command line."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from forgetkit.files.header import read_record
from tests.attestation.conftest import evidence as evidence
from tests.attestation.conftest import folder as folder
from tests.attestation.evidence import PASSPHRASE, passing, write_key
from tests.conftest import Run

ATTEST = ("attest", "forgot.st", "--audit", "passed.json", "--key", "key.pem")
VERIFY = ("verify", "forgot.st", "--attestation", "forgot.intoto.jsonl", "--key", "key.pub")


@pytest.fixture
def attested(forgetkit: Run, folder: Path) -> Path:
    """Return a folder with ``forgot.intoto.jsonl``."""
    assert forgetkit(*ATTEST).code == 0
    return folder


def python(code: str, folder: Path, *, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code]
    env = {**os.environ, **(environment or {})}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=env)


def test_what_is_attested_is_verified(forgetkit: Run, folder: Path) -> None:
    ran = forgetkit(*ATTEST)
    assert (ran.code, ran.out) == (0, "forgot.intoto.jsonl\n")
    assert "next: forgetkit verify forgot.st --attestation forgot.intoto.jsonl --key key.pub" in ran.err
    ran = forgetkit(*VERIFY)
    assert (ran.code, ran.err) == (0, "")
    assert [line.split()[0] for line in ran.lines] == ["signature", "subject", "lineage", "policy", "verdict"]
    assert ran.lines[2].endswith("train → relabel; 65 samples forgotten by the record")
    assert ran.lines[4] == "verdict    forgotten      forgotten: 65 samples judged"


def test_both_print_one_document(forgetkit: Run, folder: Path) -> None:
    made = forgetkit(*ATTEST, "--json").json
    assert (made["command"], made["outputs"], made["up_to_date"]) == ("attest", ["forgot.intoto.jsonl"], False)
    assert (made["digest"], made["metrics"]["verdict"]) == (read_record(folder / "forgot.st").digest, "forgotten")
    found = forgetkit(*VERIFY, "--json").json
    assert (found["exit_code"], found["verdict"]) == (0, "forgotten")
    assert [one["holds"] for one in found["findings"]] == [True, True, True, None, True]
    assert found["statement"]["predicate"]["result"] == "PASSED"


def test_another_verdict_is_attested_with_a_warning_and_fails_a_gate(forgetkit: Run, folder: Path) -> None:
    ran = forgetkit(*(word.replace("passed", "open") for word in ATTEST))
    assert (ran.code, "warning: the verdict of the audit is inconclusive" in ran.err) == (0, True)
    ran = forgetkit(*VERIFY)
    assert (ran.code, ran.lines[4]) == (1, "verdict    not forgotten  inconclusive: 65 samples judged")
    assert forgetkit(*VERIFY, "--json").json["exit_code"] == 1


def test_the_same_command_writes_the_same_bytes_and_is_then_up_to_date(forgetkit: Run, attested: Path) -> None:
    before = (attested / "forgot.intoto.jsonl").read_bytes()
    assert "forgot.intoto.jsonl is up to date" in forgetkit(*ATTEST).err
    assert forgetkit(*ATTEST, "-o", "again.jsonl").out == "again.jsonl\n"
    assert (attested / "again.jsonl").read_bytes() == before
    other = tuple(word.replace("passed", "open") for word in ATTEST)
    ran = forgetkit(*other)
    assert (ran.code, "error: forgot.intoto.jsonl exists already" in ran.err) == (2, True)
    assert (attested / "forgot.intoto.jsonl").read_bytes() == before
    assert forgetkit(*other, "--force").code == 0


def test_ecdsa_draws_its_signatures_but_is_up_to_date_as_well(forgetkit: Run, folder: Path) -> None:
    write_key(folder, "ec", kind="p256")
    words = (*ATTEST[:-1], "ec.pem")
    assert [forgetkit(*words, "--json").json["up_to_date"] for _ in range(2)] == [False, True]
    assert forgetkit(*VERIFY[:-1], "ec.pub").code == 0


def test_a_dry_run_checks_and_writes_nothing(forgetkit: Run, folder: Path) -> None:
    ran = forgetkit(*ATTEST, "-n")
    assert (ran.code, ran.out, (folder / "forgot.intoto.jsonl").exists()) == (0, "", False)
    assert forgetkit(*ATTEST[:-1], "none.pem", "-n").code == 2


def test_what_does_not_hold_is_printed_and_is_an_error(forgetkit: Run, attested: Path) -> None:
    ran = forgetkit("verify", "model.st", *VERIFY[2:])
    assert (ran.code, ran.out) == (2, "")
    lines = ran.err.splitlines()
    marks = [line[11:25].strip() for line in lines[:5]]
    assert marks == ["holds", "does not hold", "–", "–", "–"]
    assert (lines[5].startswith("error: model.st: sha256:"), lines[6].startswith("hint: ")) == (True, True)
    assert forgetkit("verify", "model.st", *VERIFY[2:], "--json").json["code"] == "checkpoint-mismatch"


def test_the_policy_that_was_agreed_on_is_demanded(forgetkit: Run, folder: Path) -> None:
    (folder / "rules.toml").write_text("membership_margin = 0.05\n")
    (folder / "strict.toml").write_text("membership_margin = 0.01\n")
    audit = ("audit", "forgot.st", "--original", "model.st", "--policy", "rules.toml", "--json", "-q")
    (folder / "ruled.json").write_text(json.dumps(passing(json.loads(forgetkit(*audit).out))))
    assert forgetkit("attest", "forgot.st", "--audit", "ruled.json", "--key", "key.pem").code == 0
    assert "policy     holds" in forgetkit(*VERIFY, "--policy", "rules.toml").out
    ran = forgetkit(*VERIFY, "--policy", "strict.toml", "--json")
    assert (ran.code, ran.json["code"]) == (2, "policy-mismatch")
    assert forgetkit(*VERIFY, "--policy", "none.toml", "--json").json["code"] == "policy-missing"


def test_a_commitment_that_was_handed_over_is_demanded(forgetkit: Run, attested: Path) -> None:
    announce = ("audit", "forgot.st", "--original", "model.st", "--commit")
    assert forgetkit(*announce, "c.json").code == forgetkit(*announce, "d.json", "--level", "0.1").code == 0
    assert "as c.json says" in forgetkit(*VERIFY, "--commitment", "c.json").lines[3]
    ran = forgetkit(*VERIFY, "--commitment", "d.json", "--json")
    assert (ran.code, ran.json["code"]) == (2, "policy-mismatch")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("attest", "none.st", *ATTEST[2:]), "checkpoint-missing", "none.st: No such file"),
        (("attest", "", *ATTEST[2:]), "checkpoint-missing", "no checkpoint given"),
        (("attest", "model.st", *ATTEST[2:]), "audit-mismatch", "passed.json: no audit of model.st"),
        ((*ATTEST[:3], "none.json", *ATTEST[4:]), "audit-missing", "none.json: No such file"),
        ((*ATTEST[:3], "ids.txt", *ATTEST[4:]), "audit-malformed", "ids.txt: not JSON"),
        ((*ATTEST[:-1], "none.pem"), "key-missing", "none.pem: No such file"),
        ((*ATTEST[:-1], "key.pub"), "key-malformed", "key.pub: a public key"),
        ((*ATTEST, "-o", "forgot.st"), "output-unwritable", "the output would replace the input"),
        ((*ATTEST, "-o", "key.pem", "-f"), "output-unwritable", "the output would replace the input"),
        ((*ATTEST, "--request", "r1"), "usage", "--request and --book go together"),
        ((*ATTEST, "--request", "r1", "--book", "none.db"), "book-missing", "none.db"),
        (ATTEST[:4], "usage", "missing option '--key'"),
        ((*VERIFY[:3], "none.jsonl", *VERIFY[4:]), "attestation-missing", "none.jsonl: No such file"),
        ((*VERIFY[:3], "ids.txt", *VERIFY[4:]), "attestation-malformed", "ids.txt: 65 attestations"),
        ((*VERIFY[:-1], "key.pem"), "key-malformed", "key.pem: a private key"),
        ((*VERIFY[:-1], "other.pub"), "signature-invalid", "not signed with this key"),
        (("verify", "none.st", *VERIFY[2:]), "checkpoint-missing", "none.st"),
        ((*VERIFY, "--commitment", "none.json"), "commitment-missing", "none.json"),
    ],
)
def test_a_wrong_call_is_one_line_and_writes_nothing(
    words: tuple[str, ...], code: str, message: str, forgetkit: Run, attested: Path
) -> None:
    before = {path.name: path.read_bytes() for path in attested.iterdir()}
    ran = forgetkit(*words, "--json")
    found = ran.json
    assert (ran.code, found["code"]) == (2, code), found
    assert message in found["message"]
    assert {path.name: path.read_bytes() for path in attested.iterdir()} == before


def test_a_locked_key_is_opened_by_a_file_or_the_environment_never_by_an_option(
    forgetkit: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_key(folder, "locked", passphrase=PASSPHRASE)
    (folder / "pass.txt").write_text(f"{PASSPHRASE}\n")
    (folder / "wrong.txt").write_text("wrong\n")
    monkeypatch.delenv("FORGETKIT_PASSPHRASE", raising=False)
    words = (*ATTEST[:-1], "locked.pem")
    for given in ((), ("--passphrase-file", "wrong.txt")):
        assert forgetkit(*words, *given, "--json", stdin="").json["code"] == "key-locked"
    assert forgetkit(*words, "--passphrase-file", "pass.txt").code == 0
    monkeypatch.setenv("FORGETKIT_PASSPHRASE", PASSPHRASE)
    assert "up to date" in forgetkit(*words).err


def test_a_terminal_is_asked_for_the_passphrase_which_is_not_shown(folder: Path) -> None:
    import pty

    write_key(folder, "locked", passphrase=PASSPHRASE)
    environment = {name: value for name, value in os.environ.items() if name != "FORGETKIT_PASSPHRASE"}
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        command = [sys.executable, "-m", "forgetkit", *ATTEST[:-1], "locked.pem"]
        os.execve(sys.executable, command, environment)
    shown = b""
    while b"passphrase of locked.pem: " not in shown:
        shown += os.read(terminal, 1024)
    os.write(terminal, f"{PASSPHRASE}\n".encode())
    try:
        while part := os.read(terminal, 1024):
            shown += part
    except OSError:  # Linux says so when the other end is closed
        pass
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, shown.decode()
    assert PASSPHRASE.encode() not in shown
    assert (folder / "forgot.intoto.jsonl").exists()


def booked(forgetkit: Run, folder: Path) -> dict[str, Any]:
    """Answer request r1 with ``out.st``, audit it, and return the report."""
    book = ("--request", "r1", "--book", "b.db")
    assert forgetkit("requests", "add", "r1", "-i", "ids.txt", "--book", "b.db").code == 0
    step = ("relabel", "model.st", "-i", "ids.txt", "--rate", "0.01", "--allow-unforgotten", "-q", "-o", "out.st")
    assert forgetkit(*step, *book).code == 0
    ran = forgetkit("audit", "out.st", "--original", "model.st", *book, "--json", "-q")
    (folder / "booked.json").write_text(ran.out)
    return ran.json


def test_a_request_is_named_only_if_its_book_has_this_audit(forgetkit: Run, folder: Path) -> None:
    report = booked(forgetkit, folder)
    words = ("attest", "out.st", "--key", "key.pem", "--request", "r1", "--book", "b.db", "--audit")
    assert forgetkit(*words, "booked.json").code == 0
    found = forgetkit("verify", "out.st", "--attestation", "out.intoto.jsonl", "--key", "key.pub", "--json").json
    assert found["statement"]["predicate"]["forgetkit"]["request"] == {"name": "r1", "ids": 65}
    assert found["findings"][-1]["text"].endswith("request r1")
    (folder / "passed.json").write_text(json.dumps(passing(report)))
    ran = forgetkit(*words, "passed.json", "--json")
    assert (ran.code, ran.json["code"]) == (2, "audit-mismatch")
    ran = forgetkit(*words[:5], "r2", *words[6:], "booked.json", "--json")
    assert (ran.code, ran.json["code"]) == (2, "request-unknown")


def test_neither_imports_torch(attested: Path) -> None:
    code = "import sys; from forgetkit.cli import app; print(app.run(sys.argv[1:]), 'torch' in sys.modules)"
    for words in ((*ATTEST, "-o", "b.jsonl", "-q"), VERIFY):
        ran = subprocess.run([sys.executable, "-c", code, *words], cwd=attested, capture_output=True, text=True)
        assert ran.stdout.splitlines()[-1] == "0 False", ran.stderr


@pytest.mark.parametrize("words", [ATTEST, VERIFY])
def test_without_the_extra_it_says_how_to_install_it(words: tuple[str, ...], folder: Path) -> None:
    code = (
        "import sys; sys.modules['securesystemslib'] = None; from forgetkit.cli import app; "
        f"sys.exit(app.run({list(words)!r}))"
    )
    ran = python(code, folder)
    assert ran.returncode == 2
    assert "error: signatures need securesystemslib and cryptography" in ran.stderr
    assert "hint: pip install 'forgetkit[attest]'" in ran.stderr
