"""How a command tells what it wrote: a line or two on stderr, the path or a JSON document on stdout."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from forgetkit.cli.console import Console

if TYPE_CHECKING:
    from forgetkit.files.record import Record
    from forgetkit.training.outputs import Written

SHORT = 16
"""Digits of a digest that are shown."""


def report(console: Console, written: "Written | None") -> None:
    """Print what a command made of one checkpoint; nothing after a dry run."""
    if written is None:
        return
    if written.state == "written":
        console.note(f"{_wrote(written)}")
        console.note(f"next: {next_command(written)}")
    elif written.state == "up to date":
        console.note(f"{written.command}: {written.path} is up to date")
    else:
        console.note("nothing left to do")
    up_to_date = written.state != "written"
    console.result([str(written.path)], document(written.command, written.path, written.record, up_to_date=up_to_date))


def report_replicas(console: Console, replicas: "list[Written]") -> None:
    """Print what several trainings wrote."""
    for one in replicas:
        text = _wrote(one) if one.state == "written" else f"{one.command}: {one.path} is up to date"
        console.note(text)
    entries = [document(one.command, one.path, one.record, up_to_date=one.state != "written") for one in replicas]
    keys = ("outputs", "digest", "up_to_date", "metrics", "record")
    joined = {
        "ok": True,
        "command": "train",
        "outputs": [path for entry in entries for path in entry["outputs"]],
        "digest": None,
        "up_to_date": all(entry["up_to_date"] for entry in entries),
        "metrics": None,
        "record": None,
        "replicas": [{key: entry[key] for key in keys} for entry in entries],
    }
    console.result([str(one.path) for one in replicas], joined)


def document(command: str, path: Path, record: "Record", *, up_to_date: bool) -> dict[str, Any]:
    """Return the JSON document of a command that writes one checkpoint."""
    return {
        "ok": True,
        "command": command,
        "outputs": [str(path)],
        "digest": record.digest,
        "up_to_date": up_to_date,
        "metrics": record.steps[-1].metrics if record.steps else {},
        "record": record.to_json(),
    }


def next_command(written: "Written") -> str:
    """Return the command that a user most likely wants after this one."""
    path, steps = written.path, written.record.steps
    known = written.source and (len(steps) == 1 or steps[-2].trains)
    original = str(written.source) if known else "ORIGINAL.st"
    if written.command == "neutralize" and written.record.retained:
        return f"forgetkit distill {path} --teacher {original}"
    if written.record.untrained:
        from forgetkit.training.outputs import next_training

        return next_training(path)
    if steps[-1].trains and not len(written.record.forgotten):
        return f"forgetkit forget-ids {path} --count 65 -o ids.txt"
    own = steps[-1].ids["count"] if steps[-1].ids else 0
    forgotten_before = known and len(written.record.forgotten) > own  # which this original does not know
    return f"forgetkit audit {path}{' --ids IDS.txt' if forgotten_before else ''} --original {original}"


def _wrote(written: "Written") -> str:
    digest = written.record.digest[:SHORT]
    return f"{written.command}: wrote {written.path}  sha256:{digest}  in {written.seconds:.1f} s"
