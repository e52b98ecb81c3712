"""The request book: the requests to forget that were accepted, and the checkpoint published for each. One SQLite file.

Rows are added and never changed. A request is accepted once its row is on the disk, and done once a published
checkpoint is entered for it; in between it is pending, whatever happens to the process that works on it. Ids are kept
as keyed digests.
"""

import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from forgetkit.errors import ForgetkitError, shorten
from forgetkit.files.id_digests import KeySet

_TABLES = """
CREATE TABLE book (salt TEXT NOT NULL);
CREATE TABLE accepted (
    request TEXT PRIMARY KEY NOT NULL, count INTEGER NOT NULL, keys BLOB NOT NULL, at TEXT NOT NULL);
CREATE TABLE published (
    request TEXT PRIMARY KEY NOT NULL REFERENCES accepted, command TEXT NOT NULL, digest TEXT NOT NULL,
    at TEXT NOT NULL);
"""
_NEVER = "CREATE TRIGGER {0}_{1} BEFORE {1} ON {0} BEGIN SELECT RAISE(ABORT, 'rows of a book are never changed'); END;"


@dataclass(frozen=True)
class Entry:
    """A request: number of ids, time of acceptance, and command, digest and time of the published checkpoint."""

    request: str
    count: int
    accepted: str
    command: str | None
    digest: str | None
    published: str | None


@dataclass(frozen=True)
class Booking:
    """A request that a step works on.

    Attributes:
        book: path of the book.
        request: its name there.
    """

    book: Path
    request: str

    def check(self, ids: list[str]) -> None:
        """Refuse a request that is not in the book, or was accepted with other ids.

        Raises:
            ForgetkitError: ``request-unknown`` or ``request-differs``.
        """
        with opened(self.book) as (rows, salt):
            found = rows.execute("SELECT keys FROM accepted WHERE request = ?", [self.request]).fetchone()
        if found is None:
            hint = f"forgetkit requests add {self.request} --ids FILE --book {self.book}"
            raise ForgetkitError("request-unknown", f"{self.book}: there is no request '{shorten(self.request)}'", hint)
        if found[0] != _keys(ids, salt):
            message = f"request '{shorten(self.request)}' was accepted with other ids"
            raise ForgetkitError("request-differs", f"{self.book}: {message}", "give the list that it was added with")

    def check_open(self) -> None:
        """Refuse a request for which a checkpoint was published; raises ForgetkitError ``request-done``."""
        with opened(self.book) as (rows, _):
            found = rows.execute("SELECT digest FROM published WHERE request = ?", [self.request]).fetchone()
        if found:
            message = f"request '{shorten(self.request)}' is done: sha256:{found[0][:16]} was published"
            raise ForgetkitError("request-done", f"{self.book}: {message}", "requests are not repeated: use that file")

    def publish(self, command: str, digest: str) -> None:
        """Enter the published checkpoint, which is on the disk; a request that has an entry keeps it."""
        with opened(self.book) as (rows, _):
            row = [self.request, command, digest, _now()]
            rows.execute("INSERT OR IGNORE INTO published VALUES (?, ?, ?, ?)", row)


@dataclass(frozen=True)
class OpenBooking(Booking):
    """A request that is closed later: what a step publishes is not all that it asks for."""

    def publish(self, command: str, digest: str) -> None:
        """Enter nothing."""


def add(book: Path, request: str, ids: list[str]) -> bool:
    """Accept a request; return whether it is new. It is on the disk when this returns.

    Raises:
        ForgetkitError: ``request-differs`` where it was accepted with other ids; as :func:`opened`.
    """
    with opened(book, make=True) as (rows, salt):
        keys = _keys(ids, salt)
        row = [request, len(keys) // 8, keys, _now()]
        if rows.execute("INSERT OR IGNORE INTO accepted VALUES (?, ?, ?, ?)", row).rowcount:
            return True
    Booking(book, request).check(ids)
    return False


def entries(book: Path) -> list[Entry]:
    """Return every request in the order of acceptance."""
    with opened(book) as (rows, _):
        found = rows.execute(
            "SELECT request, count, accepted.at, command, digest, published.at"
            " FROM accepted LEFT JOIN published USING (request) ORDER BY accepted.rowid"
        )
        return [Entry(*row) for row in found]


@contextmanager
def opened(book: Path, *, make: bool = False) -> Iterator[tuple[sqlite3.Connection, str]]:
    """Open a book for one transaction, which is on the disk when the context ends.

    Yields:
        the connection, and the key of its digests.

    Raises:
        ForgetkitError: ``book-missing``, ``book-malformed``, ``output-unwritable`` or ``out-of-space``.
    """
    if not make and not book.is_file():
        raise ForgetkitError("book-missing", f"{book}: no request book", "forgetkit requests add makes one")
    try:
        if make:
            book.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(book, timeout=60.0, isolation_level=None)) as rows:
            rows.execute("PRAGMA synchronous = EXTRA")
            rows.execute("PRAGMA foreign_keys = ON")
            rows.execute("BEGIN IMMEDIATE")
            if make and not rows.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                _make(rows)
            (salt,) = rows.execute("SELECT salt FROM book").fetchone()
            yield rows, salt
            rows.execute("COMMIT")
    except sqlite3.OperationalError as problem:
        full = "full" in str(problem)
        code = "out-of-space" if full else "book-malformed" if "no such" in str(problem) else "output-unwritable"
        raise ForgetkitError(code, f"{book}: {problem}") from problem
    except (sqlite3.DatabaseError, TypeError, ValueError) as problem:
        raise ForgetkitError("book-malformed", f"{book}: not a request book ({problem})") from problem
    except OSError as problem:
        raise ForgetkitError("output-unwritable", f"{book}: {problem.strerror}") from problem


def _make(rows: sqlite3.Connection) -> None:
    for statement in _TABLES.split(";")[:-1]:
        rows.execute(statement)
    for table in ("book", "accepted", "published"):
        for change in ("UPDATE", "DELETE"):
            rows.execute(_NEVER.format(table, change))
    rows.execute("INSERT INTO book VALUES (?)", [secrets.token_hex(32)])


def _keys(ids: list[str], salt: str) -> bytes:
    return KeySet.of(ids, salt).keys.astype(">u8").tobytes()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def document(found: list[Entry]) -> list[dict[str, Any]]:
    """Return requests as JSON values."""
    return [vars(entry) for entry in found]
