"""The request book: no request is lost, none is applied twice."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from forgetkit.cli import app as cli
from forgetkit.files import request_book as books
from forgetkit.files.header import read_record
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


@pytest.fixture
def added(forgetkit: Run, model: Path, ids: Path, tmp_path: Path) -> Path:
    """Return a folder with a book in which request r1 names ids.txt."""
    assert forgetkit("requests", "add", "r1", "--ids", "ids.txt", "--book", "b.db").lines == ["r1"]
    return tmp_path


def listed(forgetkit: Run, which: str) -> list[str]:
    return [entry["request"] for entry in forgetkit("requests", which, "--book", "b.db", "--json").json["requests"]]


def test_a_request_is_pending_until_something_is_published_for_it(forgetkit: Run, added: Path) -> None:
    assert (listed(forgetkit, "pending"), listed(forgetkit, "done")) == (["r1"], [])
    assert forgetkit(*RELABEL).code == 0
    assert (listed(forgetkit, "pending"), listed(forgetkit, "done")) == ([], ["r1"])
    digest = forgetkit("inspect", "out.st", "--json").json["record"]["digest"]
    (entry,) = forgetkit("requests", "log", "--book", "b.db", "--json").json["requests"]
    assert (entry["count"], entry["command"], entry["digest"]) == (30, "relabel", digest)


@pytest.mark.parametrize("name", STEPS)
def test_each_step_completes_its_request_once(forgetkit: Run, added: Path, name: str) -> None:
    step = [name, "model.st", "-i", "ids.txt", *STEPS[name].split(), "--request", "r1", "--book", "b.db", "-q"]
    ran = forgetkit(*step, "-o", "out.st")
    assert ran.code == 0, ran.err
    (entry,), record = books.entries(added / "b.db"), read_record(added / "out.st")
    assert (entry.command, entry.digest) == (record.steps[-1].command, record.digest)
    assert entry.command == name or (name, entry.command) == ("forget", "train")
    again = forgetkit(*step, "-o", "again.st", "--json")
    assert (again.code, again.json["code"], (added / "again.st").exists()) == (2, "request-done", False)


def test_every_step_that_forgets_takes_a_request() -> None:
    group: Any = cli.command_line()
    flags = {name: {flag for p in one.params for flag in p.opts} for name, one in group.commands.items()}
    forget = {name for name, found in flags.items() if {"--ids", "--out", "--dry-run"} <= found} - {
        "forget-ids",
        "mask",
    }
    assert {name for name in forget if {"--request", "--book"} <= flags[name]} == forget == set(STEPS)


def test_a_request_is_never_applied_twice(forgetkit: Run, added: Path) -> None:
    assert forgetkit(*RELABEL).code == 0
    assert forgetkit(*RELABEL).code == 0  # up to date
    (added / "out.st").unlink()
    ran = forgetkit(*RELABEL)
    assert (ran.code, "is done" in ran.err) == (2, True)


def test_a_published_output_completes_its_request(forgetkit: Run, added: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process ended between the file and the book: the same command writes into the book, and computes nothing."""

    def ends(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(books.Booking, "publish", ends)
        assert forgetkit(*RELABEL).code == 130
    assert (added / "out.st").exists()
    assert listed(forgetkit, "pending") == ["r1"]
    before = (added / "out.st").stat().st_mtime_ns
    assert forgetkit(*RELABEL).code == 0
    assert (listed(forgetkit, "done"), (added / "out.st").stat().st_mtime_ns) == (["r1"], before)


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


@pytest.mark.parametrize("change", ["UPDATE accepted SET count = 1", "DELETE FROM published", "DELETE FROM accepted"])
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
