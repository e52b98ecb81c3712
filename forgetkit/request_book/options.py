"""What the command line asks about a request; without torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

from forgetkit.errors import ForgetkitError
from forgetkit.options import INPUT, ListForm, Option

if TYPE_CHECKING:
    from forgetkit.request_book.book import Booking
    from forgetkit.request_book.deadline import Details
    from forgetkit.request_book.open_ends import OpenEnd


@dataclass(frozen=True)
class Case:
    """What is known of a request besides its ids."""

    received: Annotated[
        str | None, Option("Day on which it came in: 2026-12-31.", metavar="DAY", unset="today", panel=INPUT)
    ] = None
    due: Annotated[
        str | None,
        Option("Day until which it is to be answered, or how long after it came in: 30d, 4w, 1m.", "DAY", panel=INPUT),
    ] = None
    subject: Annotated[str | None, Option("A pseudonym of the person, not a name.", "TEXT", panel=INPUT)] = None
    channel: Annotated[str | None, Option("How it came in: e-mail, letter.", metavar="TEXT", panel=INPUT)] = None
    model: Annotated[
        list[str] | None, Option("A checkpoint that it concerns. Repeat for more.", metavar="FILE", panel=INPUT)
    ] = None

    def details(self) -> "Details":
        """Return what was given, its days as a book holds them; raises ForgetkitError ``usage``."""
        from forgetkit.request_book.deadline import Details, day, due_day, today

        for name in ("subject", "channel"):
            text = getattr(self, name)
            if text is not None and not (text.strip() and text.isprintable()):
                raise ForgetkitError("usage", "printable characters are needed", option=name)
        received = today() if self.received is None else day(self.received, "received")
        due = None if self.due is None else due_day(self.due, received).isoformat()
        return Details(self.received and received.isoformat(), due, self.subject, self.channel)

    def models(self) -> list[tuple[str, str]]:
        """Return file name and digest of each model; raises ForgetkitError where one cannot be read."""
        from forgetkit.files.header import open_checkpoint

        found = [open_checkpoint(name) for name in self.model or []]
        return [(path.name.encode(errors="replace").decode(), record.digest) for path, record in found]


@dataclass(frozen=True, kw_only=True)
class Search(ListForm):
    """Which ids to look for."""

    ids: Annotated[
        list[str],
        Option("ID list of the request. Repeat for more.", metavar="FILE", flags=("--ids", "-i"), panel=INPUT),
    ] = field(default_factory=list)

    def ends(
        self, booking: "Booking", known: "Sequence[OpenEnd]", places: Sequence[str], packs: Mapping[str, str]
    ) -> "list[OpenEnd]":
        """Return what a search adds to the open ends that are known: what it finds, and what it no longer finds.

        Args:
            booking: the request.
            known: its open ends.
            places: where to search.
            packs: the data sets of cached images, by the names of the files.

        Raises:
            ForgetkitError: ``usage`` for lists without places, or the reverse; ``request-differs`` for other ids.
        """
        from forgetkit.request_book.open_ends import changes, found_in

        if not self.ids and not places:
            return []
        if not self.ids or not places:
            message = "a search needs the ID list of the request, and places"
            hint = f"forgetkit requests open-ends {booking.request} --ids ids.txt --book {booking.book} ."
            raise ForgetkitError("usage", message, hint)
        ids = read_all(self.ids, self)
        booking.check(ids)
        lists = [name for name in self.ids if name != "-"]
        return changes(known, found_in(places, ids, lists, packs), [*places, *lists])


@dataclass(frozen=True)
class Settle:
    """What to say of open ends."""

    done: Annotated[
        list[str] | None, Option("Open ends that were dealt with: a place, or a pattern with *.", "PLACE", panel=INPUT)
    ] = None
    waive: Annotated[list[str] | None, Option("Open ends that may stay as they are.", "PLACE", panel=INPUT)] = None
    reason: Annotated[str | None, Option("How, or why, for the book.", metavar="TEXT", panel=INPUT)] = None

    def ends(self, known: "Sequence[OpenEnd]") -> "list[OpenEnd]":
        """Return the open ends that were dealt with.

        Raises:
            ForgetkitError: ``usage`` without a reason, or for a reason alone; ``open-end-unknown``.
        """
        from forgetkit.request_book.open_ends import settled

        chosen = [("done", one) for one in self.done or []] + [("waived", one) for one in self.waive or []]
        reason = (self.reason or "").strip()
        if chosen and not (reason and reason.isprintable()):
            raise ForgetkitError(
                "usage", "--done and --waive need a reason, for the book", 'for example: --reason "deleted"'
            )
        if reason and not chosen:
            raise ForgetkitError("usage", "it belongs to --done or --waive", "name the open ends", option="reason")
        return [end for state, pattern in chosen for end in settled(known, pattern, state, reason)]


def read_all(sources: Sequence[str], form: ListForm) -> list[str]:
    """Return the ids of several lists, each once; raises ForgetkitError as :func:`.id_list.read_ids`."""
    from forgetkit.files.id_list import read_ids

    read = [read_ids(source, column=form.id_column, strict=form.strict) for source in sources]
    return list(dict.fromkeys(id_ for one in read for id_ in one.lines))
