"""Ctrl-C, SIGTERM and their like: answered within a second, if possible between two steps.

A handler that raises wherever the signal happens to arrive would lose the step in progress, so a loop runs under
:func:`deferring` and asks :func:`asked_to_stop` after each step. Because a step can take long, an alarm ends the wait.
Python calls no handler before torch returns from its call, so a thread ends the process where that takes longer still.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from types import FrameType
from typing import NoReturn

from forgetkit.processes import TO_ALL

INTERRUPTED, TERMINATED = 130, 143
PATIENCE = 0.7
"""Seconds that a step may still take after a signal before it is aborted."""
LONGEST = 0.75
"""Seconds after a signal at which the process ends, if torch has not returned from its call within a step."""

LAST: list[Callable[[], None]] = []
"""Functions to call before the process ends without unwinding."""
_DEFERRING = 0
_ASKED: signal.Signals | None = None
_STOPPING = 0
_STEPS = 0
_LEAVING = False


def install(*, alone: bool = True) -> None:
    """Answer SIGTERM, Ctrl-C and the others of ``TO_ALL``; call it in the main thread.

    One of them, except Ctrl-C, that is ignored already stays so: under nohup, a closed terminal ends nothing.

    Args:
        alone: off for a process whose parent gets the signals of ``TO_ALL`` too, and tells it by SIGTERM.
    """
    signal.signal(signal.SIGTERM, _asked)
    for number in TO_ALL:
        if number == signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _asked if alone else signal.SIG_IGN)
    arrived, sent = os.pipe()
    os.set_blocking(sent, False)
    signal.set_wakeup_fd(sent, warn_on_full_buffer=False)
    Thread(target=_watch, args=(arrived,), daemon=True).start()


def asked_to_stop() -> bool:
    """Say whether a signal asked to stop."""
    return _ASKED is not None


def stopping() -> int:
    """Return the exit code of the stop that has begun, and reset it; 0 where none has.

    The code that the exception of :func:`stop` passes through may replace it: libraries in C raise their own instead.
    """
    global _STOPPING
    code, _STOPPING = _STOPPING, 0
    return code


def ignore() -> None:
    """Ignore signals from now on: the work is done, and while Python shuts down a signal would change the exit code."""
    for number in (*TO_ALL, signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)


def stop() -> None:
    """Stop as the signal asked.

    Raises:
        KeyboardInterrupt: for SIGINT.
        SystemExit: for all others.
    """
    global _ASKED, _STOPPING
    number, _ASKED = _ASKED, None
    signal.setitimer(signal.ITIMER_REAL, 0)
    _STOPPING = _code(number)
    if _STOPPING == INTERRUPTED:
        raise KeyboardInterrupt
    raise SystemExit(TERMINATED)


@contextmanager
def deferring() -> Iterator[None]:
    """Make a signal wait for the next call of :func:`stop`, but no longer than ``PATIENCE``."""
    global _DEFERRING
    _DEFERRING += 1  # a count, since a function that defers may call another
    try:
        yield
    finally:
        _DEFERRING -= 1


@contextmanager
def in_step() -> Iterator[None]:
    """Take a step of a training, which writes nothing: the process may end within it after ``LONGEST``."""
    global _STEPS
    _STEPS += 1  # odd within a step
    try:
        yield
    finally:
        if _LEAVING:
            time.sleep(60)  # the process ends before that
        _STEPS += 1


@contextmanager
def at_last(work: Callable[[], None]) -> Iterator[None]:
    """Have ``work`` done before the process ends without unwinding."""
    LAST.append(work)
    try:
        yield
    finally:
        LAST.remove(work)


def _asked(number: int, frame: FrameType | None) -> None:
    global _ASKED
    first = _ASKED is None
    if not first and number != signal.SIGINT:  # the limit of CPU time, for example, is signalled each second
        return
    _ASKED = signal.Signals(number)
    if _DEFERRING and first:  # a second Ctrl-C means now
        signal.signal(signal.SIGALRM, _end)
        signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    else:
        _end(number, frame)


def _end(_: int, frame: FrameType | None) -> None:
    """Stop by an exception; during an import, by ending the process.

    An extension module that is being initialised runs C++ code, through which a Python exception cannot pass: the
    process would abort with a core dump instead.
    """
    if _importing(frame):
        _leave(_code(_ASKED))
    stop()


def _watch(arrived: int) -> None:
    """End the process where the step during which a signal arrived lasts too long."""
    global _LEAVING
    while numbers := os.read(arrived, 1):
        step = _STEPS
        if numbers[0] == signal.SIGALRM or not (_DEFERRING and step % 2):
            continue
        time.sleep(LONGEST)
        _LEAVING = True
        if step == _STEPS:
            _leave(_code(numbers[0]))
        _LEAVING = False


def _leave(code: int) -> NoReturn:
    try:
        for work in LAST[::-1]:
            work()
        os.write(2, b"interrupted; the last complete output is intact\n")
    finally:
        os._exit(code)


def _code(number: int | None) -> int:
    return INTERRUPTED if number == signal.SIGINT else TERMINATED


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
