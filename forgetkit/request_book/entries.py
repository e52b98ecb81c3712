"""What a request book says: each request with its answers and its audits."""

import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from forgetkit.request_book.deadline import Details
from forgetkit.request_book.open_ends import OpenEnd

T = TypeVar("T")
NOTHING = Details()


@dataclass(frozen=True)
class Answer:
    """A checkpoint that a step published for a request.

    Attributes:
        file: its name, without folders; None in a book of version 1.
        command: the command that made it.
        digest: its digest.
        parent: digest of the checkpoint that it was made from, or retrained like.
        at: when it was entered.
    """

    file: str | None
    command: str | None
    digest: str
    parent: str | None
    at: str

    def __str__(self) -> str:
        short = f"sha256:{self.digest[:16]}"
        return f"{self.file} ({short})" if self.file else short


@dataclass(frozen=True)
class BookedAudit:
    """An audit about the ids of a request, or a person's word instead of one.

    Attributes:
        closes: whether the request is done with it.
        answer: digest of the answer; None if it has none.
        digest: that of the model under audit: the answer, or one that descends from it; None without an answer.
        verdict: of the audit; None without an audit.
        criterion: by which it judged.
        policy: SHA-256 of the file with its rules; None without one.
        reason: why the request is closed, if it was not the verdict alone that closed it.
        at: when it was entered.
        who: who closed it, if that was said.
    """

    closes: bool
    answer: str | None
    digest: str | None
    verdict: str | None
    criterion: str | None
    policy: str | None
    reason: str | None
    at: str
    who: str | None = None

    def __str__(self) -> str:
        rules = f"{self.criterion}, policy sha256:{self.policy[:16]}" if self.policy else self.criterion
        verdict = f"{self.verdict} ({rules})" if self.verdict else "not audited"
        return f"{verdict}, accepted: {self.reason}" if self.reason else verdict


@dataclass(frozen=True)
class Concerned:
    """A model that a request is about: name of its file without folders, its digest, and when it was entered."""

    file: str
    digest: str
    at: str


@dataclass(frozen=True)
class Entry:
    """A request: number of ids, time of acceptance, its answers and its audits, oldest first.

    ``details`` is what was said of it last, ``models`` those it concerns, ``open_ends`` the last entry of each place.
    """

    request: str
    count: int
    accepted: str
    answers: tuple[Answer, ...]
    audits: tuple[BookedAudit, ...]
    details: Details = NOTHING
    models: tuple[Concerned, ...] = ()
    open_ends: tuple[OpenEnd, ...] = ()

    @property
    def waiting(self) -> list[OpenEnd]:
        """The open ends that nobody has dealt with."""
        return [one for one in self.open_ends if one.state == "open"]

    @property
    def answer(self) -> Answer | None:
        """The answer that counts, the last one."""
        return self.answers[-1] if self.answers else None

    @property
    def done(self) -> BookedAudit | None:
        """The audit that closed it."""
        return next((audit for audit in self.audits if audit.closes), None)

    @property
    def audit(self) -> BookedAudit | None:
        """The audit that counts: the one that closed it, or the last of the answer that counts."""
        of_answer = [audit for audit in self.audits if self.answer and audit.answer == self.answer.digest]
        return self.done or (of_answer[-1] if of_answer else None)

    @property
    def digest(self) -> str | None:
        """Digest of the answer; None without one."""
        return self.answer.digest if self.answer else None

    @property
    def state(self) -> str:
        """``accepted``, ``answered`` or ``done``."""
        return "done" if self.done else "answered" if self.answers else "accepted"

    @property
    def since(self) -> str:
        """Time of the last entry."""
        times = [self.accepted, self.details.at or "", *(one.at for one in self.answers)]
        times += [*(one.at for one in self.audits), *(one.at for one in self.models)]
        return max([*times, *(one.at for one in self.open_ends)])

    @property
    def standing(self) -> str:
        """What was done, and what is missing, in words."""
        if self.done:
            return f"sha256:{self.done.digest[:16]}  {self.done}" if self.done.digest else str(self.done)
        if self.answer is None:
            return "not answered"
        return f"answered by {self.answer}, {f'audit: {self.audit}' if self.audit else 'not audited'}"

    @property
    def summary(self) -> str:
        """The standing, and how many open ends there are."""
        count = len(self.waiting)
        return self.standing + (f", {count} open end{'' if count == 1 else 's'}" if count else "")

    def to_json(self) -> dict[str, Any]:
        """Return the request as JSON values; ``command``, ``digest`` and ``answered`` are of the answer that counts."""
        answer, audit = self.answer, self.audit
        return {
            **{name: getattr(self, name) for name in ("request", "count", "accepted", "state", "digest")},
            "command": answer and answer.command,
            "answered": answer and answer.at,
            "audit": audit and asdict(audit),
            "answers": [asdict(one) for one in self.answers],
            "audits": [asdict(one) for one in self.audits],
            **{name: getattr(self.details, name) for name in ("received", "due", "subject", "channel")},
            "models": [asdict(one) for one in self.models],
            "open_ends": [asdict(one) for one in self.open_ends],
        }


def entry_of(rows: sqlite3.Connection, request: str) -> Entry:
    """Return a request that is in the book."""
    (entry,) = entries_of(rows, request)
    return entry


def entries_of(rows: sqlite3.Connection, request: str | None = None) -> list[Entry]:
    """Return a request, if it is there, or all in the order of acceptance."""
    answers = _listed(rows, request, "answered", "file, command, digest, parent, at", Answer)
    audits = _listed(
        rows, request, "audited", "closes, answer, digest, verdict, criterion, policy, reason, at, who", _audit
    )
    details = _listed(rows, request, "described", "received, due, subject, channel, at", Details)
    models = _listed(rows, request, "concerned", "file, digest, at", Concerned)
    ends = _listed(rows, request, "open_ends", "place, what, state, reason, at", OpenEnd)
    return [
        Entry(
            name,
            count,
            at,
            tuple(answers.get(name, ())),
            tuple(audits.get(name, ())),
            details[name][-1] if name in details else NOTHING,
            tuple(models.get(name, ())),
            tuple({end.place: end for end in ends.get(name, ())}.values()),
        )
        for name, count, at in _read(rows, request, "accepted", "count, at")
    ]


def _audit(closes: int, *rest: Any) -> BookedAudit:  # noqa: ANN401 - the columns of a row
    return BookedAudit(bool(closes), *rest)


def _listed(
    rows: sqlite3.Connection, request: str | None, table: str, columns: str, make: Callable[..., T]
) -> dict[str, list[T]]:
    """Return what the rows of a table say, by request."""
    found: dict[str, list[T]] = {}
    for name, *values in _read(rows, request, table, columns):
        found.setdefault(name, []).append(make(*values))
    return found


def _read(rows: sqlite3.Connection, request: str | None, table: str, columns: str) -> Iterable[tuple[Any, ...]]:
    """Return the columns of a table, the name of the request first, for one request or for all."""
    where, names = ("", []) if request is None else (" WHERE request = ?", [request])
    return rows.execute(f"SELECT request, {columns} FROM {table}{where} ORDER BY rowid", names)
