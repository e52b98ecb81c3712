"""The file of a request book: one SQLite database, to which rows are only added.

Version 3 has deadlines, the models concerned and open ends. Version 2 had answers and audits. Version 1 had one row for
a request that was done, which was when a step had published a checkpoint for it: those requests stay done.
"""

import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from forgetkit.errors import ForgetkitError

VERSION = 3
BEFORE_AUDITS = "an earlier version of forgetkit closed requests when they were answered"
"""Why a request of version 1 is done, although the book has no audit of it."""
_FIRST = """
CREATE TABLE book (salt TEXT NOT NULL);
CREATE TABLE accepted (
    request TEXT PRIMARY KEY NOT NULL, count INTEGER NOT NULL, keys BLOB NOT NULL, at TEXT NOT NULL);
"""
_SECOND = """
CREATE TABLE answered (
    request TEXT NOT NULL REFERENCES accepted, file TEXT, command TEXT, digest TEXT NOT NULL, parent TEXT,
    at TEXT NOT NULL);
CREATE TABLE audited (
    request TEXT NOT NULL REFERENCES accepted, closes INTEGER NOT NULL, answer TEXT, digest TEXT,
    verdict TEXT, criterion TEXT, policy TEXT, reason TEXT, at TEXT NOT NULL);
CREATE INDEX answers ON answered (request);
CREATE INDEX audits ON audited (request);
CREATE UNIQUE INDEX closed_once ON audited (request) WHERE closes;
"""
_THIRD = """
CREATE TABLE described (
    request TEXT NOT NULL REFERENCES accepted, received TEXT, due TEXT, subject TEXT, channel TEXT, at TEXT NOT NULL);
CREATE TABLE concerned (
    request TEXT NOT NULL REFERENCES accepted, file TEXT NOT NULL, digest TEXT NOT NULL, at TEXT NOT NULL);
CREATE TABLE open_ends (
    request TEXT NOT NULL REFERENCES accepted, place TEXT NOT NULL, what TEXT NOT NULL, state TEXT NOT NULL,
    reason TEXT, at TEXT NOT NULL);
CREATE INDEX descriptions ON described (request);
CREATE INDEX models ON concerned (request);
CREATE INDEX ends ON open_ends (request);
ALTER TABLE audited ADD COLUMN who TEXT;
"""
TABLES = {
    _FIRST: ("book", "accepted"),
    _SECOND: ("answered", "audited"),
    _THIRD: ("described", "concerned", "open_ends"),
}
_ANSWER = "INSERT INTO answered SELECT request, NULL, command, digest, NULL, at FROM published ORDER BY rowid"
_CLOSE = "INSERT INTO audited SELECT request, 1, digest, digest, NULL, NULL, NULL, ?, at FROM published ORDER BY rowid"
_NEVER = "CREATE TRIGGER {0}_{1} BEFORE {1} ON {0} BEGIN SELECT RAISE(ABORT, 'rows of a book are never changed'); END"


@contextmanager
def opened(book: Path, *, make: bool = False, write: bool = False) -> Iterator[tuple[sqlite3.Connection, str]]:
    """Open a book for one transaction.

    Args:
        book: its path.
        make: whether to make a book where there is none.
        write: whether to keep what is written; it is on the disk when the context ends. Otherwise the file stays as it
            is.

    Yields:
        the connection, and the key of its digests.

    Raises:
        ForgetkitError: ``book-missing``, ``book-malformed``, ``output-unwritable`` or ``out-of-space``.
    """
    if not make and not book.is_file():
        hint = f"make one with its first request: forgetkit requests add NAME --ids FILE --book {book}"
        raise ForgetkitError("book-missing", f"{book}: no request book", hint)
    try:
        if make:
            book.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(book, timeout=60.0, isolation_level=None)) as rows:
            rows.execute("PRAGMA synchronous = EXTRA")
            rows.execute("PRAGMA foreign_keys = ON")
            rows.execute("BEGIN IMMEDIATE")
            if make and not rows.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                _make(rows)
            _upgrade(rows, book)
            (salt,) = rows.execute("SELECT salt FROM book").fetchone()
            yield rows, salt
            rows.execute("COMMIT" if write else "ROLLBACK")
    except sqlite3.OperationalError as problem:
        if "no such" in str(problem):
            raise ForgetkitError("book-malformed", f"{book}: not a request book ({problem})") from problem
        code = "out-of-space" if "full" in str(problem) else "output-unwritable"
        raise ForgetkitError(code, f"{book}: {problem}") from problem
    except (sqlite3.DatabaseError, TypeError, ValueError) as problem:
        raise ForgetkitError("book-malformed", f"{book}: not a request book ({problem})") from problem
    except OSError as problem:
        raise ForgetkitError("output-unwritable", f"{book}: {problem.strerror}") from problem


def _make(rows: sqlite3.Connection) -> None:
    """Make an empty book."""
    for tables, names in TABLES.items():
        _add(rows, tables, names)
    rows.execute("INSERT INTO book VALUES (?)", [secrets.token_hex(32)])
    rows.execute(f"PRAGMA user_version = {VERSION}")


def _upgrade(rows: sqlite3.Connection, book: Path) -> None:
    """Bring a book to this version: what is done stays done. The file of version 1 says 0."""
    (version,) = rows.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        message = f"{book}: a book of version {version}, this forgetkit reads {VERSION} and earlier"
        hint = "use the version of forgetkit that wrote it last, or a later one"
        raise ForgetkitError("book-malformed", message, hint)
    if version < 2:
        rows.execute("SELECT request, command, digest, at FROM published LIMIT 0")  # raises where it is no book at all
        _add(rows, _SECOND, TABLES[_SECOND])
        rows.execute(_ANSWER)
        rows.execute(_CLOSE, [BEFORE_AUDITS])
        rows.execute("DROP TABLE published")  # so that version 1 refuses the book: it would misread the answers
    if version < 3:
        _add(rows, _THIRD, TABLES[_THIRD])
        rows.execute(f"PRAGMA user_version = {VERSION}")


def _add(rows: sqlite3.Connection, tables: str, names: tuple[str, ...]) -> None:
    """Add tables whose rows can never be changed."""
    for statement in tables.split(";")[:-1]:
        rows.execute(statement)
    for name in names:
        for change in ("UPDATE", "DELETE"):
            rows.execute(_NEVER.format(name, change))
