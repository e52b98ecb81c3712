"""What a book says of a request besides its ids: deadline, person, models concerned, open ends."""

from collections.abc import Sequence
from dataclasses import astuple, fields, replace

from forgetkit.request_book.book import Booking, now
from forgetkit.request_book.book_file import opened
from forgetkit.request_book.deadline import Details
from forgetkit.request_book.entries import Entry, entry_of
from forgetkit.request_book.open_ends import OpenEnd


def describe(booking: Booking, details: Details, models: Sequence[tuple[str, str]] = ()) -> None:
    """Enter what is known of a request; what is None stays as it was.

    Args:
        booking: the request.
        details: what was given.
        models: file name and digest of the models that it concerns, beside those that were entered before.
    """
    with opened(booking.book, write=True) as (rows, _):
        entry = entry_of(rows, booking.request)
        given = {one.name: getattr(details, one.name) for one in fields(details)}
        updated = replace(entry.details, **{name: value for name, value in given.items() if value is not None})
        if updated != entry.details:
            row = [booking.request, *astuple(replace(updated, at=now()))]
            rows.execute("INSERT INTO described VALUES (?, ?, ?, ?, ?, ?)", row)
        known = {one.digest for one in entry.models}
        for file, digest in models:
            if digest not in known:
                rows.execute("INSERT INTO concerned VALUES (?, ?, ?, ?)", [booking.request, file, digest, now()])


def enter_open_ends(booking: Booking, ends: Sequence[OpenEnd]) -> None:
    """Enter open ends, or that they were dealt with: the last entry of a place counts."""
    with opened(booking.book, write=True) as (rows, _):
        for one in ends:
            row = [booking.request, *astuple(replace(one, at=now()))]
            rows.execute("INSERT INTO open_ends VALUES (?, ?, ?, ?, ?, ?)", row)


def find_entry(booking: Booking) -> Entry:
    """Return a request; raises ForgetkitError ``request-unknown``."""
    booking.asked()
    with opened(booking.book) as (rows, _):
        return entry_of(rows, booking.request)
