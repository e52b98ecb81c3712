"""What came of a run, and the files in its folder that say so."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from forgetkit.errors import ForgetkitError
from forgetkit.files.publish import publish_text

DONE, NOT_REACHED, NOT_RUN, SKIPPED, FAILED = "done", "not reached", "not run", "skipped", "failed"
RECORDED = (DONE, NOT_REACHED)
"""What stays: the same run would end the same again."""
RESULT, FAILURE, LOG, STDOUT = "result.json", "failure.json", "log.txt", "stdout.json"


@dataclass(frozen=True)
class Outcome:
    """What came of a run.

    Attributes:
        state: :data:`DONE`; :data:`NOT_REACHED` (a step ended without reaching its goal: a result, but no file for
            others); :data:`NOT_RUN` (the data are not here); :data:`SKIPPED` (a run that it needs has no file);
            :data:`FAILED`.
        exit_code: of the command; negative where a signal killed it; None where it was not run.
        seconds: wall-clock time.
        cpu_seconds: of all its threads.
        metrics: what the command measured.
        error: its last word, where it did not end well.
    """

    state: str
    exit_code: int | None = None
    seconds: float | None = None
    cpu_seconds: float | None = None
    metrics: dict[str, Any] | None = None
    error: str | None = None


def judged(code: int, document: dict[str, Any], seconds: float, cpu_seconds: float) -> Outcome:
    """Return the outcome of a command that ended: its exit code, and its JSON document.

    An audit's verdict is a result, whatever it is.
    """
    times = round(seconds, 3), round(cpu_seconds, 3)
    if document.get("ok"):
        return Outcome(DONE, code, *times, _metrics(document))
    error = str(document.get("message") or f"exit code {code}, and no document")
    state = {"not-reached": NOT_REACHED, "dataset-missing": NOT_RUN}.get(str(document.get("code")), FAILED)
    return Outcome(state, code, *times, None, error)


def keep(folder: Path, outcome: Outcome) -> None:
    """Write the outcome into the run's folder."""
    name = RESULT if outcome.state in RECORDED else FAILURE
    text = json.dumps(asdict(outcome), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    publish_text(folder / name, text + "\n")


def kept(folder: Path, name: str = RESULT) -> Outcome | None:
    """Return what the folder says came of its run, or None where it was not run, or not to its end."""
    try:
        return Outcome(**json.loads((folder / name).read_text()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as problem:
        raise ForgetkitError("result-malformed", f"{folder / name}: {problem}", f"remove {folder}") from problem


def clear(folder: Path) -> None:
    """Remove what a run that did not end left behind."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.is_file() or path.is_symlink():
            os.unlink(path)


def _metrics(document: dict[str, Any]) -> dict[str, Any]:
    """Return what the table holds of a document: a step's metrics, or an audit's verdict, accuracies and checks."""
    if "verdict" not in document:
        return dict(document["metrics"])
    checks = {
        f"{check['id']}-{check['group']}" if check["group"] != "ids" else check["id"]: {
            key: check[key] for key in ("n", "statistic", "interval", "margin", "verdict")
        }
        for check in document["checks"]
    }
    return {"verdict": document["verdict"], "accuracy": document["accuracy"], "checks": checks}
