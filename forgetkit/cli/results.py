"""How a command tells what it wrote: a line or two on stderr, the path or a JSON document on stdout."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forgetkit.cli.console import Console

if TYPE_CHECKING:
    from forgetkit.files.record import Record
    from forgetkit.training.outputs import Written
    from forgetkit.unlearning.queue import Answer
    from forgetkit.unlearning.step_options import Booked, QueueOptions

SHORT = 16
"""Digits of a digest that are shown."""


def report(console: Console, written: "Written | None", booked: "Booked | None" = None) -> None:
    """Print what a command made of one checkpoint, perhaps for a request in a book; nothing after a dry run."""
    if written is None:
        return
    console.note(_state(written))
    if written.state == "written":
        console.note(f"next: {next_command(written, booked)}")
    up_to_date = written.state != "written"
    console.result([str(written.path)], document(written.command, written.path, written.record, up_to_date=up_to_date))


def report_answers(console: Console, command: str, checkpoint: str, options: "QueueOptions", answer: "Answer") -> None:
    """Take a step on one request, or on each of a queue, and print what it made.

    The path of each checkpoint of a queue is printed when it is there, so that it stands on stdout even if a later
    request fails; with ``--json`` there is one document, at the end.
    """
    from forgetkit.unlearning.queue import answer_queue

    options.check(command)
    if not options.requests:
        report(console, answer(checkpoint, options), options.booked)
        return
    entries: list[dict[str, Any]] = []
    for request, written in answer_queue(command, checkpoint, options, answer, tell=console):
        last = document(written.command, written.path, written.record, up_to_date=written.state != "written")
        kept = ("command", "outputs", "digest", "up_to_date", "metrics")  # records are large, and each holds the last
        entries.append({"request": request.name, **{key: last[key] for key in kept}})
        console.note(_state(written))
        if not options.output.as_json:
            console.result([str(written.path)], {})
    if entries:
        console.note(f"next: {next_command(written)}")
    if entries and options.output.as_json:
        of_all = {
            "command": command,
            "outputs": [path for entry in entries for path in entry["outputs"]],
            "up_to_date": all(entry["up_to_date"] for entry in entries),
            "requests": entries,
        }
        console.result([], {**last, **of_all})


def report_replicas(console: Console, replicas: "list[Written]") -> None:
    """Print what several trainings wrote."""
    for one in replicas:
        console.note(_state(one))
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


def next_command(written: "Written", booked: "Booked | None" = None) -> str:
    """Return the command that a user most likely wants after this one, which answered a request if ``booked``."""
    path, steps = written.path, written.record.steps
    known = written.source and (len(steps) == 1 or steps[-2].trains)
    original = str(written.source) if known else "ORIGINAL.st"
    if written.command == "neutralize" and written.record.retained:
        return f"forgetkit distill {path} --teacher {original}"
    if written.record.untrained:
        from forgetkit.training.outputs import next_training

        return next_training(path)
    if steps[-1].trains and not len(written.record.forgotten):
        return f"forgetkit forget-ids {path} --count {_request_size(written.record)} -o ids.txt"
    own = steps[-1].ids["count"] if steps[-1].ids else 0
    forgotten_before = known and len(written.record.forgotten) > own  # which this original does not know
    judges = ""
    if written.source and known and steps[-1].options.get("way") == "shadows":
        from forgetkit.training.shadows import folder_beside

        judges = f" --shadows {folder_beside(written.source)}"
    ids = " --ids IDS.txt" if forgotten_before else ""
    if booked and booked.request and booked.book:
        ids = f" --request {shlex.quote(booked.request)} --book {shlex.quote(booked.book)}"
    return f"forgetkit audit {path}{ids} --original {original}{judges}"


def _request_size(record: "Record") -> int:
    """Return how many ids to try first: a twentieth of the trained samples, and a thousand at most."""
    count = record.dataset["size"] if record.trained is None else len(record.trained)
    return min(max(1, round(count / 20)), 1000)


def _state(written: "Written") -> str:
    """Return in one line what a command did."""
    if written.state == "nothing left":
        return "nothing left to do"
    if written.state == "up to date":
        return f"{written.command}: {written.path} is up to date"
    digest = written.record.digest[:SHORT]
    return f"{written.command}: wrote {written.path}  sha256:{digest}  in {written.seconds:.1f} s"
