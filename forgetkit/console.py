"""The one output sink: the result goes to stdout, everything else to stderr."""

import errno
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, TextIO, TypeVar

from forgetkit.errors import ForgetkitError

T = TypeVar("T")

PLAIN_INTERVAL = 10.0
"""Seconds between two progress lines off a terminal."""


def write_result(text: str, end: str = "\n") -> None:
    """Print ``text`` to stdout; a reader that has gone away is not an error.

    Raises:
        ForgetkitError: ``out-of-space`` or ``output-unwritable`` where stdout takes nothing.
    """
    try:
        print(text, end=end, flush=True)
    except BrokenPipeError:
        _to_nowhere(sys.stdout)
    except OSError as problem:
        _to_nowhere(sys.stdout)
        code = "out-of-space" if problem.errno in {errno.ENOSPC, errno.EDQUOT} else "output-unwritable"
        raise ForgetkitError(
            code, f"stdout: {problem.strerror}", "free some space, or send stdout elsewhere"
        ) from problem


def say(text: str) -> None:
    """Print ``text`` to stderr; nobody there to read it is not an error."""
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        _to_nowhere(sys.stderr)


def _to_nowhere(stream: TextIO) -> None:
    """Let what is still written to ``stream`` vanish, what waits in its buffer too."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def compact_json(value: object) -> str:
    """Return ``value`` as JSON with sorted keys, no spaces, no NaN: the same value, the same bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


class Console:
    """What one command says.

    Args:
        as_json: stdout carries one JSON document in place of the plain result.
        quiet: only warnings and errors on stderr.
        dry_run: stdout stays empty.

    ``warnings`` gathers what :meth:`warn` said, for the document; ``latest`` is shown beside the progress.
    """

    def __init__(self, *, as_json: bool = False, quiet: bool = False, dry_run: bool = False) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self.dry_run = dry_run
        self.warnings: list[dict[str, str]] = []
        self.latest = ""

    def note(self, text: str) -> None:
        """Say what is going on, on stderr."""
        if not self.quiet:
            say(_one_line(text))

    def warn(self, code: str, text: str) -> None:
        """Say on stderr what the user should know although the command goes on."""
        self.warnings.append({"code": code, "message": text})
        say(f"warning: {_one_line(text)}")

    def result(self, lines: Iterable[str], document: dict[str, Any]) -> None:
        """Print the result: ``lines``, or ``document`` with ``--json``; nothing in a dry run."""
        if self.dry_run:
            return
        if self.as_json:
            write_result(json.dumps({**document, "warnings": self.warnings}, ensure_ascii=False, allow_nan=False))
        elif text := "\n".join(lines):
            write_result(text)

    def tell(self, latest: str) -> None:
        """Show the latest figures beside the progress, from its next item on."""
        self.latest = latest

    def progress(self, items: Iterable[T], label: str, total: int) -> Iterator[T]:
        """Yield from ``items``; show a bar on a terminal, a plain line every ten seconds elsewhere."""
        if self.quiet or total <= 1:
            yield from items
            return
        self.latest = ""
        yield from (self._bar if is_terminal() else self._lines)(items, label, total)

    def _lines(self, items: Iterable[T], label: str, total: int) -> Iterator[T]:
        begun = said = time.monotonic()
        for done, item in enumerate(items):
            now = time.monotonic()
            if now - said >= PLAIN_INTERVAL:
                left = (now - begun) / done * (total - done) if done else 0.0
                latest = f", {self.latest}" if self.latest else ""
                self.note(f"{label}: {done} of {total}{latest}, about {left:.0f} s left")
                said = now
            yield item

    def _bar(self, items: Iterable[T], label: str, total: int) -> Iterator[T]:
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        text = "{task.description}", "{task.fields[rate]}", "{task.fields[latest]}"
        name, rate, latest = (TextColumn(one, markup=False) for one in text)
        columns = name, BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn(), latest
        with Progress(*columns, console=RichConsole(stderr=True), transient=True) as bar:
            task = bar.add_task(label, total=total, rate="", latest="")
            for item in items:
                yield item
                speed = bar.tasks[0].speed
                bar.update(task, advance=1, rate=f"{speed:.3g}/s" if speed else "", latest=self.latest)


def is_terminal(stream: TextIO | None = None) -> bool:
    """Say whether ``stream`` (stderr) is a terminal that understands, and wants, escape codes."""
    return (stream or sys.stderr).isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def print_error(error: ForgetkitError, *, as_json: bool) -> None:
    """Print ``error:`` and ``hint:`` lines on stderr; with ``as_json`` also the document on stdout."""
    if as_json:
        document = {"ok": False, "code": error.code, "message": error.message, "hint": error.hint}
        with suppress(ForgetkitError):
            write_result(json.dumps(document, ensure_ascii=False))
    say(f"error: {_one_line(error.message)}")
    if error.hint:
        say(f"hint: {_one_line(error.hint)}")


def _one_line(text: str) -> str:
    """Return ``text`` without line ends and escape codes, which a file's name may hold."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)
