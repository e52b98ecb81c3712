"""The request book: no request is lost, none is applied twice."""

import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from forgetkit.cli import app as cli
from forgetkit.errors import ForgetkitError
from forgetkit.files.header import read_record
from forgetkit.request_book import book as books
from forgetkit.request_book.book_file import opened
from tests.conftest import Run

STEP = "relabel model.st -i ids.txt --rate 0.1 --allow-unforgotten -q"
STEPS = {
    "ascend": "--stop published --epochs 1",
    "badteach": "--stop published",
    "dampen": "",
    "distill": "--teacher model.st --epochs 1",
    "finetune": "--stop published --epochs 1",
    "forget": "--budget 100%",
    "neutralize": "--stop chance",
    "random-labels": "--stop published --epochs 1",
    "relabel": "--rate 0.1",
    "reset": "--stop published --epochs 1",
    "scrub": "--stop published --epochs 1",
}
RELABEL = [*STEP.split(), "--request", "r1", "--book", "b.db", "-o", "out.st"]
OTHER = [{"0.1": "0.05", "out.st": "other.st"}.get(word, word) for word in RELABEL]


@pytest.fixture
def added(forgetkit: Run, model: Path, ids: Path, tmp_path: Path) -> Path:
    """Return a folder with a book in which request r1 names ids.txt."""
    assert forgetkit("requests", "add", "r1", "--ids", "ids.txt", "--book", "b.db").lines == ["r1"]
    return tmp_path


def listed(forgetkit: Run, which: str) -> list[str]:
    return [entry["request"] for entry in forgetkit("requests", which, "--book", "b.db", "--json").json["requests"]]


def test_a_step_answers_a_request_which_stays_pending(forgetkit: Run, added: Path) -> None:
    assert forgetkit("requests", "pending", "--book", "b.db").lines == ["r1  not answered"]
    assert forgetkit(*RELABEL).code == 0
    record = read_record(added / "out.st")
    says = f"r1  answered by out.st (sha256:{record.digest[:16]}), not audited"
    assert forgetkit("requests", "pending", "--book", "b.db").lines == [says]
    assert listed(forgetkit, "done") == []
    (entry,) = forgetkit("requests", "log", "--book", "b.db", "--json").json["requests"]
    assert (entry["count"], entry["state"], entry["command"]) == (30, "answered", "relabel")
    assert (entry["digest"], entry["audit"]) == (record.digest, None)
    assert entry["answers"][0]["parent"] == read_record(added / "model.st").digest


@pytest.mark.parametrize("name", STEPS)
def test_each_step_answers_its_request_once(forgetkit: Run, added: Path, name: str) -> None:
    step = [name, "model.st", "-i", "ids.txt", *STEPS[name].split(), "--request", "r1", "--book", "b.db", "-q"]
    ran = forgetkit(*step, "-o", "out.st")
    assert ran.code == 0, ran.err
    (entry,), record = books.entries(added / "b.db"), read_record(added / "out.st")
    answer = entry.answers[-1]
    assert (answer.command, answer.digest, answer.file) == (record.steps[-1].command, record.digest, "out.st")
    assert answer.command == name or (name, answer.command) == ("forget", "train")
    assert answer.parent == read_record(added / "model.st").digest
    again = forgetkit(*step, "-o", "again.st", "--json")
    assert (again.code, again.json["code"], (added / "again.st").exists()) == (2, "request-answered", False)


def test_every_step_that_forgets_takes_a_request() -> None:
    group: Any = cli.command_line()
    flags = {name: {flag for p in one.params for flag in p.opts} for name, one in group.commands.items()}
    forget = {name for name, found in flags.items() if {"--ids", "--out", "--dry-run"} <= found} - {
        "forget-ids",
        "mask",
        "predict",
    }
    assert {name for name in forget if {"--request", "--book"} <= flags[name]} == forget == set(STEPS)


