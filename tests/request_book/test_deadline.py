"""Until when a request is to be answered: by hand, and as a law."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forgetkit.errors import ForgetkitError
from forgetkit.request_book.deadline import day, due_day, left, words


@pytest.mark.parametrize(
    ("text", "received", "due"),
    [
        ("30d", "2026-11-30", "2026-12-30"),
        ("4w", "2026-12-31", "2027-01-28"),
        ("1m", "2026-11-30", "2026-12-30"),
        ("1m", "2027-01-31", "2027-02-28"),  # the last day of a shorter month
        ("1m", "2028-01-31", "2028-02-29"),
        ("3m", "2026-11-30", "2027-02-28"),
        ("12m", "2026-12-01", "2027-12-01"),
        ("2026-12-31", "2026-12-31", "2026-12-31"),
    ],
)
def test_known_deadlines(text: str, received: str, due: str) -> None:
    assert due_day(text, date.fromisoformat(received)) == date.fromisoformat(due)


@given(st.dates(date(1990, 1, 1), date(2100, 1, 1)), st.integers(1, 60))
def test_a_month_later_is_in_that_month_and_on_no_later_day(start: date, count: int) -> None:
    found = due_day(f"{count}m", start)
    assert (found.year * 12 + found.month) - (start.year * 12 + start.month) == count
    assert found.day == start.day or (found.day < start.day and (found + timedelta(days=1)).day == 1)


@pytest.mark.parametrize("text", ["", "30", "d", "0d", "-3d", "1y", "2026-13-01", "2026-1-1", "soon", "99999d"])
def test_anything_else_is_one_line(text: str) -> None:
    with pytest.raises(ForgetkitError) as error:
        due_day(text, date(2026, 11, 30))
    assert (error.value.code, error.value.option, bool(error.value.hint)) == ("usage", "due", True)


def test_a_deadline_beyond_the_calendar_is_one_line() -> None:
    for text in ("9999m", "9999w"):
        with pytest.raises(ForgetkitError, match="too far away"):
            due_day(text, date(9900, 1, 31))


def test_a_deadline_before_the_request_came_in_is_refused() -> None:
    with pytest.raises(ForgetkitError, match="before 2026-11-30"):
        due_day("2026-11-29", date(2026, 11, 30))


def test_a_day_that_is_none_names_its_option() -> None:
    with pytest.raises(ForgetkitError) as error:
        day("yesterday", "received")
    assert error.value.option == "received"


def test_days_left_in_words() -> None:
    now = date(2026, 12, 1)
    assert [left(due, now) for due in ("2026-11-30", "2026-12-01", "2026-12-03", None)] == [-1, 0, 2, None]
    assert [words(days) for days in (-2, -1, 0, 1, 2)] == [
        "2 days overdue",
        "1 day overdue",
        "due today",
        "1 day left",
        "2 days left",
    ]
