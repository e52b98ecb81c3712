"""Closing a request in a book: the audit of the model that answered it decides."""

from dataclasses import dataclass

import numpy as np

from forgetkit.auditing.result import Audited
from forgetkit.auditing.subject import Subject
from forgetkit.errors import ForgetkitError
from forgetkit.events import Note, Tell, Warned
from forgetkit.files.id_digests import KeySet
from forgetkit.files.record import Record
from forgetkit.request_book.book import Booking, booking_of


@dataclass(frozen=True)
class Closing:
    """A request that an audit closes.

    Attributes:
        booking: the request.
        asked: its ids, as keyed digests.
        accept: why to close it whatever the verdict is; None to leave it pending unless that passes.
        who: who closes it, for the book.
    """

    booking: Booking
    asked: KeySet
    accept: str | None = None
    who: str | None = None

    def check(self, subject: Subject) -> None:
        """Refuse to audit another model than the one that answered the request, or other ids than its.

        Args:
            subject: what is audited: a model that answered the request, or descends from the one that did. A request
                of a stream may so be closed with the last model, which is the one in use.

        Raises:
            ForgetkitError: ``request-unanswered``, ``checkpoint-mismatch``, ``request-differs``, ``ids-gone``.
        """
        booking, ids = self.booking, subject.dataset.train.ids
        booking.check_answered(subject.record)
        there = self.asked.contains(ids)
        rows = np.flatnonzero(there & subject.record.was_trained(ids))
        if not np.array_equal(np.setdiff1d(rows, subject.canaries.rows if subject.canaries else []), subject.rows):
            hint = "leave --ids out: the ids are those of the request"
            raise ForgetkitError("request-differs", f"{booking.name} was accepted with other ids", hint)
        if not subject.named:
            message = f"{subject.path}: the record does not name all ids of request '{booking.request}' as forgotten"
            raise ForgetkitError("checkpoint-mismatch", message, "audit the model that answered it")
        gone = len(self.asked) - int(there.sum()) - int(self.asked.contains(list(subject.dataset.held_out)).sum())
        if gone and self.accept is None:
            message = f"{booking.name}: {gone} of its {len(self.asked)} ids are no longer in the data"
            hint = "audit it on a copy of the data that still has them, or close it with --accept REASON"
            raise ForgetkitError("ids-gone", f"{message}, so no audit covers them", hint)

    def close(self, audited: Audited, record: Record, tell: Tell) -> None:
        """Enter the audit of ``record``'s model into the book: the request is done if it passed, or ``accept`` says so.

        An inconclusive verdict closes it if the policy lets that pass. The book names the policy, if there was one.
        """
        policy, reason = audited.report["policy"], self.accept
        if audited.exit_code == 0 and audited.verdict != "forgotten":
            reason = reason or "the policy lets it pass"
        closes = audited.verdict == "forgotten" or reason is not None
        before = self.booking.judge(
            record,
            audited.verdict,
            policy["criterion"],
            closes=closes,
            reason=reason,
            policy=policy["sha256"],
            who=self.who if closes else None,
        )
        name = f"request {self.booking.request}"
        if before.done:
            tell(Note(f"{name} was done before this audit, and stays done: {before.standing}"))
        elif closes:
            tell(Note(f"{name} is done: {audited.verdict}" + (f", accepted: {reason}" if reason else "")))
        else:
            cure = "audit it with more evidence, answer it again, or close it with --accept REASON"
            tell(Warned("request-pending", f"{name} stays pending, as the verdict is {audited.verdict}: {cure}"))


def closing_of(request: str | None, book: str | None, accept: str | None, who: str | None = None) -> Closing | None:
    """Return the request that an audit closes, if any.

    Raises:
        ForgetkitError: ``usage`` for options that need each other, or a reason without words; ``request-unknown``.
    """
    if accept is not None and not (accept.strip() and accept.isprintable()):
        raise ForgetkitError("usage", "a reason in printable characters is needed", "say why", option="accept")
    booking = booking_of(request, book)
    if booking is None:
        hint = "name the request: --request case-7 --book requests.db"
        for option, given, does in (("by", who, "says who closes"), ("accept", accept, "closes")):
            if given is not None:
                raise ForgetkitError("usage", f"it {does} a request, and none is given", hint, option=option)
        return None
    return Closing(booking, booking.asked(), accept, who)
