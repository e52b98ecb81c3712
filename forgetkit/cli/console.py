"""The one output sink: the result goes to stdout, events and errors to stderr."""

import errno
import json
import os
import shlex
import shutil
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, TextIO

from forgetkit.errors import ForgetkitError, NotReached
from forgetkit.events import Changed, Event, Measured, Note, Paused, Progress, Resumed, Tried, Warned
from forgetkit.files.interrupts import LAST
from forgetkit.options import Say

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


def write_document(document: dict[str, Any]) -> None:
    """Print ``document`` to stdout as JSON in UTF-8; raises as :func:`write_result`."""
    text = json.dumps(document, ensure_ascii=False, allow_nan=False)
    write_result(text.encode(errors="backslashreplace").decode())  # of a path that is not UTF-8: JSON's own escapes


def say(text: str) -> None:
    """Print ``text`` to stderr; nobody there to read it is not an error."""
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        _to_nowhere(sys.stderr)


def _to_nowhere(stream: TextIO) -> None:
    """Let what is still written to ``stream`` vanish, what waits in its buffer too."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class Console:
    """What one command says: it prints the events that a run tells it, and the result.

    Args:
        says: how the user wants it.

    ``warnings`` gathers the warnings told, for the JSON document.
    """

    def __init__(self, says: Say) -> None:
        self.says = says
        self.warnings: list[dict[str, str]] = []
        self._bar: Bar | None = None
        self._latest = ""

    def __call__(self, event: Event) -> None:
        """Print an event of a run."""
        match event:
            case Note(text):
                self.note(text)
            case Warned(code, text):
                self.warn(code, text)
            case Measured(text):
                self._latest = text
            case Progress():
                self._progress(event)
            case Tried(setting, steps, result):
                self.note(f"  tried {setting}, {steps} steps: {result}")
            case Changed(metrics, chance):
                self._changed(metrics, chance)
            case Resumed():
                say("going on where an earlier run stopped; --fresh starts over")
            case Paused():
                say(f"to go on from here: {shlex.join(typed())}")

    def note(self, text: str) -> None:
        """Print on stderr what is going on."""
        if not self.says.quiet:
            say(_one_line(text))

    def warn(self, code: str, text: str) -> None:
        """Print on stderr what the user should know although the command goes on."""
        self.warnings.append({"code": code, "message": text})
        say(f"warning: {_one_line(text)}")

    def result(self, lines: Iterable[str], document: dict[str, Any], *, styled: bool = False) -> None:
        """Print the result: ``lines``, or ``document`` with ``--json``; nothing in a dry run.

        A terminal gets no escape codes that ids, classes or paths hold, unless the lines are ``styled``, with codes of
        their own; a pipe or a file gets them as they are.
        """
        if self.says.dry_run:
            return
        if self.says.as_json:
            write_document({**document, "warnings": self.warnings})
        elif text := "\n".join(map(_one_line, lines) if sys.stdout.isatty() and not styled else lines):
            write_result(text)

    def _changed(self, metrics: dict[str, Any], chance: float) -> None:
        """Print what a step changed, each figure before → after."""

        def moved(name: str, form: str) -> str:
            """Format a figure before and after."""
            return f"{metrics[f'{name}_before']:{form}} → {metrics[name]:{form}}"

        vanished = "vanished_accuracy" in metrics
        found = moved("kept_test_accuracy" if vanished else "test_accuracy", ".2%")
        which = ", of classes with retained samples" if vanished else ""
        self.note(f"  accuracy, unseen samples   {found} (chance {chance:.0%}){which}")
        if vanished:
            self.note(f"  … of classes without any   {moved('vanished_accuracy', '.2%')}")
        if "forget_accuracy" in metrics:
            self.note(f"  accuracy, forget set       {moved('forget_accuracy', '.2%')}")
            self.note(f"  mean φ, forget set         {moved('forget_phi', '.2f')}")
        if metrics.get("tune_auc") is not None:
            goal = metrics.get("right")
            right = "½: as if never seen" if goal is None else f"goal {goal:.3f}: as models without the ids"
            self.note(f"  membership AUC, tune half  {moved('tune_auc', '.3f')} ({right})")
        self.note(f"  weights changed by         {metrics['weight_change']:.2%} of their norm")

    def _progress(self, now: Progress) -> None:
        """Show a bar on a terminal, a plain line every ten seconds elsewhere."""
        if self.says.quiet or now.total <= 1:
            return
        if self._bar is None:
            self._latest = ""
            self._bar = (TerminalBar if is_terminal() else PlainBar)(_one_line(now.label), now.total)
        self._bar.show(now.done, self._latest)
        if now.done == now.total:
            self._bar.stop()
            self._bar = None


def typed() -> list[str]:
    """Return the words of the command that the user typed."""
    return ["forgetkit", *sys.argv[1:]]


class PlainBar:
    """Progress off a terminal: a line every ten seconds."""

    def __init__(self, label: str, total: int) -> None:
        self.label, self.total = label, total
        self._begun = self._said = time.monotonic()

    def show(self, done: int, latest: str) -> None:
        """Print a line if one is due."""
        now = time.monotonic()
        if now - self._said < PLAIN_INTERVAL or done == self.total:
            return
        left = (now - self._begun) / done * (self.total - done) if done else 0.0
        figures = f", {latest}" if latest else ""
        say(_one_line(f"{self.label}: {done} of {self.total}{figures}, about {left:.0f} s left"))
        self._said = now

    def stop(self) -> None:
        """Print nothing more."""


class TerminalBar:
    """Progress on a terminal, by Rich."""

    def __init__(self, label: str, total: int) -> None:
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        text = "{task.description}", "{task.fields[rate]}", "{task.fields[latest]}"
        name, rate, latest = (TextColumn(one, markup=False) for one in text)
        columns = name, BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn(), latest
        self._bar = RichProgress(*columns, console=RichConsole(stderr=True), transient=True)
        self._task = self._bar.add_task(label, total=total, rate="", latest="")
        self._bar.start()
        LAST.append(self._bar.stop)  # it shows the cursor again

    def show(self, done: int, latest: str) -> None:
        """Move the bar."""
        speed = self._bar.tasks[0].speed
        self._bar.update(self._task, completed=done, rate=f"{speed:.3g}/s" if speed else "", latest=latest)

    def stop(self) -> None:
        """Take the bar away."""
        self._bar.stop()
        LAST.remove(self._bar.stop)


Bar = PlainBar | TerminalBar


def is_terminal(stream: TextIO | None = None) -> bool:
    """Say whether ``stream`` (stderr) is a terminal that understands, and wants, escape codes."""
    return (stream or sys.stderr).isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def text_width() -> int:
    """Return how wide lines for people may be: the terminal's columns, from 40 to 100."""
    return min(max(shutil.get_terminal_size((80, 24)).columns, 40), 100)


def print_error(error: ForgetkitError, *, as_json: bool) -> None:
    """Print ``error:`` and ``hint:`` lines on stderr; with ``as_json`` also the document on stdout."""
    if as_json:
        document: dict[str, Any] = {
            "ok": False,
            "code": error.code,
            "message": error.on_command_line,
            "hint": error.hint,
        }
        if isinstance(error, NotReached) and error.trials:
            document["trials"] = error.trials
        with suppress(ForgetkitError):
            write_document(document)
    say(f"error: {_one_line(error.on_command_line)}")
    if error.hint:
        say(f"hint: {_one_line(error.hint)}")


def _one_line(text: str) -> str:
    """Return ``text`` without line ends and escape codes, which a file's name may hold."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)
