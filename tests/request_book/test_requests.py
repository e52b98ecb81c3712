"""Deadlines, open ends and the page of a request, by the commands."""

import json
import sqlite3
from pathlib import Path

import pytest

from forgetkit.request_book import deadline
from forgetkit.request_book.book import Booking, add, entries
from forgetkit.request_book.deadline import Details
from forgetkit.request_book.details import describe
from tests.conftest import Run

BOOK = ("--book", "b.db")
LIST = ("--ids", "ids.txt")


@pytest.fixture
def added(forgetkit: Run, model: Path, ids: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a model, a list, and a book with a request that is due on the last day of 2026."""
    from datetime import date

    monkeypatch.setattr(deadline, "today", lambda: date(2026, 12, 1))
    said = ("--received", "2026-11-30", "--due", "2026-12-31", "--subject", "p-118", "--channel", "e-mail")
    assert forgetkit("requests", "add", "r1", *LIST, *said, "--model", "model.st", *BOOK).code == 0
    return tmp_path


def pending(forgetkit: Run, *more: str) -> list[str]:
    return forgetkit("requests", "pending", *BOOK, *more).lines


def test_the_nearest_deadline_comes_first_and_requests_without_one_last(forgetkit: Run, added: Path) -> None:
    for name, due in {"late": "2027-02-01", "none": None, "soon": "1w", "gone": None}.items():
        assert forgetkit("requests", "add", name, *LIST, *(("--due", due) if due else ()), *BOOK).code == 0
    describe(Booking(added / "b.db", "gone"), Details(due="2026-11-28"))
    assert pending(forgetkit) == [
        "gone  due 2026-11-28, 3 days overdue  not answered",
        "soon  due 2026-12-08, 7 days left  not answered",
        "r1  due 2026-12-31, 30 days left  not answered",
        "late  due 2027-02-01, 62 days left  not answered",
        "none  not answered",
    ]
    ran = forgetkit("requests", "pending", "--overdue", *BOOK)
    assert (ran.code, ran.lines) == (1, ["gone  due 2026-11-28, 3 days overdue  not answered"])
    assert forgetkit("requests", "close", "gone", "--reason", "withdrawn", "--by", "ann", *BOOK).code == 0
    assert forgetkit("requests", "pending", "--overdue", *BOOK).code == 0
    (done,) = forgetkit("requests", "done", *BOOK, "--json").json["requests"]
    assert (done["audit"]["who"], done["audit"]["reason"]) == ("ann", "withdrawn")


def test_what_was_said_of_a_request_is_kept_and_can_be_added_to(forgetkit: Run, added: Path) -> None:
    again = forgetkit("requests", "add", "r1", *LIST, "--due", "2027-01-31", *BOOK, "--json")
    assert (again.code, again.json["new"]) == (0, False)
    (entry,) = forgetkit("requests", "log", *BOOK, "--json").json["requests"]
    said = {name: entry[name] for name in ("received", "due", "subject", "channel")}
    assert said == {"received": "2026-11-30", "due": "2027-01-31", "subject": "p-118", "channel": "e-mail"}
    assert [one["file"] for one in entry["models"]] == ["model.st"]


@pytest.mark.parametrize("subject", ["ann@example.org", "Ann Lee"])
def test_a_subject_that_looks_like_a_person_is_warned_of(forgetkit: Run, added: Path, subject: str) -> None:
    ran = forgetkit("requests", "add", "r2", *LIST, "--subject", subject, *BOOK)
    assert (ran.code, "give a pseudonym" in ran.err) == (0, True)


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--due", "soon", "no deadline"),
        ("--received", "30.11.2026", "no day"),
        ("--due", "2020-01-01", "before"),
        ("--subject", "\n", "printable"),
        ("--model", "none.st", "none.st"),
    ],
)
def test_bad_details_are_refused_before_anything_is_entered(
    forgetkit: Run, added: Path, option: str, value: str, words: str
) -> None:
    ran = forgetkit("requests", "add", "r2", *LIST, option, value, *BOOK)
    assert (ran.code, words in ran.err, len(entries(added / "b.db"))) == (2, True, 1)


def test_a_book_of_version_2_is_read_on(forgetkit: Run, added: Path) -> None:
    with sqlite3.connect(added / "b.db") as rows:
        for table in ("described", "concerned", "open_ends"):
            rows.execute(f"DROP TABLE {table}")
        rows.execute("ALTER TABLE audited DROP COLUMN who")
        rows.execute("PRAGMA user_version = 2")
    before = (added / "b.db").read_bytes()
    assert pending(forgetkit) == ["r1  not answered"]
    assert (added / "b.db").read_bytes() == before  # reading changes no byte
    assert forgetkit("requests", "add", "r1", *LIST, "--due", "1m", *BOOK).code == 0
    assert pending(forgetkit) == ["r1  due 2027-01-01, 31 days left  not answered"]


def test_ten_thousand_requests_are_read_by_few_queries(tmp_path: Path) -> None:
    add(tmp_path / "b.db", "first", ["1"])
    with sqlite3.connect(tmp_path / "b.db") as rows:
        row = rows.execute("SELECT count, keys, at FROM accepted").fetchone()
        rows.executemany("INSERT INTO accepted VALUES (?, ?, ?, ?)", [(f"r{n}", *row) for n in range(9_999)])
    asked: list[str] = []
    connect = sqlite3.connect

    def counting(*given: object, **named: object) -> sqlite3.Connection:
        found = connect(*given, **named)  # type: ignore[arg-type, call-overload]
        found.set_trace_callback(asked.append)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite3, "connect", counting)
        assert len(entries(tmp_path / "b.db")) == 10_000
    assert len(asked) < 20


def test_open_ends_are_found_settled_and_found_again(forgetkit: Run, added: Path) -> None:
    search = ("requests", "open-ends", "r1", *LIST, *BOOK)
    found = forgetkit(*search, ".")
    assert (found.code, found.lines) == (
        1,
        ["open  model.st  a checkpoint that holds 30 of the ids", "open  ids.txt  the list of the 30 ids"],
    )
    assert forgetkit(*search, ".", "--json").json["entered"] == 0  # nothing new
    assert pending(forgetkit)[0].endswith("not answered, 2 open ends")
    waived = forgetkit("requests", "open-ends", "r1", "--waive", "ids*", "--reason", "kept in the vault", *BOOK)
    assert waived.lines[1] == "waived  ids.txt  the list of the 30 ids: kept in the vault"
    (added / "model.st").rename(added / "moved.st")
    after = forgetkit(*search, ".")
    assert after.lines[0] == "done  model.st  a checkpoint that holds 30 of the ids: holds none of the ids any more"
    assert after.lines[2] == "open  moved.st  a checkpoint that holds 30 of the ids"
    (added / "moved.st").rename(added / "model.st")
    again = {one["place"]: one["state"] for one in forgetkit(*search, ".", "--json").json["open_ends"]}
    assert again == {"model.st": "open", "ids.txt": "waived", "moved.st": "done"}


def test_a_request_that_is_done_stays_pending_until_its_ends_are_dealt_with(forgetkit: Run, added: Path) -> None:
    assert forgetkit("requests", "close", "r1", "--reason", "withdrawn", *BOOK).code == 0
    assert pending(forgetkit) == []
    assert forgetkit("requests", "open-ends", "r1", *LIST, *BOOK, ".").code == 1
    assert pending(forgetkit) == ["r1  not audited, accepted: withdrawn, 2 open ends"]
    assert pending(forgetkit, "--overdue") == []
    given = ("--done", "model.st", "--waive", "ids.txt", "--reason", "deleted", *BOOK)
    assert forgetkit("requests", "open-ends", "r1", *given).code == 0
    assert pending(forgetkit) == []


def test_what_cannot_be_known_is_an_open_end_too(forgetkit: Run, added: Path) -> None:
    assert forgetkit("export", "model.st", "--strip", "-o", "out/plain.st").code == 0
    (added / "out" / "broken.st").write_bytes(b"\x00")
    lines = forgetkit("requests", "open-ends", "r1", *LIST, *BOOK, "out").lines
    assert lines[1].startswith("open  out/plain.st  may hold them: no forgetkit record")
    assert lines[0].startswith("open  out/broken.st  cannot be read")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--ids", "ids.txt"), "and places"),
        ((".",), "the ID list"),
        (("--ids", "other.txt", "."), "other ids"),
        (("--waive", "ids.txt"), "need a reason"),
        (("--reason", "deleted"), "belongs to --done or --waive"),
        (("--done", "nothing", "--reason", "deleted"), "names no open end"),
    ],
)
def test_a_search_that_makes_no_sense_enters_nothing(
    forgetkit: Run, added: Path, given: tuple[str, ...], words: str
) -> None:
    (added / "other.txt").write_text("1\n2\n")
    ran = forgetkit("requests", "open-ends", "r1", *given, *BOOK)
    assert (ran.code, words in ran.err) == (2, True)
    assert entries(added / "b.db")[0].open_ends == ()


def test_a_dry_run_enters_nothing(forgetkit: Run, added: Path) -> None:
    assert forgetkit("requests", "open-ends", "r1", *LIST, *BOOK, ".", "--dry-run").code == 0
    assert entries(added / "b.db")[0].open_ends == ()


def test_open_ends_in_the_cache_are_those_of_the_same_data() -> None:
    from forgetkit.request_book.open_ends import OpenEnd, below, changes

    assert below("cache:a.pack", ["models"])
    assert [below(place, ["models/", "one.st"]) for place in ("models/a.st", "one.st", "other/a.st")] == [
        True,
        True,
        False,
    ]
    known = [OpenEnd("cache:a.pack", "decoded images"), OpenEnd("far/b.st", "a checkpoint")]
    assert [(one.place, one.state) for one in changes(known, [], ["models"])] == [("cache:a.pack", "done")]


def test_rows_of_the_new_tables_are_never_changed(added: Path) -> None:
    with sqlite3.connect(added / "b.db") as rows, pytest.raises(sqlite3.IntegrityError, match="never changed"):
        rows.execute("UPDATE described SET due = NULL")
    assert json.dumps(entries(added / "b.db")[0].to_json())
