"""``forgetkit requests``: a book of requests to forget."""

from pathlib import Path
from typing import Annotated

import typer

from forgetkit.cli.console import Console
from forgetkit.cli.help import show_help
from forgetkit.cli.option_groups import requires
from forgetkit.errors import ForgetkitError
from forgetkit.options import INPUT, Argument, Book, Option, Say, Target
from forgetkit.request_book.options import Case, Search, Settle, read_all
from forgetkit.unlearning.step_options import Lists

BookFile = Annotated[str, Book]
Request = Annotated[str, Argument("Name of the request.", "REQUEST")]
Who = Annotated[str | None, Option("Who closes it, for the book.", metavar="NAME", panel=INPUT)]


def requests(context: typer.Context) -> None:
    """Keep a book of requests to forget.

    None is lost, none is carried out twice, and none is closed without an audit or a reason. Add a request before any
    work. A step with --request and --book answers it: it enters the checkpoint that it published, once that is on the
    disk. An audit with --request and --book closes it, if its verdict passes. After a crash, repeat the same command.

        forgetkit requests add case-7 --ids ids.txt --book requests.db
        forgetkit relabel model.st --ids ids.txt --request case-7 --book requests.db
        forgetkit audit model.relabel.st --original model.st --request case-7 --book requests.db
        forgetkit requests pending --book requests.db
        forgetkit requests report case-7 --book requests.db -o case-7.html
    """
    show_help(context)


def add(
    request: Annotated[str, Argument("Unique name of the request.", "REQUEST")],
    *,
    lists: Lists,
    case: Case,
    book: BookFile,
    say: Say,
) -> None:
    """Accept a request. It is on the disk when the command ends with exit code 0.

    Adding a request again with the same ids changes nothing, except what else is given: a deadline, models it concerns.
    The book keeps keyed digests of the ids only, so keep the list.

    Examples:
        forgetkit requests add case-7 --ids ids.txt --book requests.db
        forgetkit requests add case-9 -i ids.txt --received 2026-11-30 --due 1m --book requests.db
        forgetkit forget-ids model.st --class 3 | forgetkit requests add class-3 -i - --book r.db
    """
    from forgetkit.request_book.book import Booking
    from forgetkit.request_book.book import add as accept
    from forgetkit.request_book.details import describe

    if not request or not request.isprintable():
        raise ForgetkitError("usage", "the request needs a name of printable characters", "for example: case-7")
    console = Console(say)
    ids = read_all(lists.ids, lists)
    details, models = case.details(), case.models()
    if case.subject and ("@" in case.subject or " " in case.subject.strip()):
        console.warn("subject-named", f"'{case.subject}' looks like a name or an address: give a pseudonym")
    if say.dry_run:
        console.note(f"dry run: {request}, with {len(ids)} ids, was not entered in {book}")
        return
    new = accept(Path(book), request, ids)
    describe(Booking(Path(book), request), details, models)
    console.note(f"requests: {request}: {len(ids)} ids {'accepted' if new else 'were accepted before'}")
    console.result([request], {"ok": True, "command": "requests add", "request": request, "new": new, "ids": len(ids)})


def pending(
    *,
    overdue: Annotated[
        bool, Option("Only those past their deadline; exit code 1 if there are any.", panel=INPUT)
    ] = False,
    book: BookFile,
    say: Say,
) -> None:
    """Print the requests that are not done, the nearest deadline first, and what each is waiting for.

    A request that is done is listed as long as it has open ends.

    Examples:
        forgetkit requests pending --book requests.db
        forgetkit requests pending --overdue --book requests.db --json
    """
    from forgetkit.request_book.book import entries
    from forgetkit.request_book.deadline import left, today, words

    now = today()
    found = [(left(one.details.due, now), one) for one in entries(Path(book)) if one.state != "done" or one.waiting]
    found.sort(key=lambda pair: (pair[0] is None, pair[0] or 0))  # stable: those without a deadline in their order
    if overdue:
        found = [(days, one) for days, one in found if days is not None and days < 0 and one.state != "done"]
    lines = []
    for days, one in found:
        due = "" if days is None or one.state == "done" else f"due {one.details.due}, {words(days)}  "
        lines.append(f"{one.request}  {due}{one.summary}")
    document = {"ok": True, "command": "requests pending", "requests": [one.to_json() for _, one in found]}
    Console(say).result(lines, document)
    if overdue and found:
        raise typer.Exit(1)


def done(*, book: BookFile, say: Say) -> None:
    """Print the requests that are done, oldest first, each with the digest of the audited checkpoint and the verdict.

    Examples:
        forgetkit requests done --book requests.db
        forgetkit requests done --book requests.db --json
    """
    _list("requests done", book, say, done=True)


