"""Until when a request is to be answered."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from forgetkit.errors import ForgetkitError

_LATER = re.compile(r"([1-9][0-9]{0,3})([dwm])")
HINT = "a day like 2026-12-31, or a time after it was received: 30d, 4w or 1m"


@dataclass(frozen=True)
class Details:
    """What is known of a request besides its ids; None for what was not given.

    Attributes:
        received: day on which it came in, as ``YYYY-MM-DD``.
        due: day until which it is to be answered, likewise.
        subject: a pseudonym of the person whose samples they are.
        channel: how it came in.
        at: when this was entered.
    """

    received: str | None = None
    due: str | None = None
    subject: str | None = None
    channel: str | None = None
    at: str | None = None


def today() -> date:
    """Return today's date, UTC, as the times in a book are."""
    return datetime.now(UTC).date()


def day(text: str, option: str) -> date:
    """Return a day that is written as ``YYYY-MM-DD``.

    Raises:
        ForgetkitError: ``usage``, which names the option.
    """
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        raise ForgetkitError("usage", f"'{text}' is no day", "for example 2026-12-31", option=option) from None


def due_day(text: str, received: date) -> date:
    """Return the day until which a request is to be answered.

    Args:
        text: the day itself, or how long after ``received``: days, weeks or months. A month ends on the same day of a
            later month, or on its last.
        received: when the request came in.

    Raises:
        ForgetkitError: ``usage`` for any other text, or a day before that.
    """
    found = _LATER.fullmatch(text)
    if found is None and not re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        raise ForgetkitError("usage", f"'{text}' is no deadline", HINT, option="due")
    try:
        last = _later(received, int(found[1]), found[2]) if found else day(text, "due")
    except OverflowError:
        raise ForgetkitError("usage", f"'{text}' is too far away", HINT, option="due") from None
    if last < received:
        message = f"{last} is before {received}, when the request was received"
        raise ForgetkitError("usage", message, HINT, option="due")
    return last


def _later(start: date, count: int, unit: str) -> date:
    if unit != "m":
        return start + timedelta(days=count * (7 if unit == "w" else 1))
    years, month = divmod(start.month - 1 + count, 12)
    for last in range(start.day, 27, -1):
        try:
            return start.replace(year=start.year + years, month=month + 1, day=last)
        except ValueError:
            if start.year + years > 9999:
                raise OverflowError from None
    return start.replace(year=start.year + years, month=month + 1)


def left(due: str | None, now: date) -> int | None:
    """Return the number of days until a request is due, below 0 where it is overdue; None without a deadline."""
    return None if due is None else (date.fromisoformat(due) - now).days


def words(days: int) -> str:
    """Say how many days are left."""
    count = f"{abs(days)} day{'' if abs(days) == 1 else 's'}"
    return f"{count} overdue" if days < 0 else f"{count} left" if days else "due today"
