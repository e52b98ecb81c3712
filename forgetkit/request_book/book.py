"""The request book: the requests to forget that were accepted, the checkpoints that answered them, and their audits.

Rows are added and never changed. A request is accepted once its row is on the disk, answered once a published
checkpoint is entered for it, and done once an audit closes it; until then it is pending, whatever happens to the
process that works on it. Ids are kept as keyed digests.
"""

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from forgetkit.errors import ForgetkitError, shorten
from forgetkit.files.id_digests import KeySet
from forgetkit.files.record import Record
from forgetkit.request_book.book_file import opened
from forgetkit.request_book.entries import Answer, BookedAudit, Entry, entries_of, entry_of


@dataclass(frozen=True)
class Booking:
    """A request that a step or an audit works on.

    Attributes:
        book: path of the book.
        request: its name there.
    """

    book: Path
    request: str

    @property
    def name(self) -> str:
        """Book and request, for messages."""
        return f"{self.book}: request '{shorten(self.request)}'"

    def asked(self) -> KeySet:
        """Return the ids of the request; raises ForgetkitError ``request-unknown``."""
        with opened(self.book) as (rows, salt):
            found = rows.execute("SELECT keys FROM accepted WHERE request = ?", [self.request]).fetchone()
        if found is None:
            hint = f"forgetkit requests add {self.request} --ids FILE --book {self.book}"
            raise ForgetkitError("request-unknown", f"{self.book}: there is no request '{shorten(self.request)}'", hint)
        return KeySet(salt, np.frombuffer(found[0], dtype=">u8").astype(np.uint64))

    def check(self, ids: list[str]) -> None:
        """Refuse a request that is not in the book, or was accepted with other ids.

        Raises:
            ForgetkitError: ``request-unknown`` or ``request-differs``.
        """
        asked = self.asked()
        if asked != KeySet.of(ids, asked.salt):
            message = f"{self.name} was accepted with other ids"
            raise ForgetkitError("request-differs", message, "give the list that it was added with")

    def check_open(self, *, again: bool) -> None:
        """Refuse to answer a request that is done, or whose answer was not audited yet.

        Args:
            again: whether to answer it again in the latter case.

        Raises:
            ForgetkitError: ``request-done`` or ``request-answered``.
        """
        with opened(self.book) as (rows, _):
            entry = entry_of(rows, self.request)
        if entry.done:
            message = f"{self.name} is done: {entry.standing}"
            raise ForgetkitError("request-done", message, "requests are not repeated: use that file")
        if not _takes(entry, again=again):
            message = f"{self.name} was answered by {entry.answer}, which was not audited yet"
            hint = f"forgetkit audit FILE --request {self.request} --book {self.book}; --force answers it again"
            raise ForgetkitError("request-answered", message, hint)

    def answer(self, path: Path, record: Record, *, again: bool = False) -> None:
        """Enter the checkpoint that answers the request, which is on the disk.

        A request that is done keeps its answer, and so does one whose answer was not audited yet, unless ``again``.
        """
        with opened(self.book, write=True) as (rows, _):
            entry = entry_of(rows, self.request)
            if not _takes(entry, again=again) or (entry.answer and entry.answer.digest == record.digest):
                return
            last = record.steps[-1] if record.steps else None
            parent = last and (last.parent or last.options.get("like"))
            name = path.name.encode(errors="replace").decode()  # of any bytes
            row = [self.request, name, last and last.command, record.digest, parent, now()]
            rows.execute("INSERT INTO answered VALUES (?, ?, ?, ?, ?, ?)", row)

    def check_answered(self, record: Record) -> None:
        """Refuse to audit a model that neither answered the request nor descends from the one that did.

        Raises:
            ForgetkitError: ``request-unanswered`` or ``checkpoint-mismatch``.
        """
        with opened(self.book) as (rows, _):
            self._answer_of(rows, record)

    def judge(
        self,
        record: Record,
        verdict: str,
        criterion: str,
        *,
        closes: bool,
        reason: str | None,
        policy: str | None = None,
        who: str | None = None,
    ) -> Entry:
        """Enter an audit of ``record``'s model; return the request as it was before, which stays so if it is done.

        Args:
            record: of the model under audit.
            verdict: of the audit.
            criterion: by which it judged.
            closes: whether it closes the request.
            reason: why, if not by the verdict alone.
            policy: SHA-256 of the file with its rules, if there was one.
            who: who closes it, for the book.

        Raises:
            ForgetkitError: as :meth:`check_answered`.
        """
        with opened(self.book, write=True) as (rows, _):
            entry, answer = self._answer_of(rows, record)
            if not entry.done:
                models = answer.digest, record.digest
                audit = BookedAudit(closes, *models, verdict, criterion, policy, reason, now(), who)
                _enter(rows, self.request, audit)
            return entry

    def close_without_audit(self, reason: str, who: str | None = None) -> bool:
        """Close a request on somebody's word, as where it was withdrawn, or no model was trained on its ids.

        Returns:
            whether it was open.
        """
        self.asked()
        with opened(self.book, write=True) as (rows, _):
            entry = entry_of(rows, self.request)
            if not entry.done:
                answer = entry.answer.digest if entry.answer else None
                _enter(rows, self.request, BookedAudit(True, answer, answer, None, None, None, reason, now(), who))
            return not entry.done

    def _answer_of(self, rows: sqlite3.Connection, record: Record) -> tuple[Entry, Answer]:
        """Return the request and its answer, from which the model of ``record`` descends."""
        entry = entry_of(rows, self.request)
        if entry.answer is None:
            hint = f"repeat the step with --request {self.request} --book {self.book}: it enters what it wrote"
            raise ForgetkitError("request-unanswered", f"{self.name} was not answered yet", hint)
        if entry.answer.digest not in _line(rows, record):
            message = f"{self.name} was answered by {entry.answer}, from which this model does not descend"
            raise ForgetkitError("checkpoint-mismatch", message, "audit that file, or a later one of the same stream")
        return entry, entry.answer


