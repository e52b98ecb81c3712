"""The outcome of a run, and the files in its folder that record it."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from forgetkit.errors import ForgetkitError
from forgetkit.files.publish import publish_text

DONE, NOT_REACHED, NOT_RUN, SKIPPED, FAILED = "done", "not reached", "not run", "skipped", "failed"
RECORDED = (DONE, NOT_REACHED)
"""Outcomes that last: the same run would end in the same way again."""
RESULT, FAILURE, LOG, STDOUT = "result.json", "failure.json", "log.txt", "stdout.json"


@dataclass(frozen=True)
class Outcome:
    """The outcome of a run.

    Attributes:
        state: :data:`DONE`; :data:`NOT_REACHED` (a step ended without reaching its goal: a result, but no file for
            other runs); :data:`NOT_RUN` (its data set is missing); :data:`SKIPPED` (a run that it needs has no file);
            :data:`FAILED`.
        exit_code: exit code of the command; negative where a signal killed it; None where it was not run.
        seconds: wall-clock time.
        cpu_seconds: CPU time of all its threads.
        metrics: what the command measured.
        error: the command's error message, where it did not end well.
    """

    state: str
    exit_code: int | None = None
    seconds: float | None = None
    cpu_seconds: float | None = None
    metrics: dict[str, Any] | None = None
    error: str | None = None


def judge(code: int, document: dict[str, Any], seconds: float, cpu_seconds: float) -> Outcome:
    """Return the outcome of a command that ended with this exit code and JSON document.

    Every verdict of an audit is a result.
    """
    times = round(seconds, 3), round(cpu_seconds, 3)
    if document.get("ok"):
        return Outcome(DONE, code, *times, _metrics(document))
    error = str(document.get("message") or f"exit code {code}, without a JSON document")
    state = {"not-reached": NOT_REACHED, "dataset-missing": NOT_RUN}.get(str(document.get("code")), FAILED)
    return Outcome(state, code, *times, None, error)


def write_outcome(folder: Path, outcome: Outcome) -> None:
    """Write the outcome into the run's folder."""
    name = RESULT if outcome.state in RECORDED else FAILURE
    text = json.dumps(asdict(outcome), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    publish_text(folder / name, text + "\n")


def read_outcome(folder: Path, name: str = RESULT) -> Outcome | None:
    """Return the outcome of the run in ``folder``, or None where no run has ended there."""
    try:
        return Outcome(**json.loads((folder / name).read_text()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as problem:
        raise ForgetkitError("result-malformed", f"{folder / name}: {problem}", f"remove {folder}") from problem


def clear(folder: Path) -> None:
    """Make an empty folder for a run: files of a run that did not end are removed."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.is_file() or path.is_symlink():
            os.unlink(path)


def _metrics(document: dict[str, Any]) -> dict[str, Any]:
    """Return what the table shows of a document: metrics of a step, or verdict, accuracies and checks of an audit."""
    if "verdict" not in document:
        return dict(document["metrics"])
    checks = {
        f"{check['id']}-{check['group']}" if check["group"] != "ids" else check["id"]: {
            key: check[key] for key in ("n", "statistic", "interval", "margin", "verdict")
        }
        for check in document["checks"]
    }
    return {"verdict": document["verdict"], "accuracy": document["accuracy"], "checks": checks}
