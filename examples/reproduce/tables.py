"""Run a paper's sweep, read the rows of its results, and format them for both papers' tables."""

import argparse
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean, variance
from typing import Any

Row = dict[str, Any]
NOT_RUN = "not run"


def run_and_read(description: str, plan: Path) -> tuple[list[Row], Path]:
    """Run the sweep of ``plan`` and return the rows of its results, and the folder to write to.

    With a ``results.json`` on the command line nothing is run.
    """
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=description, formatter_class=form)
    parser.add_argument("results", type=Path, nargs="?", help="results.json of a sweep; nothing is run then")
    parser.add_argument("--out", type=Path, default=Path(plan.stem), help="folder for runs, tables and figures")
    parser.add_argument("--profile", help="laptop, night, quick …: see the plan; without it, the paper's whole grid")
    parser.add_argument("--jobs", default="1", help="runs at the same time")
    parser.add_argument("--download", action="store_true", help="fetch missing data sets")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    if given.results is None:
        if given.download:
            _download(plan, given.profile)
        profile = ["--profile", given.profile] if given.profile else []
        _forgetkit("sweep", str(plan), "--out", str(given.out), "--jobs", given.jobs, *profile)
    rows: list[Row] = json.loads((given.results or given.out / "results.json").read_text())["rows"]
    return rows, given.out


def _download(plan: Path, profile: str | None) -> None:
    """Fetch the data sets of a plan; one that cannot be fetched is "not run" later."""
    content = tomllib.loads(plan.read_text())
    variables = content["variables"] | content["profiles"].get(profile, {})
    for one in variables.get("dataset", [{"data": "mnist"}]):
        _forgetkit("data", "pack", "--dataset", one["data"], "--download")


def _forgetkit(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "forgetkit", *words], check=False)


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