def close(
    request: Request,
    *,
    reason: Annotated[str, Option("Why no audit is needed, for the book.", metavar="TEXT", panel=INPUT)],
    by: Who = None,
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
    new = booking.close_without_audit(reason, by)
    console.note(f"requests: {request} {'is closed' if new else 'was done before'}")
    console.result([request], {"ok": True, "command": "requests close", "request": request, "new": new})


def open_ends(
    request: Request,
    places: Annotated[list[str] | None, Argument("Checkpoints, and folders to search for them.", "PATH")] = None,
    *,
    search: Search,
    settle: Settle,
    book: BookFile,
    say: Say,
) -> None:
    """Search for what still holds the samples of a request, and enter it in the book.

    With --ids and places, every checkpoint, shadow model and optimizer state there that holds some of the ids, or may
    hold them, becomes an open end, and so does the list itself. What a later search finds without the ids is done. Say
    of the rest with --done or --waive, and --reason, what became of it. Exit code 1: some are open.

    Examples:
        forgetkit requests open-ends case-7 --ids ids.txt --book requests.db model.st
        forgetkit requests open-ends case-7 -i ids.txt --book requests.db model.st refs --json
    """
    from forgetkit.data.pack_inventory import kept_packs
    from forgetkit.request_book.book import Booking
    from forgetkit.request_book.details import enter_open_ends, find_entry

    packs = {kept.path.name: kept.note.name for kept in kept_packs() if kept.note} if places else {}
    console, booking = Console(say), Booking(Path(book), request)
    entry = find_entry(booking)
    new = settle.ends(entry.open_ends) + search.ends(booking, entry.open_ends, places or [], packs)
    if say.dry_run:
        console.note(f"dry run: {len(new)} open ends of {request} were not entered in {book}")
        return
    enter_open_ends(booking, new)
    entry = find_entry(booking)
    lines = [
        f"{one.state}  {one.place}  {one.what}{f': {one.reason}' if one.reason else ''}" for one in entry.open_ends
    ]
    document = {"ok": True, "command": "requests open-ends", "request": request, "open": len(entry.waiting)}
    ends = entry.to_json()["open_ends"]
    console.result(lines, {**document, "entered": len(new), "open_ends": ends})
    if entry.waiting:
        raise typer.Exit(1)


@requires("out")
def report(
    request: Request,
    *,
    audit: Annotated[
        str | None, Option("JSON that audit printed of the request, with --json.", metavar="FILE", panel=INPUT)
    ] = None,
    attestation: Annotated[str | None, Option("File that attest wrote.", metavar="FILE", panel=INPUT)] = None,
    book: BookFile,
    target: Target,
    say: Say,
) -> None:
    """Write a page about a request, for the person who asked and for an auditor.

    The page needs nothing else: no scripts, no network. Its name ends in .html or .md.

    Examples:
        forgetkit requests report case-7 --book requests.db -o case-7.html
        forgetkit requests report case-7 --book requests.db -o case-7.md
    """
    from forgetkit.auditing.report.request_evidence import attestation_of, audit_of
    from forgetkit.auditing.report.request_page import Page, suffix_of
    from forgetkit.files.publish import check_target, claimed, publish_text
    from forgetkit.request_book.book import Booking
    from forgetkit.request_book.deadline import today
    from forgetkit.request_book.details import find_entry

    console, path = Console(say), Path(target.out or "")
    suffix = suffix_of(path)
    inputs = tuple(Path(one) for one in (book, audit, attestation) if one is not None)
    check_target(path, force=target.force, inputs=inputs)
    entry = find_entry(Booking(Path(book), request))
    found = audit_of(Path(audit), entry) if audit is not None else None
    signed = attestation_of(Path(attestation)) if attestation is not None else None
    text = Page(entry, found, signed, today()).text(suffix)
    if say.dry_run:
        console.note(f"dry run: nothing was written to {path}")
        return
    with claimed((path,), force=target.force):
        publish_text(path, text)
    console.note(f"requests: {request}: {path}")
    document = {"ok": True, "command": "requests report", "outputs": [str(path)], "request": request}
    console.result([str(path)], document)


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
        f"{entry.request}  {entry.summary}"
        if done is not None
        else f"{entry.accepted}  {entry.request}  {entry.count} ids  {entry.since}  {entry.summary}"
        for entry in found
    ]
    document = [entry.to_json() for entry in found]
    Console(say).result(lines, {"ok": True, "command": command, "requests": document})


COMMANDS = (add, pending, done, close, open_ends, report, log)
