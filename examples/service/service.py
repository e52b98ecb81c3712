#!/usr/bin/env python3
"""Answer the pending requests of a book: forget, audit, sign, report. For cron or a systemd timer.

    python service.py service.toml

The book remembers what was done, not this script: killed at any moment and started again, it goes on. One run at a
time. Exit codes: 0 no request is left open; 1 some need a person, a line each; 2 bad set-up; 75 another run is at work.
"""

import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

from settings import BadSetUp, Settings, settings_of, taken

Request = dict[str, Any]
"""What ``forgetkit requests log --json`` says of a request."""


class NeedsPerson(Exception):
    """This request cannot be closed without a person; the others go on."""


def main() -> int:
    """Work through the book once; return the exit code."""
    try:
        settings = settings_of(Path(sys.argv[1] if len(sys.argv) > 1 else "service.toml"))
        if not taken(".service.lock"):
            print("another run is at work: nothing was done", file=sys.stderr)
            return 75
        return 1 if work(settings) else 0
    except BadSetUp as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def work(settings: Settings) -> int:
    """Work on what is pending, and on what is done but lacks evidence; return how many requests need a person."""
    book, left = log(settings), 0
    pending = [one for one in book if one["state"] != "done"]
    pending.sort(key=lambda one: one.get("due") or "9999")  # no deadline last, then as they were accepted
    for request in [one for one in book if lacks_evidence(settings, one)] + pending:
        try:
            close(settings, request)
        except NeedsPerson as problem:
            print(f"{request['request']}{until(request)}: {problem}", file=sys.stderr)
            left += 1
    lists = [one["request"] for one in log(settings) if one["state"] == "done" and has_list(settings, one["request"])]
    if lists:
        print(f"open end: {settings.lists} still has the ids of requests that are done: {', '.join(lists)}")
    return left


def close(settings: Settings, request: Request) -> None:
    """Take one request as far as it goes without a person."""
    name, was = request["request"], request["state"]
    if not names_file(name):
        raise NeedsPerson("a name that no file can have: answer it by hand")
    if was == "accepted":
        request = forget(settings, name)
    if request["state"] == "answered" and request["audit"] is None:
        request = audit(settings, request)
    if request["state"] != "done":
        raise NeedsPerson(f"{request['audit']['verdict']}: give more evidence, answer it again, or accept it")
    keep_evidence(settings, request)
    if was != "done":
        print(f"{name}: done, {request['audit']['verdict']}", flush=True)


def forget(settings: Settings, name: str) -> Request:
    """Answer a request on the last model of the book, which has forgotten what was asked for before; return it anew."""
    ids = settings.ids(name)
    if not ids.is_file():
        raise NeedsPerson(f"there is no list {ids}: put the ids there that it was added with")
    given = ["--ids", str(ids), "--request", name, "--book", settings.book, "--out", str(settings.model(name))]
    command, *options = settings.forget
    # --force: a file that is there is of a killed run, as the book knows of no answer. If it is right, it is kept.
    forgetkit(command, last_model(settings), *given, *options, "--force")
    request = entry(settings, name)
    if request["state"] == "accepted":
        raise NeedsPerson("the model was never trained on its ids: see forgetkit requests close")
    return request


def last_model(settings: Settings) -> str:
    """Return the answer from which no other descends: the end of the line. The original, where nothing was answered."""
    answered = [one["answers"] for one in log(settings) if one["answers"]]
    parents = {one["parent"] for answers in answered for one in answers if one["parent"] != one["digest"]}
    ends = [answers[-1] for answers in answered if answers[-1]["digest"] not in parents]
    if len({one["digest"] for one in ends}) > 1:
        files = " and ".join(str(one["file"]) for one in ends)
        raise BadSetUp(f"{settings.book}: {files} have not forgotten each other's requests: make one model of them")
    if not ends:
        return settings.original
    end = max(ends, key=lambda one: str(one["at"]))
    path = Path(settings.models) / str(end["file"])
    if not path.is_file() or forgetkit("inspect", str(path))["record"]["digest"] != end["digest"]:
        raise BadSetUp(f"{path} is not the last model of {settings.book}, sha256:{end['digest'][:16]}")
    return str(path)


