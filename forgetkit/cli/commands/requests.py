"""``forgetkit requests``: a book of requests to forget."""

from pathlib import Path
from typing import Annotated

import typer

from forgetkit.cli.console import Console
from forgetkit.cli.help import show_help
from forgetkit.errors import ForgetkitError
from forgetkit.options import INPUT, Argument, Book, Option, Say
from forgetkit.unlearning.step_options import Lists

BookFile = Annotated[str, Book]


def requests(context: typer.Context) -> None:
    """Keep a book of requests to forget.

    None is lost, none is carried out twice, and none is closed without an audit or a reason. Add a request before any
    work. A step with --request and --book answers it: it enters the checkpoint that it published, once that is on the
    disk. An audit with --request and --book closes it, if its verdict passes. After a crash, repeat the same command.

        forgetkit requests add case-7 --ids ids.txt --book requests.db
        forgetkit relabel model.st --ids ids.txt --request case-7 --book requests.db
        forgetkit audit model.relabel.st --original model.st --request case-7 --book requests.db
        forgetkit requests pending --book requests.db
    """
    show_help(context)


def add(
    request: Annotated[str, Argument("Unique name of the request.", "REQUEST")],
    *,
    lists: Lists,
    book: BookFile,
    say: Say,
) -> None:
    """Accept a request. It is on the disk when the command ends with exit code 0.

    Adding a request again with the same ids changes nothing. The book keeps keyed digests of the ids only, so keep the
    list.

    Examples:
        forgetkit requests add case-7 --ids ids.txt --book requests.db
        forgetkit forget-ids model.st --class 3 | forgetkit requests add class-3 -i - --book r.db
    """
    from forgetkit.files.id_list import read_ids
    from forgetkit.request_book.book import add as accept

    if not request or not request.isprintable():
        raise ForgetkitError("usage", "the request needs a name of printable characters", "for example: case-7")
    console = Console(say)
    found = [read_ids(source, column=lists.id_column, strict=lists.strict) for source in lists.ids]
    ids = list(dict.fromkeys(id_ for one in found for id_ in one.lines))
    if say.dry_run:
        console.note(f"dry run: {request}, with {len(ids)} ids, was not entered in {book}")
        return
    new = accept(Path(book), request, ids)
    console.note(f"requests: {request}: {len(ids)} ids {'accepted' if new else 'were accepted before'}")
    console.result([request], {"ok": True, "command": "requests add", "request": request, "new": new, "ids": len(ids)})


def pending(*, book: BookFile, say: Say) -> None:
    """Print the requests that are not done, oldest first, and what each is waiting for.

    Examples:
        forgetkit requests pending --book requests.db
        forgetkit requests pending --book requests.db --json
    """
    _list("requests pending", book, say, done=False)


def done(*, book: BookFile, say: Say) -> None:
    """Print the requests that are done, oldest first, each with the digest of the audited checkpoint and the verdict.

    Examples:
        forgetkit requests done --book requests.db
        forgetkit requests done --book requests.db --json
    """
    _list("requests done", book, say, done=True)


def close(
    request: Annotated[str, Argument("Name of the request.", "REQUEST")],
    *,
    reason: Annotated[str, Option("Why no audit is needed, for the book.", metavar="TEXT", panel=INPUT)],
    book: BookFile,
    say: Say,
) -> None:
    """Close a request without an audit, on your word: it was withdrawn, or no model was trained on its ids.

    Examples:
        forgetkit requests close case-7 --reason withdrawn --book requests.db
        forgetkit requests close case-7 --reason "held-out photographs only" --book requests.db
    """
    from forgetkit.request_book.book import Booking

    console, booking = Console(say), Booking(Path(book), request)
    if not reason.strip() or not reason.isprintable():
        raise ForgetkitError("usage", "the reason needs printable characters", option="reason")
    booking.asked()
    if say.dry_run:
        console.note(f"dry run: {request} was not closed in {book}")
        return
    new = booking.close_without_audit(reason)
    console.note(f"requests: {request} {'is closed' if new else 'was done before'}")
    console.result([request], {"ok": True, "command": "requests close", "request": request, "new": new})


def log(*, book: BookFile, say: Say) -> None:
    """Print all requests with the times of acceptance and of the last entry; --json gives an archive of the book.

    Examples:
        forgetkit requests log --book requests.db
        forgetkit requests log --book requests.db --json
    """
    _list("requests log", book, say, done=None)


def _list(command: str, book: str, say: Say, *, done: bool | None) -> None:
    """Print the requests that are done, or not done, or (None) all."""
    from forgetkit.request_book.book import entries

    found = [entry for entry in entries(Path(book)) if done is None or (entry.state == "done") == done]
    lines = [
        f"{entry.request}  {entry.standing}"
        if done is not None
        else f"{entry.accepted}  {entry.request}  {entry.count} ids  {entry.since}  {entry.standing}"
        for entry in found
    ]
    document = [entry.to_json() for entry in found]
    Console(say).result(lines, {"ok": True, "command": command, "requests": document})


COMMANDS = (add, pending, done, close, log)