@dataclass(frozen=True)
class OpenBooking(Booking):
    """A request that is answered later: what a step publishes is not all that it asks for."""

    def answer(self, path: Path, record: Record, *, again: bool = False) -> None:
        """Enter nothing."""


def booking_of(request: str | None, book: str | None) -> Booking | None:
    """Return the request in a book that a command works on, if any.

    Raises:
        ForgetkitError: ``usage`` for a request without a book, or the other way round.
    """
    if (request is None) != (book is None):
        example = "for example: --request case-7 --book requests.db"
        raise ForgetkitError("usage", "--request and --book go together", example)
    return None if request is None or book is None else Booking(Path(book), request)


def add(book: Path, request: str, ids: list[str]) -> bool:
    """Accept a request; return whether it is new. It is on the disk when this returns.

    Raises:
        ForgetkitError: ``request-differs`` where it was accepted with other ids; as :func:`.book_file.opened`.
    """
    with opened(book, make=True, write=True) as (rows, salt):
        keys = KeySet.of(ids, salt).keys.astype(">u8").tobytes()
        row = [request, len(keys) // 8, keys, now()]
        if rows.execute("INSERT OR IGNORE INTO accepted VALUES (?, ?, ?, ?)", row).rowcount:
            return True
    Booking(book, request).check(ids)
    return False


def entries(book: Path) -> list[Entry]:
    """Return every request in the order of acceptance."""
    with opened(book) as (rows, _):
        return entries_of(rows)


def _takes(entry: Entry, *, again: bool) -> bool:
    """Say whether a request takes an answer: it has none, or one that an audit has not let pass; or ``again``."""
    return not entry.done and (again or entry.answer is None or entry.audit is not None)


def _line(rows: sqlite3.Connection, record: Record) -> set[str]:
    """Return the digests of a model and of all that it descends from: by its steps, and by the retrainings booked."""
    parents = dict(rows.execute("SELECT digest, parent FROM answered WHERE parent IS NOT NULL"))
    found: set[str] = set()
    new = {record.digest, *(step.parent for step in record.steps if step.parent)}
    while new:
        found |= new
        new = {parents[digest] for digest in new if digest in parents} - found
    return found


def _enter(rows: sqlite3.Connection, request: str, audit: BookedAudit) -> None:
    rows.execute("INSERT INTO audited VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", [request, *vars(audit).values()])


def now() -> str:
    """Return the time as a book holds it, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
