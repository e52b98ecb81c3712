"""Read the rows of a sweep's results, and format them for both papers' tables."""

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean, variance
from typing import Any

Row = dict[str, Any]
NOT_RUN = "not run"


def read_rows(description: str) -> tuple[list[Row], Path]:
    """Return the rows of the ``results.json`` named on the command line, and the folder to write to."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("results", type=Path)
    parser.add_argument("--out", type=Path, default=Path())
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = json.loads(given.results.read_text())["rows"]
    return rows, given.out


def select(rows: Iterable[Row], run: str, **wanted: object) -> list[Row]:
    """Return the rows of a run that have a result and the wanted parameters."""
    return [
        row
        for row in rows
        if row["run"] == run
        and row["outcome"] == "done"
        and all(row["parameters"].get(name) == value for name, value in wanted.items())
    ]


def missed(rows: Iterable[Row], run: str, **wanted: object) -> bool:
    """Say whether a run with the wanted parameters did not reach its goal: it was run, but has no result."""
    found = (row for row in rows if row["run"] == run and row["outcome"] == "not reached")
    return any(all(row["parameters"].get(name) == value for name, value in wanted.items()) for row in found)


def values(rows: Iterable[Row], *path: str) -> list[float]:
    """Return one metric of each row, by its path; rows without it are left out."""
    found = []
    for row in rows:
        value: Any = row["metrics"]
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        if isinstance(value, int | float):
            found.append(float(value))
    return found


def mean(numbers: Sequence[float], form: str = "{:.2f}", scale: float = 1.0) -> str:
    """Return a mean as text, or "not run"."""
    return form.format(scale * fmean(numbers)) if numbers else NOT_RUN


def percent(numbers: Sequence[float]) -> str:
    """Return the mean of shares in per cent."""
    return mean(numbers, scale=100)


def interval(audits: Sequence[Row]) -> str:
    """Return the membership AUC of the first audit (check half), with its interval."""
    if not audits:
        return NOT_RUN
    found = audits[0]["metrics"]["checks"]["membership"]
    if found["interval"] is None:
        return "too few ids"
    low, high = found["interval"]
    return f"{found['statistic']:.3f} [{low:.3f}, {high:.3f}]"


def spread(numbers: Sequence[float]) -> str:
    """Return mean and variance of shares, in per cent and per cent squared."""
    if len(numbers) < 2:
        return percent(numbers)
    return f"{100 * fmean(numbers):.2f} ({variance([100 * number for number in numbers]):.3f})"


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    rows = [list(head), ["---"] * len(head), *(list(line) for line in lines)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
