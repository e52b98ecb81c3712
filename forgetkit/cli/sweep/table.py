"""The table of a sweep as JSON and CSV: one row a run."""

import csv
import io
import json
import shlex
from pathlib import Path
from typing import Any

from forgetkit.cli.sweep.expand import Run, arguments
from forgetkit.cli.sweep.outcome import Outcome
from forgetkit.cli.sweep.plan import Plan
from forgetkit.files.publish import publish_text
from forgetkit.training.outputs import software

Row = dict[str, Any]
FIXED = ("run", "outcome")
LAST = ("seconds", "cpu_seconds", "error", "command", "address")


def rows_of(runs: list[Run], known: dict[str, Run], outcomes: dict[str, Outcome], root: Path) -> list[Row]:
    """Return the rows of ``runs``; ``known`` holds all runs by address."""
    rows = []
    for run in runs:
        outcome = outcomes[run.address]
        rows.append(
            {
                "run": run.name,
                "outcome": outcome.state,
                "parameters": run.parameters,
                "metrics": outcome.metrics or {},
                "seconds": outcome.seconds,
                "cpu_seconds": outcome.cpu_seconds,
                "error": outcome.error,
                "command": line_of(run, known, root),
                "address": run.address,
            }
        )
    return rows


def line_of(run: Run, known: dict[str, Run], root: Path) -> str:
    """Return the command of a run, ready to paste into a shell."""
    return shlex.join(["forgetkit", *arguments(run, known, root)])


def write_table(plan: Plan, rows: list[Row], root: Path, shard: str) -> list[Path]:
    """Write ``results.json`` and ``results.csv`` into ``root``, with ``shard`` in their names; return both paths."""
    document = {"title": plan.title, "profile": plan.profile, "software": software(), "rows": rows}
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    found = [root / f"results{shard}.json", root / f"results{shard}.csv"]
    publish_text(found[0], text)
    publish_text(found[1], _csv(plan, rows))
    return found


def flatten(metrics: dict[str, Any], before: str = "") -> dict[str, Any]:
    """Return nested metrics as single values with dotted names: an interval becomes two, other lists are left out."""
    found: dict[str, Any] = {}
    for name, value in metrics.items():
        if isinstance(value, dict):
            found |= flatten(value, f"{before}{name}.")
        elif isinstance(value, list):
            if name == "interval" and len(value) == 2:
                found |= {f"{before}{name}.low": value[0], f"{before}{name}.high": value[1]}
        else:
            found[f"{before}{name}"] = value
    return found


def _csv(plan: Plan, rows: list[Row]) -> str:
    used = {name for row in rows for name in row["parameters"]}
    parameters = [name for name in plan.variables if name in used]
    measured = sorted({name for row in rows for name in flatten(row["metrics"])})
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([*FIXED, *parameters, *measured, *LAST])
    for row in rows:
        metrics = flatten(row["metrics"])
        cells = [row[name] for name in FIXED] + [row["parameters"].get(name) for name in parameters]
        cells += [metrics.get(name) for name in measured] + [row[name] for name in LAST]
        writer.writerow(["" if cell is None else cell for cell in cells])
    return stream.getvalue()