def audit(settings: Settings, request: Request) -> Request:
    """Audit the model that answered a request: the book closes it, if the verdict passes. Return the request anew."""
    name, model = request["request"], settings.answer(request)
    if not model.is_file():
        raise NeedsPerson(f"there is no file {model}, which answered it: audit it by hand")
    given = ["--original", settings.original, "--request", name, "--book", settings.book]
    if settings.references:
        folder = model.with_suffix(".references")
        many = ["--seed", "101", "--replicas", str(settings.references), "--out", str(folder / "{n}.st")]
        forgetkit("train", "--like", str(model), *many, "--force")  # those of an earlier answer
        given += ["--reference", str(folder)]
    html, (found, *_) = settings.folder(name) / "audit.html", settings.outputs(name)
    found.unlink(missing_ok=True)  # of an earlier answer
    html.parent.mkdir(parents=True, exist_ok=True)
    report = forgetkit("audit", str(model), *given, "--html", str(html), *settings.audit, good=(0, 1, 3))
    write(found, json.dumps(report, ensure_ascii=False, indent=1) + "\n")
    return entry(settings, name)


def lacks_evidence(settings: Settings, request: Request) -> bool:
    """Say whether this script closed a request, and did not get as far as to keep all evidence on it."""
    name, closing = request["request"], request["audit"]
    if request["state"] != "done" or not names_file(name) or not settings.folder(name).is_dir():
        return False
    audited, signed, page = settings.outputs(name)
    if all(path is None or path.exists() for path in (audited, signed, page)):
        return False
    if not audited.exists():
        return closing["verdict"] is not None and settings.answer(request).is_file()
    found = json.loads(audited.read_text(encoding="utf-8"))
    return (found["verdict"], found["inputs"]["checkpoint"]) == (closing["verdict"], closing["digest"])


def keep_evidence(settings: Settings, request: Request) -> None:
    """Make what is missing of the evidence on a request that is done: audit, signed statement, page for the person."""
    name, book = request["request"], ["--book", settings.book]
    audited, signed, _ = settings.outputs(name)
    if not audited.exists():  # killed between the book's entry and this file
        audit(settings, request)
    if signed and not signed.exists():
        given = ["--audit", str(audited), "--request", name, *book, "--key", settings.key, "--out", str(signed)]
        forgetkit("attest", str(settings.answer(request)), *given)
    follow_up(settings, name)


def follow_up(settings: Settings, name: str) -> None:
    """Search for what still holds the ids of a request that is done, and write its page."""
    book = ["--book", settings.book]
    audited, signed, page = settings.outputs(name)
    if settings.search and settings.ids(name).is_file():
        given = ["--ids", str(settings.ids(name)), *book, *settings.search]
        if count := forgetkit("requests", "open-ends", name, *given, good=(0, 1))["open"]:
            print(f"{name}: open ends: {count}; see forgetkit requests open-ends {name} --book {settings.book}")
    if page:
        given = ["--audit", str(audited), *(["--attestation", str(signed)] if signed else [])]
        forgetkit("requests", "report", name, *book, *given, "--out", str(page), "--force")


def log(settings: Settings) -> list[Request]:
    """Return all requests of the book, in the order of acceptance."""
    try:
        requests: list[Request] = forgetkit("requests", "log", "--book", settings.book)["requests"]
    except NeedsPerson as problem:
        raise BadSetUp(str(problem)) from problem
    return requests


def entry(settings: Settings, name: str) -> Request:
    """Return one request, as it is now."""
    return next(one for one in log(settings) if one["request"] == name)


def forgetkit(*words: str, good: tuple[int, ...] = (0,)) -> dict[str, Any]:
    """Run a command; return its JSON. What it warns of goes to stderr."""
    command = ["forgetkit", *words, "--json", "--quiet"]
    try:
        ran = subprocess.run(command, stdout=subprocess.PIPE, close_fds=False, check=False)
    except OSError as problem:
        raise BadSetUp(f"forgetkit does not start: {problem}") from problem
    try:
        found: dict[str, Any] = json.loads(ran.stdout)
    except ValueError:
        found = {}
    if ran.returncode not in good or not found:
        raise NeedsPerson(f"forgetkit {words[0]}: {found.get('message', f'it ended with {ran.returncode}')}")
    return found


def write(path: Path, text: str) -> None:
    """Write a file that is whole, or not there."""
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)


def until(request: Request) -> str:
    """Return the deadline of a request in words, if it has one."""
    due = request.get("due")
    return f" ({'overdue since' if due < date.today().isoformat() else 'due'} {due})" if due else ""


def has_list(settings: Settings, name: str) -> bool:
    """Say whether the list of a request is there."""
    return names_file(name) and settings.ids(name).is_file()


def names_file(request: str) -> bool:
    """Say whether a file in a folder can have the name of a request, and no command takes it for an option."""
    return Path(request).name == request and request[0] not in "-."


if __name__ == "__main__":
    sys.exit(main())