def test_a_request_is_never_applied_twice(forgetkit: Run, added: Path) -> None:
    assert forgetkit(*RELABEL).code == 0
    assert forgetkit(*RELABEL).code == 0  # up to date
    (added / "out.st").unlink()
    ran = forgetkit(*RELABEL)
    assert (ran.code, "was answered by out.st" in ran.err, "--force answers it again" in ran.err) == (2, True, True)


def test_force_answers_a_request_again_whose_answer_was_not_audited(forgetkit: Run, added: Path) -> None:
    assert forgetkit(*RELABEL).code == 0
    assert forgetkit(*OTHER, "--force").code == 0
    (entry,) = books.entries(added / "b.db")
    assert [answer.file for answer in entry.answers] == ["out.st", "other.st"]
    assert entry.digest == read_record(added / "other.st").digest


def test_a_published_output_answers_its_request(forgetkit: Run, added: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process ended between the file and the book: the same command writes into the book, and computes nothing."""

    def ends(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(books.Booking, "answer", ends)
        assert forgetkit(*RELABEL).code == 130
    assert (added / "out.st").exists()
    assert forgetkit("requests", "pending", "--book", "b.db").lines == ["r1  not answered"]
    before = (added / "out.st").stat().st_mtime_ns
    assert forgetkit(*RELABEL).code == 0
    (entry,) = books.entries(added / "b.db")
    assert (entry.state, (added / "out.st").stat().st_mtime_ns) == ("answered", before)


def test_adding_twice_changes_nothing_and_other_ids_are_refused(forgetkit: Run, added: Path) -> None:
    again = forgetkit("requests", "add", "r1", "--ids", "ids.txt", "--book", "b.db", "--json")
    assert (again.code, again.json["new"]) == (0, False)
    (added / "other.txt").write_text("1\n2\n")
    ran = forgetkit("requests", "add", "r1", "--ids", "other.txt", "--book", "b.db")
    assert (ran.code, "other ids" in ran.err) == (2, True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"r1": "r2"}, "there is no request"),
        ({"ids.txt": "other.txt"}, "other ids"),
        ({"b.db": "c.db"}, "no request book"),
    ],
)
def test_a_step_for_a_request_that_is_not_so_in_the_book_is_refused(
    forgetkit: Run, added: Path, change: dict[str, str], words: str
) -> None:
    (added / "other.txt").write_text("1\n2\n")
    ran = forgetkit(*(change.get(word, word) for word in RELABEL))
    assert (ran.code, words in ran.err, (added / "out.st").exists()) == (2, True, False)


@pytest.mark.parametrize("change", ["UPDATE accepted SET count = 1", "DELETE FROM answered", "DELETE FROM accepted"])
def test_rows_are_never_changed(forgetkit: Run, added: Path, change: str) -> None:
    assert forgetkit(*RELABEL).code == 0
    with pytest.raises(sqlite3.IntegrityError, match="never changed"):
        sqlite3.connect(added / "b.db").execute(change)


def test_a_book_holds_no_id(forgetkit: Run, model: Path, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("jane-doe-0042\n")
    assert forgetkit("requests", "add", "r9", "--ids", "names.txt", "--book", "b.db").code == 0
    assert b"jane-doe" not in (tmp_path / "b.db").read_bytes()


def test_a_file_that_is_no_book_is_refused(forgetkit: Run, model: Path, ids: Path, tmp_path: Path) -> None:
    for content in (b"x" * 5000, model.read_bytes()):
        (tmp_path / "b.db").write_bytes(content)
        ran = forgetkit("requests", "log", "--book", "b.db")
        assert (ran.code, "not a request book" in ran.err, "Traceback" in ran.err) == (2, True, False)


def test_one_option_without_the_other_is_refused(forgetkit: Run, model: Path, ids: Path) -> None:
    assert forgetkit("relabel", "model.st", "-i", "ids.txt", "--request", "r1").code == 2


def test_a_model_that_never_saw_the_samples_closes_nothing(forgetkit: Run, added: Path) -> None:
    (added / "some.txt").write_text("".join(f"{row}\n" for row in range(1, 200) if row % 10))
    train = "train --dataset digits --only some.txt --epochs 1 -q -o few.st"
    assert forgetkit(*train.split()).code == 0
    ran = forgetkit(*RELABEL[:1], "few.st", *RELABEL[2:])
    assert (ran.code, "stays open" in ran.err, "requests close r1" in ran.err) == (0, True, True)
    assert forgetkit("requests", "pending", "--book", "b.db").lines == ["r1  not answered"]


def test_a_request_is_closed_on_somebodys_word_once_and_the_reason_is_kept(forgetkit: Run, added: Path) -> None:
    close = ("requests", "close", "r1", "--reason", "withdrawn", "--book", "b.db", "--json")
    assert [forgetkit(*close).json["new"] for _ in range(2)] == [True, False]
    assert forgetkit("requests", "done", "--book", "b.db").lines == ["r1  not audited, accepted: withdrawn"]
    (entry,) = forgetkit("requests", "log", "--book", "b.db", "--json").json["requests"]
    assert (entry["digest"], entry["audit"]["digest"], entry["audit"]["reason"]) == (None, None, "withdrawn")
    assert forgetkit(*RELABEL).code == 2


def test_only_a_request_in_the_book_is_closed_and_only_with_a_reason(forgetkit: Run, added: Path) -> None:
    for name, reason in (("r2", "withdrawn"), ("r1", " ")):
        assert forgetkit("requests", "close", name, "--reason", reason, "--book", "b.db").code == 2
    assert forgetkit("requests", "pending", "--book", "b.db").lines == ["r1  not answered"]


OLD_BOOK = """
CREATE TABLE book (salt TEXT NOT NULL);
CREATE TABLE accepted (request TEXT PRIMARY KEY NOT NULL, count INTEGER NOT NULL, keys BLOB NOT NULL, at TEXT NOT NULL);
CREATE TABLE published (request TEXT PRIMARY KEY NOT NULL REFERENCES accepted, command TEXT NOT NULL,
    digest TEXT NOT NULL, at TEXT NOT NULL);
CREATE TRIGGER published_DELETE BEFORE DELETE ON published BEGIN SELECT RAISE(ABORT, 'never'); END;
INSERT INTO book VALUES ('0000000000000000000000000000000000000000000000000000000000000000');
INSERT INTO accepted VALUES ('old-1', 1, x'0000000000000001', '2026-01-01T00:00:00+00:00');
INSERT INTO accepted VALUES ('old-2', 1, x'0000000000000002', '2026-01-02T00:00:00+00:00');
INSERT INTO published VALUES ('old-1', 'relabel', 'abc', '2026-01-03T00:00:00+00:00');
"""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Return a book as forgetkit wrote it when a step closed a request: old-1 is done, old-2 is pending."""
    sqlite3.connect(tmp_path / "old.db").executescript(OLD_BOOK)
    return tmp_path / "old.db"


def test_what_is_done_in_a_book_of_an_earlier_version_stays_done(forgetkit: Run, old: Path) -> None:
    done, pending = books.entries(old)
    assert (done.state, pending.state) == ("done", "accepted")
    assert (done.digest, done.answers[-1].command, done.since) == ("abc", "relabel", "2026-01-03T00:00:00+00:00")
    assert "not audited, accepted: an earlier version" in forgetkit("requests", "done", "--book", old).out
    with pytest.raises(ForgetkitError, match="is done"):
        books.Booking(old, "old-1").check_open(again=True)


def test_a_book_of_an_earlier_version_is_kept_by_reading_and_upgraded_by_writing(forgetkit: Run, old: Path) -> None:
    before = old.read_bytes()
    assert len(books.entries(old)) == 2
    assert old.read_bytes() == before
    (old.parent / "ids.txt").write_text("1\n")
    assert forgetkit("requests", "add", "new", "-i", "ids.txt", "--book", old).code == 0
    assert [entry.state for entry in books.entries(old)] == ["done", "accepted", "accepted"]
    with pytest.raises(sqlite3.OperationalError, match="no such table"):  # an earlier version refuses it
        sqlite3.connect(old).execute("SELECT digest FROM published")


def test_a_book_of_a_later_version_is_refused(forgetkit: Run, added: Path) -> None:
    sqlite3.connect(added / "b.db").execute("PRAGMA user_version = 4")
    ran = forgetkit("requests", "log", "--book", "b.db")
    assert (ran.code, "a book of version 4" in ran.err, "hint: " in ran.err) == (2, True, True)


def test_a_request_is_closed_once_whatever_comes_after(added: Path, forgetkit: Run) -> None:
    assert forgetkit(*RELABEL).code == 0
    booking, record = books.Booking(added / "b.db", "r1"), read_record(added / "out.st")
    verdicts = [("not-forgotten", False), ("forgotten", True), ("not-forgotten", False), ("forgotten", True)]
    for verdict, closes in verdicts:
        booking.judge(record, verdict, "retrain", closes=closes, reason=None)
    booking.answer(added / "model.st", read_record(added / "model.st"), again=True)
    (entry,) = books.entries(added / "b.db")
    assert [(audit.verdict, audit.closes) for audit in entry.audits] == verdicts[:2]
    assert (entry.standing, len(entry.answers)) == (f"sha256:{record.digest[:16]}  forgotten (retrain)", 1)


def test_an_answer_that_failed_its_audit_gives_way_to_another(added: Path, forgetkit: Run) -> None:
    assert forgetkit(*RELABEL).code == 0
    booking, failed = books.Booking(added / "b.db", "r1"), read_record(added / "out.st")
    booking.judge(failed, "over-forgotten", "retrain", closes=False, reason=None)
    assert "audit: over-forgotten (retrain)" in books.entries(added / "b.db")[0].standing
    assert forgetkit(*OTHER).code == 0
    booking.answer(added / "out.st", failed)  # the first command again, which is up to date
    (entry,) = books.entries(added / "b.db")
    assert (entry.answer and entry.answer.file, entry.audit) == ("other.st", None)


def test_of_eight_audits_at_once_one_closes_the_request(added: Path, forgetkit: Run) -> None:
    assert forgetkit(*RELABEL).code == 0
    booking, record = books.Booking(added / "b.db", "r1"), read_record(added / "out.st")

    def judge(number: int) -> bool:
        return booking.judge(record, "inconclusive", "retrain", closes=True, reason=f"auditor {number}").done is None

    with ThreadPoolExecutor(8) as pool:
        closed = list(pool.map(judge, range(8)))
    (entry,) = books.entries(added / "b.db")
    assert [audit.reason for audit in entry.audits] == [f"auditor {closed.index(True)}"]
    assert sum(closed) == 1


def test_an_upgrade_that_is_cut_short_leaves_the_book_as_it_was(old: Path) -> None:
    before = old.read_bytes()
    with pytest.raises(KeyboardInterrupt), opened(old, write=True):
        raise KeyboardInterrupt
    assert (old.read_bytes(), books.entries(old)[0].state) == (before, "done")


def test_a_checkpoint_may_have_a_name_of_any_bytes(forgetkit: Run, added: Path) -> None:
    books.Booking(added / "b.db", "r1").answer(Path(os.fsdecode(b"m\xe4.st")), read_record(added / "model.st"))
    assert "answered by m?.st" in forgetkit("requests", "pending", "--book", "b.db").out


def test_another_database_is_no_book(forgetkit: Run, tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "x.db").execute("CREATE TABLE things (name TEXT)")
    ran = forgetkit("requests", "log", "--book", "x.db")
    assert (ran.code, "x.db: not a request book" in ran.err) == (2, True)


def test_the_next_command_closes_the_request(forgetkit: Run, added: Path) -> None:
    ran = forgetkit(*RELABEL[: RELABEL.index("-q")], *RELABEL[RELABEL.index("-q") + 1 :])
    (line,) = [line for line in ran.err.splitlines() if line.startswith("next: ")]
    assert line == "next: forgetkit audit out.st --request r1 --book b.db --original model.st"
